"""Starlette (0.27 and newer): the whole template of the route, in constant time.

The router calls `handle` of each mount and route that it chose, on every version and also when
a middleware passed on a copy of the scope; there the exchange learns the way to its route. What
a request chose is remembered by object, so no template is built or compared twice.
https://www.starlette.io/routing/
"""

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.asgi import Around, Middleware
from perfsdk.frameworks.asgi_messages import App, Receive, Scope, Send
from perfsdk.frameworks.exchange import EXCHANGE, Exchange
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import REDIRECT, UNMATCHED, UNRESOLVED, UNROUTED
from perfsdk.frameworks.route import Route, remember
from perfsdk.wrapping.patches import Patches

_DEEPEST_STACK = 100

Handle = Callable[[Any, Scope, Receive, Send], Awaitable[None]]


def is_application(app: object) -> bool:
    """Whether this is a Starlette application (FastAPI's are); imports nothing."""
    module = sys.modules.get("starlette.applications")
    return module is not None and isinstance(app, module.Starlette)


def patch_routing(patches: Patches) -> None:
    """Have mounts and routes of this process tell the exchange that they were chosen."""
    routing = sys.modules["starlette.routing"]
    patches.replace(routing.Mount, "handle", _tell_mount)
    patches.replace(routing.Host, "handle", _tell_route)
    patches.replace(routing.Route, "handle", _tell_route)
    patches.replace(routing.WebSocketRoute, "handle", _tell_route)


def instrument_application(app: Any, server: HttpServer, patches: Patches, around: Around) -> None:
    """Put a middleware outside everything else of the application, also if it serves already."""
    find_route = RouteFinder(server).find
    made: list[tuple[App, App]] = []  # what was put around, and what is inside

    def find_template(scope: Scope) -> str | None:
        exchange = scope.get(EXCHANGE)
        if exchange is None or exchange.matched is None or exchange.matched is UNMATCHED:
            return None
        return find_route(exchange, scope).template

    def wrap(stack: App) -> App:
        try:
            outer = around(Middleware(stack, server, find_route), find_template)
            made.append((outer, stack))
            return outer
        except Exception:
            guard.failed("starlette.wrap")
            return stack

    def make_build(build: Callable[[], App]) -> Callable[[], App]:
        @functools.wraps(build)
        def build_middleware_stack() -> App:
            stack = build()
            inside = getattr(stack, "app", None)
            if inside is None or app.build_middleware_stack is build_middleware_stack:
                return wrap(stack)
            # Who replaced it after us may go by the class of the outermost middleware, as the
            # instrumentor of OpenTelemetry does: so that stays what it is, and we are inside.
            setattr(stack, "app", wrap(inside))  # noqa: B010 - a middleware, told by its attribute
            return stack

        return build_middleware_stack

    patches.replace(app, "build_middleware_stack", make_build)
    if app.middleware_stack is not None:
        app.middleware_stack = wrap(app.middleware_stack)
    patches.on_undo(functools.partial(_unwrap_stack, app, made))
    patches.replace(app.router, "default", _tell_unmatched)


class RouteFinder:
    """Finds the series of the route that an exchange took, remembered by the route's identity."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        # The object is kept beside its series, else its id could be given to another one.
        self._remembered: dict[int | tuple[str, int], tuple[object, Route]] = {}

    def find(self, exchange: Exchange, scope: Scope) -> Route:
        """The route of an exchange whose response is complete."""
        matched = exchange.matched
        prefix = exchange.prefix
        key = (prefix, id(matched)) if prefix else id(matched)
        try:
            # Remembered objects are kept, so an id is never somebody else's.
            return self._remembered[key][1]
        except KeyError:
            pass
        try:
            return self._find(matched, exchange, scope)
        except Exception:  # a version that we do not know
            guard.failed("starlette.find")
            return self._server.unresolved("starlette", matched)

    def _find(self, matched: Any, exchange: Exchange, scope: Scope) -> Route:
        routing = sys.modules["starlette.routing"]
        if matched is None or isinstance(matched, (routing.Mount, routing.Host)):
            # Perhaps a route class with a `handle` of its own.
            matched = scope.get("route") or matched
        if matched is None or matched is UNMATCHED:
            label = _unmatched_label(exchange, scope)
            if label is UNRESOLVED:
                return self._server.unresolved("starlette", None)
            return self._server.route(label)
        if isinstance(matched, (routing.Mount, routing.Host)):
            return self._server.route(_mount_label(exchange, matched))
        return self._remember(matched, exchange.prefix)

    def _remember(self, matched: Any, prefix: str) -> Route:
        path = getattr(matched, "path", None)
        if not isinstance(path, str):
            return self._server.unresolved("starlette", matched)
        route = self._server.route(prefix + path or "/", getattr(matched, "endpoint", None))
        key = (prefix, id(matched)) if prefix else id(matched)
        return remember(self._remembered, key, (matched, route))[1]


def as_coroutine_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a plain function that returns a coroutine be told as one that is `async def`.

    The wrapped method is one, and a frame of our own around it would cost every request.
    """
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    marker = getattr(asyncio.coroutines, "_is_coroutine", None)
    vars(function)["_is_coroutine"] = marker
    return function


def _tell_route(wrapped: Handle) -> Handle:
    @functools.wraps(wrapped)
    def handle(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = scope.get(EXCHANGE)
        if exchange is not None:
            exchange.matched = self
        return wrapped(self, scope, receive, send)

    return as_coroutine_function(handle)


def _tell_mount(wrapped: Handle) -> Handle:
    @functools.wraps(wrapped)
    def handle(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange: Exchange | None = scope.get(EXCHANGE)
        if exchange is not None:
            try:
                exchange.matched = self
                exchange.prefix += self.path
            except Exception:
                guard.failed("starlette.mount")
        return wrapped(self, scope, receive, send)

    return as_coroutine_function(handle)


def _tell_unmatched(default: App) -> App:
    @functools.wraps(default)
    def unmatched(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = scope.get(EXCHANGE)
        if exchange is not None:
            exchange.matched = UNMATCHED
        return default(scope, receive, send)

    return as_coroutine_function(unmatched)


def _unmatched_label(exchange: Exchange, scope: Scope) -> str:
    # The router leaves itself in the scope; after a copy of the scope only `default` tells.
    if exchange.matched is not None:
        return UNMATCHED
    if "router" not in scope:
        return UNROUTED
    if 300 <= exchange.status < 400:
        return REDIRECT
    # The router's default tells; unless it is another one than when we came.
    return UNMATCHED if exchange.status == 404 else UNRESOLVED


def _mount_label(exchange: Exchange, mount: Any) -> str:
    """Nothing below the mount was chosen: a file of it, or no route of the router in it."""
    routes = getattr(mount, "routes", None)
    if routes and exchange.status == 404:
        return UNMATCHED
    if routes and 300 <= exchange.status < 400:
        return REDIRECT
    return exchange.prefix or "/"


def _unwrap_stack(app: Any, made: list[tuple[App, App]]) -> None:
    """Take out of the stack what we put around something in it, wherever that is."""
    holder, attribute, stack = app, "middleware_stack", app.middleware_stack
    for _ in range(_DEEPEST_STACK):
        for outer, inside in made:
            if stack is outer:
                setattr(holder, attribute, inside)
                return
        holder, attribute, stack = stack, "app", getattr(stack, "app", None)
