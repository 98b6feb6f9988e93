"""The project's `manage.py`."""

import sys

from django.core.management import execute_from_command_line

from tests.frameworks.django_site import SETTINGS, settings

if __name__ == "__main__":
    settings.INSTALLED_APPS = ["django.contrib.staticfiles"]
    execute_from_command_line(sys.argv)
