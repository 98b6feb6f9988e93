"""The measured shop of Django as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

import perfsdk
from tests.e2e.signing import announce_now, sign_wsgi

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.e2e.django_shop")

signed = sign_wsgi(perfsdk.instrument(get_wsgi_application()))
announce_now()
