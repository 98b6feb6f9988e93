"""Litestar (2.0 and newer): the template that the router left in the scope, in constant time.

The router is told apart from the middleware around it by its own class: the scope that it was
called with holds the handler and the template afterwards, also when a middleware passed on a
copy. What a mount's handler calls may have a router of its own, so the mount's path is taken
on the way in. Where the scope names no template (old versions), the routes of the handler do.
https://docs.litestar.dev/latest/usage/routing/overview.html
"""

import functools
import sys
from collections.abc import Awaitable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.asgi import Around, Middleware
from perfsdk.frameworks.asgi_messages import Receive, Scope, Send
from perfsdk.frameworks.exchange import EXCHANGE, Exchange
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import UNMATCHED, UNROUTED
from perfsdk.frameworks.placement import put_around
from perfsdk.frameworks.route import Route, remember
from perfsdk.frameworks.selection import is_excluded
from perfsdk.frameworks.starlette import Handle, as_coroutine_function
from perfsdk.wrapping.patches import Patches

Entry = tuple[Any, Scope, Any, str]
"""How a request came to a router: the router, the scope, which handler the scope named before
(that of a mount of another router), and the path. What it was routed to stands in the scope."""


def is_application(app: object) -> bool:
    """Whether this is a Litestar application; imports nothing."""
    module = sys.modules.get("litestar.app")
    return module is not None and isinstance(app, module.Litestar)


def patch_routing(patches: Patches) -> None:
    """Have routers tell the exchange that it came to them."""
    patches.replace(sys.modules["litestar._asgi.asgi_router"].ASGIRouter, "__call__", _tell_router)


def instrument_application(app: Any, server: HttpServer, patches: Patches, around: Around) -> None:
    """Put a middleware outside of what the application calls for each connection."""
    find_route = RouteFinder(app, server).find
    middleware = Middleware(app.asgi_handler, server, find_route)
    put_around(app, "asgi_handler", middleware, patches, around)


class RouteFinder:
    """Finds the series of the route that an exchange took, remembered by its handler."""

    def __init__(self, app: Any, server: HttpServer) -> None:
        self._server = server
        self._router = type(app.asgi_router)
        # The handler is kept beside the series, else its id could be given to another one. One
        # handler may serve several templates.
        self._remembered: dict[tuple[str, str, int], tuple[object, Route]] = {}

    def find(self, exchange: Exchange, _scope: Scope) -> Route:
        """The route of an exchange whose response is complete."""
        try:
            _, inner, before, _ = exchange.matched
            handler = inner["route_handler"]
            if handler is not before:
                key = exchange.prefix, inner["path_template"], id(handler)
                # A route refers to no request; a copy of the scope would, in a circle.
                exchange.matched = route = self._remembered[key][1]
                return route
        except (KeyError, TypeError, ValueError):
            pass
        matched = exchange.matched
        if isinstance(matched, Route):
            return matched  # asked once more
        try:
            route = self._find(matched, exchange)
        except Exception:  # a version that we do not know
            guard.failed("litestar.find")
            route = self._server.unresolved("litestar", None)
        if isinstance(matched, tuple):
            exchange.matched = route
        return route

    def _find(self, matched: Any, exchange: Exchange) -> Route:
        if matched is None:
            # Where routers do not tell, nobody knows who answered.
            if hasattr(self._router.__call__, "__wrapped__"):
                return self._server.route(UNROUTED)
            return self._server.unresolved("litestar", None)
        if matched is UNMATCHED:
            return self._server.route(UNMATCHED)
        if not isinstance(matched, tuple):  # a route of another framework inside this one
            path = getattr(matched, "path", None)
            if not isinstance(path, str):
                return self._server.unresolved("litestar", matched)
            return self._server.route(exchange.prefix + path, getattr(matched, "endpoint", None))
        router, inner, before, path = matched
        handler = inner.get("route_handler")
        if handler is None or handler is before:
            return self._unrouted(router, inner, exchange, path)
        return self._routed(router, inner, handler, exchange.prefix, path)

    def _unrouted(self, router: Any, inner: Scope, exchange: Exchange, path: str) -> Route:
        """The router found nothing, or not for the method."""
        handled = sys.exc_info()[0]
        if 405 not in (getattr(exchange, "status", 0), getattr(handled, "status_code", 0)):
            return self._server.route(UNMATCHED)
        node = _node(router, _normalized(inner, path))
        if node is None:
            return self._server.route(UNMATCHED)
        template, handlers = node
        return self._server.route(_join(exchange.prefix, template), _opted_out(handlers))

    def _routed(self, router: Any, inner: Scope, handler: Any, prefix: str, path: str) -> Route:
        handlers = [handler]
        template: str | None
        if getattr(handler, "is_mount", False):
            template = ""  # it is the prefix, taken on the way in
        else:
            template = inner.get("path_template")
            if not isinstance(template, str):
                template = _template_of(router, handlers, _normalized(inner, path))
            if _is_automatic(handler):
                node = _node(router, _normalized(inner, path))
                handlers = node[1] if node else handlers
        if template is None:
            return self._server.unresolved("litestar", handler)
        route = self._server.route(_join(prefix, template), _opted_out(handlers))
        key = prefix, inner.get("path_template", template), id(handler)
        return remember(self._remembered, key, (handler, route))[1]


def _tell_router(wrapped: Handle) -> Handle:
    @functools.wraps(wrapped)
    def call(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = scope.get(EXCHANGE)
        if exchange is not None:
            try:
                matched = exchange.matched
                # What is there already is a mount: of Litestar, or of another framework, which
                # has the label.
                if matched is None or isinstance(matched, tuple):
                    path = scope["path"]
                    exchange.matched = self, scope, scope.get("route_handler"), path
                    if self._mount_routes:
                        exchange.prefix += _mount(self, scope, path)
            except Exception:
                guard.failed("litestar.router")
        return wrapped(self, scope, receive, send)

    return as_coroutine_function(call)


def _mount(router: Any, scope: Scope, path: str) -> str:
    """The path of the mount that the router is about to choose; empty where it is none."""
    normalized = _normalized(scope, path)
    try:
        # The router asks the same, and remembers the answer.
        _, handler, rest, *_ = router.handle_routing(path=normalized, method=scope.get("method"))
    except Exception:
        return ""  # not found, and so will the router say
    if not getattr(handler, "is_mount", False):
        return ""
    mount = normalized[: len(normalized) - len(rest.rstrip("/"))]
    # Mounts have no parameters: theirs are the only paths of clients that are templates.
    return mount if mount in router._mount_routes and mount != "/" else ""  # noqa: SLF001 - nothing public tells


def _normalized(scope: Scope, path: str) -> str:
    """The path as the router looks it up."""
    root_path = scope.get("root_path")
    if root_path:
        path = path.split(root_path, maxsplit=1)[-1]
    normalized: str = sys.modules["litestar.utils"].normalize_path(path)
    return normalized


def _node(router: Any, path: str) -> tuple[str, list[Any]] | None:
    """The template and the handlers of all methods at a path; None: there are none."""
    traversal = sys.modules["litestar._asgi.routing_trie.traversal"]
    try:
        root = router.root_route_map_node
        if path in router._plain_routes:  # noqa: SLF001 - nothing public tells
            node = root.children[path]
        else:
            node = traversal.traverse_route_map(root, path)[0]
    except Exception:
        return None
    handlers = [chosen.handler for chosen in node.asgi_handlers.values()]
    template = getattr(node, "path_template", None)
    return template or _template_of(router, handlers, path) or UNMATCHED, handlers


def _template_of(router: Any, handlers: list[Any], path: str) -> str | None:
    """The template of the handlers that fits a path, by a walk of the routes."""
    segments = path.strip("/").split("/")
    best = None
    for route in router.app.routes:
        known = getattr(route, "route_handlers", None) or [getattr(route, "route_handler", None)]
        if any(handler is one for handler in handlers for one in known) and (
            best is None or len(best.path_components) < len(route.path_components)
        ):
            literal = zip(route.path_components, segments, strict=False)
            if all(part == segment for part, segment in literal if isinstance(part, str)):
                best = route
    return None if best is None else best.path_format


def _join(prefix: str, template: str) -> str:
    return prefix if prefix and template in {"", "/"} else prefix + template or "/"


def _is_automatic(handler: Any) -> bool:
    """Whether Litestar made it, which answers OPTIONS for the handlers of the other methods."""
    function = _functions(handler)[-1]
    return getattr(function, "__module__", "") == "litestar.routes.http"


def _functions(handler: Any) -> list[Any]:
    """A handler, and what it calls inside of what Litestar put around it."""
    found = [handler]
    for name in ("fn", "value", "func"):
        inside = getattr(found[-1], name, None)
        if inside is not None:
            found.append(inside)
    return found


def _opted_out(handlers: list[Any]) -> Any:
    """The function or handler that opted out, if one did."""
    every = (function for handler in handlers for function in _functions(handler))
    return next((function for function in every if is_excluded(function)), None)
