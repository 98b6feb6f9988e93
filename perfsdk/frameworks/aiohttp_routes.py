"""Finds the template of the route that an aiohttp.web request took, in constant time."""

from typing import Any

from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import REDIRECT, UNMATCHED, UNROUTED
from perfsdk.frameworks.route import Route, remember

_METHOD_NOT_ALLOWED = 405


class RouteFinder:
    """Finds the series of a request, remembered by the identity of the route's object."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        # The object is kept beside its series, else its id could be given to another one.
        self._remembered: dict[int, tuple[object, Route]] = {}

    def find(self, request: Any, status: int) -> Route:
        """The route of a request that was answered with `status`."""
        match = match_of(request)
        try:
            # Remembered objects are kept, so an id is never somebody else's.
            return self._remembered[id(match.route)][1]
        except (KeyError, AttributeError):
            pass
        template, route = template_of(match, request, status)
        if template is None:
            return self._server.unresolved("aiohttp", route)
        if route is None:
            return self._server.route(template)
        known = self._remembered.get(id(route))
        if known is not None:
            return known[1]
        found = self._server.route(template, getattr(route, "handler", None))
        return remember(self._remembered, id(route), (route, found))[1]


def match_of(request: Any) -> Any:
    """What the router found for a request; None when it was not asked."""
    try:
        return request.match_info
    except AssertionError:  # so aiohttp says that there is nothing
        return None


def template_of(match: Any, request: Any, status: int) -> tuple[str | None, Any]:
    """The template of what the router found, and the route, None where there is none of it.

    The template is None when it cannot be told.
    """
    if match is None:
        return UNROUTED, None
    refusal = getattr(match, "http_exception", None)
    if refusal is not None:
        if 300 <= status < 400:  # a middleware found the path with another slash
            return REDIRECT, None
        if refusal.status != _METHOD_NOT_ALLOWED:
            return UNMATCHED, None
        match = _match_by_allowed_method(match, request, refusal)
    route = getattr(match, "route", None)
    template = getattr(getattr(route, "resource", None), "canonical", None)
    return (template or "/", route) if isinstance(template, str) else (None, route)


def _match_by_allowed_method(match: Any, request: Any, refusal: Any) -> Any:
    """What the router finds for the path when the method is one of those that it names.

    The refusal itself knows no route. None when the router cannot tell it here and now.
    """
    method = min(refusal.allowed_methods)
    router = match.apps[0].router
    resolving = router.resolve(_AnotherMethod(request, method))
    try:
        resolving.send(None)
    except StopIteration as done:
        found = done.value
        return None if found.http_exception is not None else found
    resolving.close()  # it waits for something, which nobody may do here
    return None


class _AnotherMethod:
    """A request as it is, but for its method."""

    def __init__(self, request: Any, method: str) -> None:
        self._request = request
        self.method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)
