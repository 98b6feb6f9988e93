"""Django (4.2 and newer), ASGI and WSGI: measured around the handler and all its middleware.

A server calls `__call__` of the handler's class, so that is what is replaced, once for the
process; whether a handler is measured is told by an attribute of its own. Django turns
exceptions into responses by itself, so their class is learned from its signal.
https://docs.djangoproject.com/en/stable/howto/deployment/
"""

import functools
import sys
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

from perfsdk import guard
from perfsdk.frameworks import asgi, wsgi
from perfsdk.frameworks.asgi import Around
from perfsdk.frameworks.django_routes import RouteFinder, carrier_of, label, tell_match
from perfsdk.frameworks.exchange import EXCHANGE, App, Receive, Scope, Send
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.wrapping.patches import Patches

ERROR_TYPE = "perfsdk.error_type"
"""Beside the exchange: the class of the exception that became its response."""

_ASGI, _WSGI = "django.core.handlers.asgi", "django.core.handlers.wsgi"
_MEASURED = "_perfsdk_measured"

Serve = Callable[..., Any]


def is_application(app: object) -> bool:
    """Whether this is what `get_wsgi_application` or `get_asgi_application` gives."""
    app = _inside(app)
    return any(isinstance(app, handler) for handler in _handlers())


def patch_routing(patches: Patches) -> None:
    """Have handlers of this process serve through what measures them, and tell their routes."""
    for handler in _handlers():
        make_call = _make_asgi_call if handler.__module__ == _ASGI else _make_wsgi_call
        for owner in _with_own_call(handler):
            patches.replace(owner, "__call__", functools.partial(make_call, owner))
        # In a function that is called once, since a signal knows no patches.
        patches.replace(handler, "__init__", functools.partial(_hear_exceptions, patches))
    base = sys.modules["django.core.handlers.base"]
    patches.replace(base.BaseHandler, "resolve_request", tell_match)


def instrument_application(app: Any, server: HttpServer, patches: Patches, around: Around) -> None:
    """Measure one application in place, also if it serves already.

    Of a handler for static files, the application in it is measured, and the files with it.
    """
    app = _inside(app)
    if _MEASURED in vars(app):
        return  # by way of another handler for static files
    told = hasattr(sys.modules["django.core.handlers.base"].BaseHandler, "resolve_request")
    owner = next(owner for owner in type(app).__mro__ if "__call__" in vars(owner))
    vars(app)[_MEASURED] = Measured(owner, server, RouteFinder(server, told=told), around)
    patches.on_undo(functools.partial(vars(app).pop, _MEASURED))


class Measured:
    """How one handler is measured, kept by itself.

    `owner` is the class whose `__call__` servers come to first; `serve` measures a request, None
    before the first one.
    """

    __slots__ = ("around", "owner", "routes", "serve", "server")

    def __init__(
        self, owner: type, server: HttpServer, routes: RouteFinder, around: Around
    ) -> None:
        self.owner = owner
        self.server = server
        self.routes = routes
        self.around = around
        self.serve: Serve | None = None


def _make_wsgi_call(owner: type, wrapped: Serve) -> Serve:
    @functools.wraps(wrapped)
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        serve = None
        try:
            measured = self.__dict__.get(_MEASURED)
            if measured is None:
                serve = _serve_files(self, owner, wrapped, _serve_wsgi)
            elif measured.owner is owner:
                serve = measured.serve or _serve_wsgi(self, wrapped, measured)
        except Exception:
            guard.failed("django.call")
        if serve is None:
            return wrapped(self, environ, start_response)
        return serve(environ, start_response)

    return call


def _make_asgi_call(owner: type, wrapped: Serve) -> Serve:
    @functools.wraps(wrapped)
    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        serve = None
        try:
            measured = self.__dict__.get(_MEASURED)
            if measured is None:
                serve = _serve_files(self, owner, wrapped, _serve_asgi)
            elif measured.owner is owner:
                serve = measured.serve or _serve_asgi(self, wrapped, measured)
        except Exception:
            guard.failed("django.call")
        if serve is None:
            await wrapped(self, scope, receive, send)
        else:
            await serve(scope, receive, send)

    return call


def _serve_wsgi(handler: Any, wrapped: Serve, measured: Measured) -> Serve:
    app = MethodType(wrapped, handler)
    measured.serve = wsgi.Middleware(app, measured.server, measured.routes.find)
    return measured.serve


def _serve_asgi(handler: Any, wrapped: Serve, measured: Measured) -> Serve:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await wrapped(handler, scope, receive, send)
        if ERROR_TYPE in scope:
            _record_error(scope)

    inside = asgi.Middleware(app, measured.server, measured.routes.find)
    measured.serve = measured.around(inside, measured.routes.find_template)
    return measured.serve


def _serve_files(
    handler: Any,
    owner: type,
    wrapped: Serve,
    make: Callable[[Any, Serve, Measured], Serve],
) -> Serve | None:
    """What measures a file that `runserver` serves for a measured application.

    Such a handler comes here for files alone, and only where one develops: made each time.
    """
    if not _serves_files(handler):
        return None
    inside = vars(_inside(handler)).get(_MEASURED)
    if inside is None:
        return None
    routes = FileRoutes(...)
