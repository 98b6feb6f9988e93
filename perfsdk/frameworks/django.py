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
from perfsdk.frameworks.asgi_messages import Receive, Scope, Send
from perfsdk.frameworks.django_routes import RouteFinder, carrier_of, files_label, tell_match
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import UNMATCHED
from perfsdk.frameworks.route import Route
from perfsdk.wrapping.patches import Patches

_UID = "perfsdk.exception"
_ASGI = "django.core.handlers.asgi"
_MEASURED = "_perfsdk_measured"

Serve = Callable[..., Any]
FindRoute = Callable[[Any, Any], Route]


def is_application(app: object) -> bool:
    """Whether this is what `get_wsgi_application` or `get_asgi_application` gives."""
    return isinstance(_inside(app), _handlers())


def patch_routing(patches: Patches) -> None:
    """Have handlers of this process serve through what measures them, and tell their routes."""
    for handler in _handlers():
        make_call = _make_asgi_call if handler.__module__ == _ASGI else _make_wsgi_call
        for owner in _with_own_call(handler):
            patches.replace(owner, "__call__", functools.partial(make_call, patches, owner))
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
    vars(app)[_MEASURED] = Measured(owner, server, RouteFinder(server, told=told).find, around)
    patches.on_undo(functools.partial(vars(app).pop, _MEASURED))


class Measured:
    """How one handler is measured, kept by the handler.

    `owner` is the class whose `__call__` servers come to first; `serve` measures a request, None
    before the first one.
    """

    __slots__ = ("around", "find_route", "owner", "serve", "server")

    def __init__(
        self, owner: type, server: HttpServer, find_route: FindRoute, around: Around
    ) -> None:
        self.owner = owner
        self.server = server
        self.find_route = find_route
        self.around = around
        self.serve: Serve | None = None

    def find_template(self, scope: Scope) -> str | None:
        """The template of the route that a request took, for what is around the measuring."""
        exchange = scope.get(EXCHANGE)
        if exchange is None or exchange.matched is None or exchange.matched is UNMATCHED:
            return None
        return self.find_route(exchange, scope).template


def _make_wsgi_call(patches: Patches, owner: type, wrapped: Serve) -> Serve:
    _hear_exceptions(patches)

    @functools.wraps(wrapped)
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        serve = None
        try:
            measured = self.__dict__.get(_MEASURED) or _measured_files(self, owner)
            if measured is not None and measured.owner is owner:
                serve = measured.serve or _serve_wsgi(self, wrapped, measured)
        except Exception:
            guard.failed("django.call")
        if serve is None:
            return wrapped(self, environ, start_response)
        return serve(environ, start_response)

    return call


def _make_asgi_call(patches: Patches, owner: type, wrapped: Serve) -> Serve:
    _hear_exceptions(patches)

    @functools.wraps(wrapped)
    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        serve = None
        try:
            measured = self.__dict__.get(_MEASURED) or _measured_files(self, owner)
            if measured is not None and measured.owner is owner:
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
    measured.serve = wsgi.Middleware(app, measured.server, measured.find_route)
    return measured.serve


def _serve_asgi(handler: Any, wrapped: Serve, measured: Measured) -> Serve:
    app = functools.partial(wrapped, handler)
    inside = asgi.Middleware(app, measured.server, measured.find_route)
    measured.serve = measured.around(inside, measured.find_template)
    return measured.serve


def _measured_files(handler: Any, owner: type) -> Measured | None:
    """How `runserver` serves the static files of a measured application.

    Their handler is around the application, and comes here for files alone; it is made for each
    of them, so that nothing is left at a handler that nobody asked to measure.
    """
    if not getattr(handler, "handles_files", False):
        return None
    inside: Measured | None = getattr(_inside(handler), _MEASURED, None)
    if inside is None:
        return None
    server, template = inside.server, files_label(handler)
    return Measured(owner, server, lambda *_: server.route(template), lambda app, *_: app)


def _hear_exceptions(patches: Patches) -> None:
    """Have Django tell of exceptions that it turns into a server error; twice is once."""
    signal = sys.modules["django.core.signals"].got_request_exception
    signal.connect(_heard, weak=False, dispatch_uid=_UID)
    patches.on_undo(functools.partial(signal.disconnect, dispatch_uid=_UID))


def _heard(request: Any = None, **_: Any) -> None:
    try:
        carrier, error_type = carrier_of(request), sys.exc_info()[0]
        exchange = None if carrier is None else carrier.get(EXCHANGE)
        if exchange is not None and error_type is not None:
            exchange.error_type = error_type.__name__
    except Exception:
        guard.failed("django.exception")


def _handlers() -> tuple[type, ...]:
    """The handlers of Django that are imported."""
    found = (("asgi", "ASGIHandler"), ("wsgi", "WSGIHandler"))
    modules = ((sys.modules.get(f"django.core.handlers.{name}"), kind) for name, kind in found)
    return tuple(getattr(module, kind) for module, kind in modules if module is not None)


def _with_own_call(handler: Any) -> Iterator[type]:
    """The class and those derived from it that servers may come to, but not for static files."""
    if "__call__" in vars(handler) and not getattr(handler, "handles_files", False):
        yield handler
    for derived in handler.__subclasses__():
        yield from _with_own_call(derived)


def _inside(app: Any) -> Any:
    """The application inside of handlers for static files."""
    while getattr(type(app), "handles_files", False):
        app = getattr(app, "application", None)
    return app
