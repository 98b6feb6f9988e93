"""The modules after whose import something is hooked, so that what a process serves is measured.

A framework's application is measured when it is first called, a server's when it has loaded it:
by then the user's own `instrument` has run, and what is never served costs nothing.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from perfsdk.cli.run.imports import AfterImport

HOOKS = {
    "aiohttp.web_runner": "perfsdk.cli.run.applications.hook_aiohttp",
    "django.core.handlers.asgi": "perfsdk.cli.run.applications.hook_django_asgi",
    "django.core.handlers.wsgi": "perfsdk.cli.run.applications.hook_django_wsgi",
    "flask.app": "perfsdk.cli.run.applications.hook_flask",
    "litestar.app": "perfsdk.cli.run.applications.hook_litestar",
    "quart.app": "perfsdk.cli.run.applications.hook_quart",
    "starlette.applications": "perfsdk.cli.run.applications.hook_starlette",
    "granian._internal": "perfsdk.cli.run.servers.hook_granian",
    "gunicorn.app.base": "perfsdk.cli.run.servers.hook_gunicorn",
    "hypercorn.utils": "perfsdk.cli.run.servers.hook_hypercorn",
    "uvicorn.config": "perfsdk.cli.run.servers.hook_uvicorn",
    "perfsdk.instrumentation": "perfsdk.cli.run.measuring.hook_instrument",
}
"""By the name of the module: our function, which is imported when it is needed."""


def take_over(watch: object) -> AfterImport:
    """Put a finder in the place of the one that watched, which comes after these imports."""
    finder = AfterImport({name: _hook(function) for name, function in HOOKS.items()}, _failed)
    # In its place: the list is being gone through.
    sys.meta_path[[id(each) for each in sys.meta_path].index(id(watch))] = finder
    if "uwsgi" in sys.modules:  # it loads applications without any Python that could be hooked
        from perfsdk.cli.run.measuring import begin

        begin()
    return finder


def _hook(function: str) -> Callable[[ModuleType], None]:
    home, _, name = function.rpartition(".")

    def hook(module: ModuleType) -> None:
        getattr(import_module(home), name)(module)

    return hook


def _failed(name: str) -> None:
    from perfsdk import guard

    guard.failed(f"run.{name}")
