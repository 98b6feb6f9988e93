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
    NO_RESPONSE,
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

    `matched` is what the framework's router chose: None before, `UNMATCHED` when it found
    nothing; `prefix` joins the templates of the mounts on the way to it. `status` is 0 before
    the response started, `ended` 0 before its last byte was sent, `scope` None once the
    exchange is recorded.
    """

    __slots__ = (
        "_flags",
        "_middleware",
        "_receive",
        "_send",
        "ended",
        "matched",
        "method",
        "prefix",
        "received",
        "scope",
        "sent",
        "status",
    )

    def __init__(
        self, middleware: "Middleware", scope: Scope, receive: Receive, send: Send
    ) -> None:
        # What Account.__init__ does, without the call.
        self.started = perf_counter()
        self.events = []
        self.folded = None
        self.matched: Any = None
        self.prefix = ""
        self.status = 0
        self.received = 0.0  # a real, like the bounds that it is compared with
        self.sent = 0.0
        self.ended = 0.0
        self._flags = 0
        self._middleware = middleware
        self.scope: Scope | None = scope
        self._receive = receive
        self._send = send
        self.method = middleware.server.began(self, scope["method"])

    async def receive(self) -> Message:
        message = await self._receive()
        try:
            if message["type"] == "http.request":
                self.received += len(message.get("body", b""))
            elif message["type"] == "http.disconnect":
                self._flags |= _DISCONNECTED
        except Exception:
            guard.failed("asgi.receive")
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: only the last message is awaited here, the others pass through.
        try:
            kind = message["type"]
            if kind == "http.response.start":
                self.status = message["status"]
                if "trailers" in message:
                    self._flags |= _TRAILERS * bool(message["trailers"])
            elif kind == "http.response.body":
                if "body" in message:
                    self.sent += len(message["body"])
                more = "more_body" in message and message["more_body"]
                if not more and not self._flags & _TRAILERS:
                    return self._send_last(message)
            elif _is_last(message, kind):
                return self._send_last(message)
        except Exception:
            guard.failed("asgi.send")
        return self._send(message)

    async def _send_last(self, message: Message) -> None:
        try:
            await self._send(message)
        except BaseException:
            self._flags |= _DISCONNECTED
            raise
        if self.scope is None:
            return
        self.ended = perf_counter()
        status = self.status
        if status < 500 and not self._flags:
            self.record(status, "")
        elif self._flags & _DISCONNECTED:
            self.record(status, CLIENT_DISCONNECT)
        elif status < 500:
            self.record(status, "")
        elif (handled := sys.exc_info()[0]) is not None:
            self.record(status, handled.__name__)
        # Else the exception that a server error stands for may still follow.

    def record(self, status: int, error_type: str) -> None:
        """Record the exchange, which ended at `ended`; once. Never raises."""
        try:
            scope = self.scope
            if scope is None:
                return
            self.scope = None  # also breaks the cycle of scope and exchange
            middleware = self._middleware
            middleware.server.record(
                self,
                middleware.find_route(self, scope),
                self.method,
                status,
                error_type,
                self.ended,
                self.received,
                self.sent,
            )
        except Exception:
            guard.failed("asgi.record")

    def failed(self, error: BaseException) -> None:
        """The application raised; nothing happens when the response was recorded before."""
        status = self.status
        error_type = type(error).__name__
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled or (status and self._flags & _DISCONNECTED):
            error_type = CLIENT_DISCONNECT
            status = status or CLIENT_CLOSED_REQUEST
        self.ended = self.ended or perf_counter()
        self.record(status or 500, error_type)

    def returned(self) -> None:
        """The application returned; nothing happens when the response was recorded before."""
        status = self.status
        if self.ended:
            self.record(status, str(status))
            return
        self.ended = perf_counter()
        if self._flags & _DISCONNECTED:
            self.record(status or CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT)
        else:
            self.record(status or 500, NO_RESPONSE)


_DISCONNECTED = 1
_TRAILERS = 2


def _is_last(message: Message, kind: str) -> bool:
    """Whether an extension's message carries the last byte."""
    if kind == "http.response.trailers":
        return not message.get("more_trailers", False)
    if kind == "http.response.zerocopysend":
        return not message.get("more_body", False)
    return kind == "http.response.pathsend"


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
            exchange.failed(error)
            raise
        finally:
            if exchange.scope is not None:  # not recorded
                exchange.returned()
            try:
                current.reset(token)
            except ValueError:
                pass  # the framework went on in another context, which ends by itself


class Wrapper(Middleware):
    """What `instrument` returns for a plain ASGI callable; its attributes show through."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)


def plain_route(server: HttpServer) -> Callable[[Exchange, Scope], Route]:
    """For applications that have no router we know."""
    return lambda _exchange, _scope: server.route(UNRESOLVED)
