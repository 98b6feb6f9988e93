"""A small Django project for tests; whoever imports it first configures Django for the process.

Tests give what they need by `site_settings`, so other tests may use Django as they like.
"""

from contextlib import contextmanager

import django
from django.conf import settings

SETTINGS = {
    "ALLOWED_HOSTS": ["*"],
    "APPEND_SLASH": True,
    "DEBUG": False,
    "INSTALLED_APPS": [],
    "LANGUAGES": [("en", "English"), ("de", "Deutsch")],
    "LANGUAGE_CODE": "en",
    "LOGGING_CONFIG": None,
    "MIDDLEWARE": [],
    "ROOT_URLCONF": "tests.frameworks.django_site.urls",
    "SECRET_KEY": "of a test",
    "STATIC_URL": "/static/",
    "USE_I18N": True,
    "USE_TZ": True,
}

if not settings.configured:
    settings.configure(**SETTINGS)
    django.setup()


@contextmanager
def site_settings(**more):
    """The settings of the project, and those given, until the end of the block."""
    from django.test import override_settings

    with override_settings(**SETTINGS | more):
        yield settings
