"""The project's `manage.py`."""

import os
import sys

from tests.frameworks.django_site import settings

VARIABLE = "DJANGO_SITE_STATIC_FILES"
"""The environment variable with the directory of the static files."""


def main():
    """Run a command of Django's."""
    from django.apps import apps
    from django.core.management import execute_from_command_line

    settings.DEBUG = True  # else there is no server of static files
    settings.STATICFILES_DIRS = [os.environ[VARIABLE]]
    settings.WSGI_APPLICATION = "tests.frameworks.django_site.wsgi.application"
    apps.set_installed_apps(["django.contrib.staticfiles"])
    settings.INSTALLED_APPS = ["django.contrib.staticfiles"]
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
