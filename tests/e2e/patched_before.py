"""The shop under Flask, whose application has gevent patch the standard library before us."""

from gevent import monkey

monkey.patch_all()

from tests.e2e.flask_shop import app  # noqa: E402 - it is imported after the patch, by design

__all__ = ["app"]
