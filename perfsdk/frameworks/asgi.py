"""Measures an ASGI application from the outside, changing nothing that it or its client sees."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.http_server import (
    CLIENT_CLOSED_REQUEST,
    CLIENT_DISCONNECT,
    METHODS,
    NO_RESPONSE,
    OTHER_METHOD,
    UNRESOLVED,
    HttpServer,
    Route,
)
from perfsdk.request import Account, current

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXCHANGE = "perfsdk.exchange"
"""The key in the scope under which the exchange travels; it survives copies of the scope."""


class Exchange(Account):
    """One request and its response: the account, and what was seen of the messages so far.

    `matched` is what the framework's router chose, None before; `prefix` joins the templates
    of the mounts on the way to it; `unmatched` says that the router found nothing.
    """

    __slots__ = (
        "_receive",
        "_send",
        "_trailers",
        "disconnected",
        "ended",
        "matched",
        "method",
        "middleware",
        "prefix",
        "received",
        "recorded",
        "scope",
        "sent",
        "status",
        "unmatched",
    )

    def __init__(
        self, middleware: "Middleware", scope: Scope, receive: Receive, send: Send, started: float
    ) -> None:
        self.started = started
        self.events = []
        self._breakdown = None
        self._folding = False
        self.middleware = middleware
        self.scope: Scope | None = scope
        self.method = METHODS.get(scope["method"], OTHER_METHOD)
        self._receive = receive
        self._send = send
        self._trailers = False
        self.matched: Any = None
        self.unmatched = False
        self.prefix = ""
        self.status = 0
        self.received = 0
        self.sent = 0
        self.ended = 0.0
        self.disconnected = False
        self.recorded = False

    async def receive(self) -> Message:
        message = await self._receive()
        try:
            if message["type"] == "http.request":
                self.received += len(message.get("body", b""))
            elif message["type"] == "http.disconnect":
                self.disconnected = True
        except Exception:
            guard.failed("asgi.receive")
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: only the last message is awaited here, the others pass through.
        try:
            kind = message["type"]
            if kind == "http.response.body":
                body = message.get("body")
                if body:
                    self.sent += len(body)
                if not message.get("more_body", False) and not self._trailers:
                    return self._send_last(message)
            elif kind == "http.response.start":
                self.status = message["status"]
                if message.get("trailers", False):
                    self._trailers = True
            elif kind == "http.response.trailers":
                if not message.get("more_trailers", False):
                    return self._send_last(message)
            elif kind == "http.response.pathsend" or (
                kind == "http.response.zerocopysend" and not message.get("more_body", False)
            ):
                return self._send_last(message)
        except Exception:
            guard.failed("asgi.send")
        return self._send(message)

    async def _send_last(self, message: Message) -> None:
        try:
            await self._send(message)
        except BaseException:
            self.disconnected = True
            raise
        try:
            if not self.recorded and not self.ended:
                self.ended = perf_counter()
                self.middleware.answered(self)
        except Exception:
            guard.failed("asgi.answered")


class Middleware:
    """An ASGI application around another one.

    `find_route` tells the series of the route that an exchange took; it is asked when the
    response is complete. `app` is the application inside, whose attributes show through.
    """

    def __init__(
        self, app: App, server: HttpServer, find_route: Callable[[Exchange, Scope], Route]
    ) -> None:
        self.app = app
        self._server = server
        self._find_route = find_route
        self._stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or EXCHANGE in scope or self._stopped:
            await self.app(scope, receive, send)
            return
        try:
            exchange = Exchange(self, scope, receive, send, perf_counter())
            scope[EXCHANGE] = exchange
            receive = exchange.receive
            send = exchange.send
            self._server.began(exchange, exchange.method)
            token = current.set(exchange)
        except Exception:
            guard.failed("asgi.begin")
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            if not exchange.recorded:
                self._failed(exchange, error)
            raise
        finally:
            if not exchange.recorded:
                self._returned(exchange)
            exchange.scope = None
            try:
                current.reset(token)
            except ValueError:
                pass  # the framework went on in another context, which ends by itself

    def stop(self) -> None:
        """Only pass through from now on."""
        self._stopped = True

    def answered(self, exchange: Exchange) -> None:
        """The last byte was sent at `exchange.ended`: record, unless the error is still to come."""
        self._server.ended(exchange, exchange.method)
        if exchange.disconnected:
            self._record(exchange, exchange.status, CLIENT_DISCONNECT)
        elif exchange.status < 500:
            self._record(exchange, exchange.status, "")
        elif (handled := sys.exc_info()[0]) is not None:
            self._record(exchange, exchange.status, handled.__name__)
        # Else the exception that a server error stands for may follow: _failed or _returned.

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        try:
            status = exchange.status
            error_type = type(error).__name__
            if isinstance(error, asyncio.CancelledError) or (exchange.disconnected and status):
                error_type = CLIENT_DISCONNECT
                status = status or CLIENT_CLOSED_REQUEST
            self._end(exchange, status or 500, error_type)
        except Exception:
            guard.failed("asgi.failed")

    def _returned(self, exchange: Exchange) -> None:
        try:
            status = exchange.status
            if exchange.ended:
                self._end(exchange, status, str(status))
            elif exchange.disconnected:
                self._end(exchange, status or CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT)
            else:
                self._end(exchange, status or 500, NO_RESPONSE)
        except Exception:
            guard.failed("asgi.returned")

    def _end(self, exchange: Exchange, status: int, error_type: str) -> None:
        self._server.ended(exchange, exchange.method)
        if not exchange.ended:
            exchange.ended = perf_counter()
        self._record(exchange, status, error_type)

    def _record(self, exchange: Exchange, status: int, error_type: str) -> None:
        exchange.recorded = True
        scope = exchange.scope
        if scope is None:
            return
        self._server.record(
            exchange,
            self._find_route(exchange, scope),
            exchange.method,
            status,
            error_type,
            ended=exchange.ended,
            received=exchange.received,
            sent=exchange.sent,
        )


def plain_route(server: HttpServer) -> Callable[[Exchange, Scope], Route]:
    """For applications that have no router we know."""
    return lambda _exchange, _scope: server.route(UNRESOLVED)
