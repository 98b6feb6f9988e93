"""One ASGI request and its response: when it ended, how, and what it moved."""

import asyncio
import sys
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from perfsdk import guard
from perfsdk.frameworks.asgi_messages import Message, Receive, Scope, Send, file_size, is_last
from perfsdk.frameworks.delivery import (
    BACKGROUND_FROM_SECONDS,
    COMPRESSIBLE_FROM,
    declared_bytes,
)
from perfsdk.frameworks.labels import CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT, NO_RESPONSE
from perfsdk.frameworks.route import PlainRoute, Route
from perfsdk.request import Account

if TYPE_CHECKING:
    from perfsdk.frameworks.asgi import Middleware

EXCHANGE = "perfsdk.exchange"
"""The key in the scope under which the exchange travels; it survives copies of the scope."""


class Exchange(Account):
    """One request and its response: the account, and what was seen of the messages so far.

    `matched` is what the framework's router chose: None before, `UNMATCHED` when it found
    nothing; `prefix` joins the templates of the mounts on the way to it. `status` is 0 before
    the response started, `ended` 0 before its last byte was sent, `scope` None once it is
    recorded, by then it has a `route`. `error_type`: the exception that became a server error.
    """

    __slots__ = (
        "_flags",
        "_middleware",
        "_receive",
        "_send",
        "ended",
        "error_type",
        "first_part",
        "matched",
        "method",
        "prefix",
        "received",
        "route",
        "scope",
        "sent",
        "start",
        "status",
    )

    route: Route

    def __init__(
        self, middleware: "Middleware", scope: Scope, receive: Receive, send: Send
    ) -> None:
        # What Account.__init__ does, without the call.
        self.started = perf_counter()
        self.events = []
        self.folded = None
        self.labels = None
        self.queries = None
        self.lookups = None
        self.error_type = ""
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
                self._flags |= _DISCONNECTED if self.status else _DISCONNECTED | _LEFT_EARLY
        except Exception:
            guard.failed("asgi.receive")
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: only parts of the body are awaited here, the others pass through.
        try:
            kind = message["type"]
            if kind == "http.response.start":
                self.status = message["status"]
                self.start = message
                if "trailers" in message:
                    self._flags |= _TRAILERS * bool(message["trailers"])
            elif kind == "http.response.body":
                if "body" in message:
                    self.sent += len(message["body"])
                more = "more_body" in message and message["more_body"]
                if not more and not self._flags & _TRAILERS:
                    return self._send_last(message)
                return self._send_part(message)
            elif is_last(message, kind):
                if self.status:  # else nothing was started
                    self.sent += file_size(message, kind, self.start)
                return self._send_last(message)
        except Exception:
            guard.failed("asgi.send")
        return self._send(message)

    async def _send_part(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:  # so servers say that the client is gone
            self._flags |= _DISCONNECTED
            raise
        if not self._flags & _BEGUN and self.sent:
            self.first_part = perf_counter(), self.sent
            self._flags |= _BEGUN

    async def _send_last(self, message: Message) -> None:
        # A disconnect told from here on is the end of every exchange, not a client that left.
        flags = self._flags
        try:
            await self._send(message)
        except OSError:
            self._flags |= _DISCONNECTED
            raise
        scope = self.scope
        if scope is None:
            return
        try:
            self.ended = ended = perf_counter()
            status = self.status
            if flags or status >= 500 or self.sent >= COMPRESSIBLE_FROM:
                self._end_unusually(flags, status)
                return
            # What `record` does, without the call.
            self.scope = None
            middleware = self._middleware
            self.route = route = middleware.find_route(self, scope)
            middleware.server.record(
                self, route, self.method, status, "", ended, self.received, self.sent
            )
        except Exception:
            self.forget()
            guard.failed("asgi.record")

    def _end_unusually(self, flags: int, status: int) -> None:
        if flags & _DISCONNECTED:
            self.record(self._status_of_disconnect(), CLIENT_DISCONNECT)
        elif status < 500:
            self.record(status, "")
        elif error_type := self._error_type():
            self.record(status, error_type)
        # Else the exception that a server error stands for may still follow.

    def record(self, status: int, error_type: str) -> None:
        """Record the exchange, which ended at `ended`; once. Never raises."""
        scope = self.scope
        if scope is None:
            return
        self.scope = None  # also breaks the cycle of scope and exchange
        middleware = self._middleware
        server = middleware.server
        try:
            if error_type == CLIENT_DISCONNECT and self._is_complete():
                error_type = ""
            self.route = route = middleware.find_route(self, scope)
            server.record(
                self,
                route,
                self.method,
                status,
                error_type,
                self.ended,
                self.received,
                self.sent,
            )
            if self._flags & _BEGUN and self.sent > self.first_part[1]:  # in several parts
                server.delivery.first_byte(route, self.first_part[0] - self.started)
            if self.sent >= COMPRESSIBLE_FROM and self.method != "HEAD" and self.status:
                server.delivery.uncompressed(route, self.sent, self.start.get("headers"))
            self.recorded = perf_counter()
        except Exception:
            self.forget()
            guard.failed("asgi.record")

    def hand_over(self, inside: "Middleware") -> None:
        """Another middleware inside of this one sees the request; a plain callable's knows less."""
        if isinstance(self._middleware.find_route, PlainRoute):
            self._middleware = inside

    def abandon(self) -> None:
        """Never record the exchange."""
        self.events = None
        self.scope = None

    def forget(self) -> None:
        """End the exchange without recording it. Never raises."""
        self.abandon()
        try:
            self._middleware.server.forget(self, self.method)
        except Exception:
            guard.failed("asgi.forget")

    def worked_on(self, *, raised: bool = False) -> None:
        """The application went on after its response was recorded. Never raises.

        The exception that a server error stands for is that of the request; and what recording
        took was ours.
        """
        try:
            raised = raised and int(self.status) < 500
            seconds = perf_counter() - getattr(self, "recorded", self.ended)
            if raised or seconds > BACKGROUND_FROM_SECONDS:
                self._middleware.server.delivery.background(self.route, seconds, raised)
        except Exception:
            guard.failed("asgi.background")

    def failed(self, error: BaseException) -> None:
        """The application raised; after the response was recorded, that was work after it."""
        if self.scope is None:
            self.worked_on(raised=isinstance(error, Exception))
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        error_type = type(error).__name__
        if self.ended:
            if not cancelled:  # what the server error stood for
                self.record(self.status, error_type)
            return
        self.ended = perf_counter()
        if cancelled or self._flags & _DISCONNECTED or error_type in _CLIENT_LEFT:
            self.record(self._status_of_disconnect(), CLIENT_DISCONNECT)
        else:
            self.record(self.status or 500, error_type)

    def returned(self) -> None:
        """The application returned; nothing happens when the response was recorded before."""
        if self.ended:
            status = int(self.status)  # some servers take text too
            self.record(status, (self._error_type() or str(status)) if status >= 500 else "")
            return
        self.ended = perf_counter()
        if self._flags & _DISCONNECTED:
            self.record(self._status_of_disconnect(), CLIENT_DISCONNECT)
        else:
            self.record(self.status or 500, NO_RESPONSE)

    def _error_type(self) -> str:
        """What a server error stands for; empty when nobody knows yet."""
        handled = sys.exc_info()[0]
        return self.error_type or ("" if handled is None else handled.__name__)

    def _is_complete(self) -> bool:
        """Whether all bytes were sent, though the message that says so was not."""
        if not self.status or self._flags & _LEFT_EARLY:
            return False
        return self.sent == declared_bytes(self.start.get("headers"))

    def _status_of_disconnect(self) -> int:
        """As sent; a server error that began when nobody was there any more is none."""
        status = self.status
        early = self._flags & _LEFT_EARLY and status >= 500
        return CLIENT_CLOSED_REQUEST if early or not status else status


_DISCONNECTED, _TRAILERS, _LEFT_EARLY, _BEGUN = 1, 2, 4, 8

_CLIENT_LEFT = ("ClientDisconnect", "ClientDisconnected")  # of Starlette and uvicorn
