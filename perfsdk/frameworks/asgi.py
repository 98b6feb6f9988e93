"""Measures an ASGI application from the outside, changing nothing that it or its client sees."""

from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.exchange import App, Exchange, Receive, Scope, Send
from perfsdk.frameworks.http_server import UNRESOLVED, HttpServer
from perfsdk.frameworks.route import Route
from perfsdk.request import current

EXCHANGE = "perfsdk.exchange"
"""The key in the scope under which the exchange travels; it survives copies of the scope."""


class Middleware:
    """An ASGI application around another one.

    `find_route` tells the series of the route that an exchange took; it is asked when the
    response is complete. `app` is the application inside.
    """

    def __init__(
        self, app: App, server: HttpServer, find_route: Callable[[Exchange, Scope], Route]
    ) -> None:
        self.app = app
        self.server = server
        self.find_route = find_route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or EXCHANGE in scope:
            await self.app(scope, receive, send)
            return
        try:
            scope[EXCHANGE] = exchange = Exchange(self, scope, receive, send)
            token = current.set(exchange)
        except Exception:
            guard.failed("asgi.begin")
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            try:
                exchange.failed(error)
            except Exception:
                guard.failed("asgi.failed")
            raise
        finally:
            try:
                if exchange.scope is not None:  # not recorded
                    exchange.returned()
            except Exception:
                exchange.forget()
                guard.failed("asgi.returned")
            try:
                del scope[EXCHANGE]  # else server, scope and exchange hold each other
                current.reset(token)
            except (KeyError, ValueError):
                pass  # the framework went on in another context, which ends by itself


class Wrapper(Middleware):
    """What `instrument` returns for a plain ASGI callable; its attributes show through."""

    def __getattr__(self, name: str) -> Any:
        if name == "app":  # not made yet, as when it is copied
            raise AttributeError(name)
        return getattr(self.app, name)

    def stop(self) -> None:
        """Pass everything through from now on; whoever serves it need not take another one."""
        self.__class__ = Stopped


class TracedWrapper(Wrapper):
    """A `Wrapper` with something around it, such as spans: `around` makes it."""

    def __init__(
        self,
        app: App,
        server: HttpServer,
        find_route: Callable[[Exchange, Scope], Route],
        around: Callable[[App], App],
    ) -> None:
        super().__init__(app, server, find_route)
        self._outside = around(Middleware(app, server, find_route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outside(scope, receive, send)


class Stopped(Wrapper):
    """A `Wrapper` that measures no more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def plain_route(server: HttpServer) -> Callable[[Exchange, Scope], Route]:
    """For applications that have no router we know."""
    return lambda _exchange, _scope: server.route(UNRESOLVED)
