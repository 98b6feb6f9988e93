"""Hooks the frameworks' classes, so that an application is measured when it is first called."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from perfsdk.cli.run.measuring import is_seen, loaded, measure, patches

Call = Callable[..., Any]


def hook_starlette(module: ModuleType) -> None:
    """FastAPI's applications come here too."""
    _hook_asgi(module.Starlette)


def hook_litestar(module: ModuleType) -> None:
    _hook_asgi(module.Litestar)


def hook_quart(module: ModuleType) -> None:
    _hook_asgi(module.Quart)


def hook_django_asgi(module: ModuleType) -> None:
    _hook_asgi(module.ASGIHandler)


def hook_django_wsgi(module: ModuleType) -> None:
    _hook_wsgi(module.WSGIHandler)


def hook_flask(module: ModuleType) -> None:
    _hook_wsgi(module.Flask)


def hook_aiohttp(module: ModuleType) -> None:
    """An application of aiohttp.web is not called; every way to serve it makes a runner."""
    patches.replace(module.AppRunner, "__init__", _make_runner_init)


def _hook_asgi(owner: type) -> None:
    patches.replace(owner, "__call__", functools.partial(_make_asgi_call, owner))


def _hook_wsgi(owner: type) -> None:
    patches.replace(owner, "__call__", functools.partial(_make_wsgi_call, owner))


def _make_asgi_call(owner: type, wrapped: Call) -> Call:
    # A coroutine function, because servers tell ASGI by that.
    @functools.wraps(wrapped)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if is_seen(self):
            await wrapped(self, scope, receive, send)
            return
        measure(self)
        await _current(owner, call, wrapped)(self, scope, receive, send)

    return call


def _make_wsgi_call(owner: type, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        if is_seen(self):
            return wrapped(self, environ, start_response)
        measure(self)
        return _current(owner, call, wrapped)(self, environ, start_response)

    return call


def _current(owner: type, call: Call, wrapped: Call) -> Call:
    """What measuring has put in the place of the call that goes on, if it has."""
    current: Call = vars(owner)["__call__"]
    return wrapped if current is call else current


def _make_runner_init(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def init(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        wrapped(self, app, *args, **kwargs)
        loaded(app)

    return init
