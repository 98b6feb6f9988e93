"""Measures an ASGI application from the outside, changing nothing that it or its client sees."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from perfsdk import guard
from perfsdk.frameworks import websocket
from perfsdk.frameworks.asgi_messages import App, Receive, Scope, Send
from perfsdk.frameworks.delivery import BACKGROUND_FROM_SECONDS
from perfsdk.frameworks.exchange import EXCHANGE, Exchange
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.route import Route
from perfsdk.request import current


class Around(Protocol):
    """Puts what belongs outside of the measuring around an application, such as spans.

    `find_template` tells them the route of a request by its scope. Where there is nothing, it
    gives the application back.
    """

    def __call__(
        self, app: App, find_template: Callable[[Scope], str | None] | None = None
    ) -> App: ...


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
            await self._pass(scope, receive, send)
            return
        exchange = None
        try:
            server = self.server
            if scope.get("path") not in server.excluded:
                if server.queue_time is not None:
                    server.queue_time.observe_headers(scope.get("headers"))
                scope[EXCHANGE] = exchange = Exchange(self, scope, receive, send)
                token = current.set(exchange)
        except Exception:
            exchange = None
            guard.failed("asgi.begin")
        if exchange is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            try:
                exchange.failed(error)
            except Exception:
                exchange.forget()
                guard.failed("asgi.failed")
            raise
        else:
            try:
                if exchange.scope is not None:  # not recorded
                    exchange.returned()
                elif perf_counter() - exchange.ended > BACKGROUND_FROM_SECONDS:
                    exchange.worked_on()
            except Exception:
                exchange.forget()
                guard.failed("asgi.returned")
        finally:
            try:
                del scope[EXCHANGE]  # else server, scope and exchange hold each other
                current.reset(token)
            except (KeyError, ValueError):
                pass  # the framework went on in another context, which ends by itself

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await websocket.serve(self, scope, receive, send)
            return
        outer = scope.get(EXCHANGE)
        if isinstance(outer, Exchange):
            outer.hand_over(self)
        await self.app(scope, receive, send)


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
    """A `Wrapper` with something around it, such as spans: `outside`, which measures too."""

    def __init__(
        self,
        app: App,
        server: HttpServer,
        find_route: Callable[[Exchange, Scope], Route],
        outside: App,
    ) -> None:
        super().__init__(app, server, find_route)
        self._outside = outside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outside(scope, receive, send)


class Stopped(Wrapper):
    """A `Wrapper` that measures no more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
