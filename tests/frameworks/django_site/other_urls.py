"""URLs that a middleware may choose for a request."""

from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("x", lambda _request: HttpResponse("other"))]
