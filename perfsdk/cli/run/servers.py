"""Hooks the servers where they load the application: before it is imported, and after."""

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from perfsdk.cli.run.measuring import begin, loaded, patches

Call = Callable[..., Any]


def hook_uvicorn(module: ModuleType) -> None:
    """`Config.load` runs in the process that serves."""
    patches.replace(module.Config, "load", _make_load)


def hook_gunicorn(module: ModuleType) -> None:
    """`BaseApplication.wsgi` runs in each worker, or with `--preload` in their parent."""
    patches.replace(module.BaseApplication, "wsgi", _make_wsgi)


def hook_hypercorn(module: ModuleType) -> None:
    """Both are imported from here by name, later."""
    patches.replace(module, "load_application", _make_begin)
    patches.replace(module, "wrap_app", _make_wrap_app)


def hook_granian(module: ModuleType) -> None:
    """`load_target` runs in each worker; it too is imported by name, later."""
    patches.replace(module, "load_target", _make_load_target)


def _make_load(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def load(self: Any) -> None:
        begin()
        wrapped(self)
        self.loaded_app = loaded(self.loaded_app)

    return load


def _make_wsgi(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def wsgi(self: Any) -> Any:
        if self.callable is None:
            begin()
            self.callable = loaded(wrapped(self))
        return self.callable

    return wsgi


def _make_begin(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def load_application(*args: Any, **kwargs: Any) -> Any:
        begin()
        return wrapped(*args, **kwargs)

    return load_application


def _make_wrap_app(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def wrap_app(app: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapped(loaded(app), *args, **kwargs)

    return wrap_app


def _make_load_target(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def load_target(*args: Any, **kwargs: Any) -> Any:
        begin()
        app = wrapped(*args, **kwargs)
        return app if _is_rsgi(app) else loaded(app)

    return load_target


def _is_rsgi(app: Any) -> bool:
    """Whether it is of granian's own interface; it takes two arguments, as WSGI does."""
    if hasattr(app, "__rsgi__"):
        return True
    return inspect.iscoroutinefunction(app) and len(inspect.signature(app).parameters) == 2
