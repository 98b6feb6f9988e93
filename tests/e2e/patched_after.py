"""The shop under Flask, whose application has gevent patch the standard library after us."""

from gevent import monkey

from tests.e2e.flask_shop import app

__all__ = ["app"]

monkey.patch_all()
