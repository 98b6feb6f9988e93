"""Quart (0.19 and newer): the rule that a request matched, told by its context.

The context of a request or a websocket matches it in a method that is documented to be
overridden. Quart answers exceptions when it has handled them, so their class is told by what
handles them. What runs as a background task of the application is no part of a request.
https://quart.palletsprojects.com/en/latest/reference/source/quart.ctx/
"""

import functools
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.asgi import Around, Middleware
from perfsdk.frameworks.asgi_messages import Scope
from perfsdk.frameworks.delivery import BACKGROUND_FROM_SECONDS
from perfsdk.frameworks.exchange import EXCHANGE, Exchange
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import REDIRECT, UNMATCHED, UNROUTED
from perfsdk.frameworks.placement import put_around
from perfsdk.frameworks.route import Route, remember
from perfsdk.frameworks.selection import opted_out
from perfsdk.frameworks.starlette import as_coroutine_function
from perfsdk.request import current
from perfsdk.wrapping.patches import Patches


class Answered(Exchange):
    """An exchange whose application only ends its own tasks after the last byte.

    That takes some turns of the event loop, so it is long where the loop is busy.
    """

    __slots__ = ()

    def worked_on(self, *, raised: bool = False) -> None:
        """Nothing: background tasks are timed where they are added."""


def is_application(app: object) -> bool:
    """Whether this is a Quart application; imports nothing."""
    module = sys.modules.get("quart.app")
    return module is not None and isinstance(app, module.Quart)


def patch_routing(patches: Patches) -> None:
    """Have contexts tell what was matched, and applications which exceptions they handle."""
    contexts = sys.modules["quart.ctx"]
    patches.replace(contexts.RequestContext, "match_request", _tell_rule)
    patches.replace(contexts.WebsocketContext, "match_request", _tell_rule)
    application = sys.modules["quart.app"].Quart
    patches.replace(application, "handle_user_exception", _tell_error)
    patches.replace(application, "handle_exception", _tell_error)


def instrument_application(app: Any, server: HttpServer, patches: Patches, around: Around) -> None:
    """Put a middleware outside of `asgi_app`, and time the background tasks."""
    find_route = RouteFinder(app, server).find
    middleware = Middleware(app.asgi_app, server, find_route)
    put_around(app, "asgi_app", middleware, patches, around)
    apart = functools.partial(
        _apart, ensure_async=app.ensure_async, server=server, find_route=find_route
    )
    patches.replace(app, "add_background_task", apart)


class RouteFinder:
    """Finds the series of the rule that an exchange matched, remembered by the rule's identity."""

    def __init__(self, app: Any, server: HttpServer) -> None:
        self._app = app
        self._server = server
        # The object is kept beside its series, else its id could be given to another one.
        self._remembered: dict[int, tuple[object, Route]] = {}

    def find(self, exchange: Exchange, _scope: Scope) -> Route:
        """The route of an exchange whose response is complete."""
        try:
            return self._remembered[id(exchange.matched)][1]
        except KeyError:
            pass
        matched = exchange.matched
        try:
            return self._find(matched, exchange)
        except Exception:  # a version that we do not know
            guard.failed("quart.find")
            return self._server.unresolved("quart", matched)

    def _find(self, matched: Any, exchange: Exchange) -> Route:
        if matched is None:
            # Where contexts do not tell, nobody knows who answered.
            if _contexts_tell():
                return self._server.route(UNROUTED)
            return self._server.unresolved("quart", None)
        if matched in (UNMATCHED, REDIRECT):
            return self._server.route(matched)
        template = getattr(matched, "rule", None)
        if isinstance(template, str):
            endpoint = opted_out(self._app.view_functions.get(matched.endpoint))
        else:  # perhaps of an application of another framework inside this one
            template, endpoint = getattr(matched, "path", None), getattr(matched, "endpoint", None)
            if not isinstance(template, str):
                return self._server.unresolved("quart", matched)
            return self._server.route(exchange.prefix + template, endpoint)
        route = self._server.route(template, endpoint)
        return remember(self._remembered, id(matched), (matched, route))[1]


def _contexts_tell() -> bool:
    contexts = sys.modules["quart.ctx"]
    return hasattr(getattr(contexts.RequestContext, "match_request", None), "__wrapped__")


def _tell_rule(wrapped: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(wrapped)
    def match_request(self: Any) -> None:
        wrapped(self)
        # In a frame of its own: an exception that was caught inside keeps this one.
        _tell(self)

    return match_request


def _tell(context: Any) -> None:
    try:
        request = context.request_websocket
        exchange = request.scope.get(EXCHANGE)
        # What is there already is a mount of another framework, which has the label.
        if exchange is not None and exchange.matched is None:
            exchange.matched = request.url_rule or _unmatched(context)
            if type(exchange) is Exchange:  # else a websocket
                exchange.__class__ = Answered
    except Exception:
        guard.failed("quart.match_request")


def _unmatched(context: Any) -> Any:
    """What it is instead that no rule was matched."""
    # Never the exception itself: its traceback leads back here, so nothing would be freed.
    error = context.request_websocket.routing_exception
    code = getattr(error, "code", None) or 404
    if code == 405:
        method = error.valid_methods[0]
        rule, _ = context.url_adapter.match(method=method, return_rule=True)
        return rule
    return REDIRECT if 300 <= code < 400 else UNMATCHED


Handling = Callable[..., Awaitable[Any]]


def _tell_error(wrapped: Handling) -> Handling:
    @functools.wraps(wrapped)
    def handle(self: Any, error: Exception, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        exchange = current.get()
        if isinstance(exchange, Exchange):
            exchange.error_type = type(error).__name__
        return wrapped(self, error, *args, **kwargs)

    return as_coroutine_function(handle)


def _apart(
    wrapped: Callable[..., Any],
    *,
    ensure_async: Callable[..., Any],
    server: HttpServer,
    find_route: Callable[[Exchange, Scope], Route],
) -> Callable[..., Any]:
    """Adds background tasks that are no part of the request in which they are added."""

    @functools.wraps(wrapped)
    def add_background_task(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        account = current.get()
        if account is None:
            return wrapped(func, *args, **kwargs)
        if isinstance(account, Exchange):
            try:
                func = _timed(func, ensure_async, server, find_route(account, {}))
            except Exception:
                guard.failed("quart.background")
        token = current.set(None)  # the task copies it
        try:
            return wrapped(func, *args, **kwargs)
        finally:
            current.reset(token)

    return add_background_task


def _timed(
    func: Callable[..., Any], ensure_async: Callable[..., Any], server: HttpServer, route: Route
) -> Callable[..., Awaitable[Any]]:
    """The function, awaited as Quart would, which runs those that are not async in threads."""

    @functools.wraps(func)
    async def run(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        raised = False
        try:
            return await ensure_async(func)(*args, **kwargs)
        except Exception:
            raised = True
            raise
        finally:
            try:
                seconds = perf_counter() - started
                if raised or seconds >= BACKGROUND_FROM_SECONDS:
                    server.delivery.background(route, seconds, raised)
            except Exception:
                guard.failed("quart.background")

    return run
