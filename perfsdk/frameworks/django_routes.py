"""The template of Django's routes: what the resolver matched, as one object for each route.

`BaseHandler.resolve_request` resolves the path of every request, of WSGI and ASGI, with and
without `async`, from Django 3.1 on. There the exchange learns what was matched; the route of a
match is already joined through `include()`.
https://docs.djangoproject.com/en/stable/ref/urlresolvers/#django.urls.ResolverMatch.route
"""

import functools
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import REDIRECT, UNMATCHED, UNROUTED
from perfsdk.frameworks.route import Route, remember
from perfsdk.frameworks.selection import is_excluded

_END = re.compile(r"(?<!\\)((?:\\\\)*)(?:\$|\\[Zz])\Z")
"""The anchor at the end of an expression, unless it is escaped itself."""


class Template:
    """A route of Django as other frameworks' routes are: `path` is its template.

    `endpoint` is the view, or its class, and `view` what the resolver gave; kept so that its id
    is never somebody else's.
    """

    __slots__ = ("endpoint", "path", "view")

    def __init__(self, route: str, view: Any) -> None:
        self.path = label(route)
        self.view = view
        self.endpoint = _endpoint(view)


class Templates:
    """One `Template` for each route and view, `known` by the route and the view's id."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], Template] = {}

    def find(self, match: Any) -> Any:
        """The template of a match that is not known; the match itself where it tells none."""
        route, view = getattr(match, "route", None), getattr(match, "func", None)
        if not isinstance(route, str):
            return match
        return remember(self.known, (route, id(view)), Template(route, view))


class RouteFinder:
    """Finds the series of the route that an exchange took.

    `told` is false where Django has not the place in which an exchange learns its route.
    """

    def __init__(self, server: HttpServer, *, told: bool) -> None:
        self._server = server
        self._told = told
        self._known: dict[Any, Route] = {}

    def find(self, exchange: Any, _surroundings: object) -> Route:
        """The route of an exchange whose response is complete."""
        matched = exchange.matched
        try:
            return self._known[matched]
        except (KeyError, TypeError):
            return self._look_up(exchange, matched)

    def _look_up(self, exchange: Any, matched: Any) -> Route:
        server = self._server
        if isinstance(matched, Template):
            return remember(self._known, matched, server.route(matched.path, matched.endpoint))
        if matched is UNMATCHED:
            # A middleware may still redirect what nothing matched: APPEND_SLASH, languages.
            return server.route(REDIRECT if 300 <= exchange.status < 400 else UNMATCHED)
        if matched is None and self._told:
            return server.route(UNROUTED)
        return server.unresolved("django", matched)


def tell_match(wrapped: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Have `resolve_request` tell the exchange what it matched, or that it matched nothing."""
    templates = Templates()
    known = templates.known
    unmatched = sys.modules["django.urls"].Resolver404

    @functools.wraps(wrapped)
    def resolve_request(self: Any, request: Any) -> Any:
        exchange = None
        try:
            # What `carrier_of` does, without the call.
            carrier = getattr(request, "environ", None)
            if carrier is None:
                carrier = getattr(request, "scope", None)
            if carrier is not None:
                exchange = carrier.get(EXCHANGE)
        except Exception:
            guard.failed("django.request")
        if exchange is None:
            return wrapped(self, request)
        try:
            match = wrapped(self, request)
        except unmatched:
            exchange.matched = UNMATCHED
            raise
        try:
            try:
                exchange.matched = known[match.route, id(match.func)]
            except (KeyError, TypeError, AttributeError):
                exchange.matched = templates.find(match)
        except Exception:
            guard.failed("django.match")
        return match

    return resolve_request


def carrier_of(request: Any) -> MutableMapping[str, Any] | None:
    """The environ or scope of a request, in which its exchange travels."""
    carrier = getattr(request, "environ", None)
    return getattr(request, "scope", None) if carrier is None else carrier


def label(route: str) -> str:
    """The template of a route as Django joins it, from the slash at its begin.

    Parameters stay as they are written, `<int:pk>` and `(?P<pk>[0-9]+)`; an expression loses
    the anchors around it.
    """
    return "/" + _END.sub(r"\1", route.removeprefix("^"))


def files_label(handler: Any) -> str:
    """The path below which a handler serves static files, without the script's name."""
    path: str = handler.base_url[2]
    script_name = sys.modules["django.conf"].settings.FORCE_SCRIPT_NAME or ""
    return label(path.removeprefix(script_name.rstrip("/")).removeprefix("/"))


def _endpoint(view: Any) -> Any:
    """What `perfsdk.exclude` may have decorated: the view, or the class that it was made of."""
    while isinstance(view, functools.partial):
        view = view.func
    if is_excluded(view):
        return view
    return getattr(view, "view_class", None) or getattr(view, "cls", None) or view
