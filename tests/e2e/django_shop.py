"""The shop under Django: the settings of the project, and its views."""

import time

from django.http import Http404, HttpResponse
from django.urls import path

SECRET_KEY = "not of this shop"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.e2e.django_shop"
WSGI_APPLICATION = "tests.e2e.django_wsgi.signed"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # it tells the length of a body
LOGGING_CONFIG = None

ROUTES = {"/products/{size}": "/products/<int:size>"}
"""The shop's templates that Django writes in another way."""

SLOW_SECONDS = 0.02


def plain(text, status=200):
    return HttpResponse(text, content_type="text/plain", status=status)


def home(_request):
    return plain("welcome")


def slow(_request):
    time.sleep(SLOW_SECONDS)
    return plain("at last")


def product(_request, size):
    """A page of so many bytes; there is none of 0 bytes."""
    if size == 0:
        raise Http404
    return plain("x" * size)


def broken(_request):
    raise LookupError("broken on purpose")


def upload(request):
    return plain(str(len(request.body)).zfill(8))


def not_found(_request, exception):
    return plain("Not Found", 404)


def server_error(_request):
    return plain("Internal Server Error", 500)


urlpatterns = [
    path("", home),
    path("slow", slow),
    path("products/<int:size>", product),
    path("broken", broken),
    path("upload", upload),
]
handler404 = not_found
handler500 = server_error
