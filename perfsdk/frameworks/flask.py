"""Flask (2.2 and newer): the rule that a request matched, told by its context.

The context of a request matches it in a method that is documented to be overridden; what it
found stays where it is while the request lasts, whatever middleware copies or wraps. Flask turns
exceptions into responses by itself, so their class is learned where it handles them, and from
the signal that extensions send. What `call_on_close` and others do after the last byte is work in
the background.
https://flask.palletsprojects.com/en/stable/api/
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.asgi import Around
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import REDIRECT, UNMATCHED, UNROUTED
from perfsdk.frameworks.route import Route, remember
from perfsdk.frameworks.selection import opted_out
from perfsdk.frameworks.wsgi import Middleware
from perfsdk.frameworks.wsgi_exchange import Environ, WsgiExchange
from perfsdk.request import current
from perfsdk.wrapping.patches import Patches

MOUNTS = "perfsdk.mounts"
"""The key in the environ under which the dispatchers on the way are: a tuple of pairs, the
mounts of each and the SCRIPT_NAME before it."""

_CLIENT_LEFT = "ClientDisconnected"
"""What Werkzeug raises when the body of a request breaks off."""


def is_application(app: object) -> bool:
    """Whether this is a Flask application; imports nothing."""
    module = sys.modules.get("flask.app")
    return module is not None and isinstance(app, module.Flask)


def patch_routing(patches: Patches) -> None:
    """Have contexts tell what was matched, and applications which exceptions they handle."""
    dispatcher = sys.modules.get("werkzeug.middleware.dispatcher")
    if dispatcher is not None:
        patches.replace(dispatcher.DispatcherMiddleware, "__call__", _tell_mount)
    patches.replace(_context_class(), "match_request", _tell_rule)
    application = sys.modules["flask.app"].Flask
    patches.replace(application, "handle_user_exception", _tell_error)
    patches.replace(application, "handle_exception", _tell_error)
    _hear_exceptions(patches)


def instrument_application(app: Any, server: HttpServer, patches: Patches, _around: Around) -> None:
    """Put a middleware outside of `wsgi_app`; what others put around it later stays."""
    inherited = "wsgi_app" not in vars(app)
    before = app.wsgi_app
    middleware = Middleware(before, server, RouteFinder(server).find)
    app.wsgi_app = middleware

    def undo() -> None:
        if app.wsgi_app is not middleware:
            middleware.stop()  # inside of another one: it stays there
        elif inherited:
            del app.wsgi_app
        else:
            app.wsgi_app = before

    patches.on_undo(undo)


class RouteFinder:
    """Finds the series of the rule that an exchange matched, remembered by the rule's identity."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        # The object is kept beside its series, else its id could be given to another one.
        self._remembered: dict[int | tuple[str, int], tuple[object, Route]] = {}

    def find(self, exchange: WsgiExchange, environ: Environ) -> Route:
        """The route of an exchange whose response is complete."""
        matched = exchange.matched
        prefix = exchange.prefix
        try:
            return self._remembered[(prefix, id(matched)) if prefix else id(matched)][1]
        except KeyError:
            pass
        try:
            return self._find(matched, exchange, environ)
        except Exception:  # a version that we do not know
            guard.failed("flask.find")
            return self._server.unresolved("flask", matched)

    def _find(self, matched: Any, exchange: WsgiExchange, environ: Environ) -> Route:
        server = self._server
        if matched is None:
            if not _contexts_tell():
                return server.unresolved("flask", None)
            # Nobody routed it: a middleware answered, or something else that is mounted.
            return server.route(_mounted_at(environ) or UNROUTED)
        if matched is UNMATCHED or matched is REDIRECT:
            return server.route(matched)
        template = getattr(matched, "rule", None)
        if not isinstance(template, str):
            return server.unresolved("flask", matched)
        view = exchange.matched_by.view_functions.get(matched.endpoint)
        route = server.route(exchange.prefix + template, opted_out(view))
        prefix = exchange.prefix
        key = (prefix, id(matched)) if prefix else id(matched)
        return remember(self._remembered, key, (matched, route))[1]


def _context_class() -> Any:
    """Where requests are matched; they have no context of their own in Flask 3.2 and newer."""
    contexts = sys.modules["flask.ctx"]
    return vars(contexts).get("RequestContext") or contexts.AppContext


def _contexts_tell() -> bool:
    return hasattr(getattr(_context_class(), "match_request", None), "__wrapped__")


def _tell_rule(wrapped: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(wrapped)
    def match_request(self: Any) -> None:
        wrapped(self)
        try:
            request = self.request
            environ = request.environ
            exchange: WsgiExchange | None = environ.get(EXCHANGE)
            if exchange is not None:
                exchange.matched = request.url_rule or _unmatched(self, request)
                exchange.matched_by = self.app
                if MOUNTS in environ:
                    exchange.prefix = _mounted_at(environ)
        except Exception:
            guard.failed("flask.match_request")

    return match_request


def _unmatched(context: Any, request: Any) -> Any:
    """What it is instead that no rule was matched."""
    # Never the exception itself: its traceback leads back here, so nothing would be freed.
    error = request.routing_exception
    code = getattr(error, "code", None) or 404
    if code == 405:
        rule, _ = context.url_adapter.match(method=error.valid_methods[0], return_rule=True)
        return rule
    return REDIRECT if 300 <= code < 400 else UNMATCHED


Serve = Callable[[Any, Environ, Any], Any]


def _tell_mount(wrapped: Serve) -> Serve:
    @functools.wraps(wrapped)
    def call(self: Any, environ: Environ, start_response: Any) -> Any:
        try:
            before = environ.get("SCRIPT_NAME", "")
            environ[MOUNTS] = (*environ.get(MOUNTS, ()), (self.mounts, before))
        except Exception:
            guard.failed("flask.mount")
        return wrapped(self, environ, start_response)

    return call


def _mounted_at(environ: Environ) -> str:
    """Where the dispatchers on the way have mounted what serves: words of the program alone.

    Other parts of the SCRIPT_NAME, which the server or the client may have chosen, are left out.
    """
    prefix = ""
    after = environ.get("SCRIPT_NAME", "")
    for mounts, before in reversed(environ.get(MOUNTS, ())):
        mounted = after[len(before) :]
        if mounted in mounts:
            prefix = mounted + prefix
        after = before
    return prefix


def _hear_exceptions(patches: Patches) -> None:
    """Have extensions tell of exceptions that they handle for Flask; twice is once."""
    signal = sys.modules["flask"].got_request_exception
    receivers = getattr(signal, "receivers", None)
    if receivers is None or _heard in receivers.values():
        return  # Flask 2.2 has none where blinker is not installed
    signal.connect(_heard, weak=False)
    patches.on_undo(functools.partial(signal.disconnect, _heard))


def _heard(_sender: Any = None, exception: Any = None, **_: Any) -> None:
    try:
        _note(exception)
    except Exception:
        guard.failed("flask.exception")


def _tell_error(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(wrapped)
    def handle(self: Any, e: Exception) -> Any:
        try:
            _note(e)
        except Exception:
            guard.failed("flask.exception")
        return wrapped(self, e)

    return handle


def _note(error: Any) -> None:
    """An exception was raised in the request being served, which a response may stand for."""
    exchange = current.get()
    if isinstance(exchange, WsgiExchange) and error is not None:
        exchange.error_type = name = type(error).__name__
        if name == _CLIENT_LEFT:
            exchange.disconnected = True
