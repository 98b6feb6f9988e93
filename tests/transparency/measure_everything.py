"""A plugin of pytest that has every application of a run measured as soon as it is made.

Those of Starlette and FastAPI are instrumented at the end of their `__init__`, any other ASGI
callable when it is given to a test client. It is loaded with `-p`, in the environment of the
suite that is run.
"""

import functools

import perfsdk


def pytest_configure():
    """Patch the classes before any test module is imported."""
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    Starlette.__init__ = _measuring(Starlette.__init__)
    TestClient.__init__ = _wrapping(TestClient.__init__)
    try:
        from fastapi import FastAPI
    except ImportError:
        return
    FastAPI.__init__ = _measuring(FastAPI.__init__)  # it does not call Starlette's


def _measuring(init):
    @functools.wraps(init)
    def measured(self, *args, **kwargs):
        init(self, *args, **kwargs)
        perfsdk.instrument(self)

    return measured


def _wrapping(init):
    @functools.wraps(init)
    def wrapped(self, app, *args, **kwargs):
        try:
            app = perfsdk.instrument(app)
        except TypeError:  # an application of ASGI 2, or none
            pass
        init(self, app, *args, **kwargs)

    return wrapped
