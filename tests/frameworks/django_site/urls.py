"""The URLs of the project."""

from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path("items/<int:pk>/", lambda _request, pk: HttpResponse(str(pk))),
    path("healthz", lambda _request: HttpResponse("ok")),
]
