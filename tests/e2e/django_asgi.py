"""The measured shop of Django as an ASGI application."""

import os

from django.core.asgi import get_asgi_application

import perfsdk
from tests.e2e.signing import announce_now, sign

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.e2e.django_shop")

signed = sign(perfsdk.instrument(get_asgi_application()))
announce_now()
