"""The early shop, which takes uWSGI's hook of forks for itself after it was instrumented."""

from importlib import import_module

from tests.e2e.early_shop import app
from tests.e2e.signing import announce_now

__all__ = ["app"]

import_module("uwsgidecorators").postfork(announce_now)
