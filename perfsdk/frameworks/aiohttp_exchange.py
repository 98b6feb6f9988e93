"""One request to an aiohttp.web application and its response: when it ended, how, what it moved."""

import asyncio
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from perfsdk import guard
from perfsdk.frameworks.aiohttp_writer import END_OF_CHUNKS, is_gone, unframed
from perfsdk.frameworks.delivery import BACKGROUND_FROM_SECONDS, COMPRESSIBLE_FROM
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT, NO_RESPONSE
from perfsdk.frameworks.route import Route
from perfsdk.request import Account

if TYPE_CHECKING:
    from perfsdk.frameworks.aiohttp_routes import RouteFinder

_DISCONNECTED = 1
_LEFT_EARLY = 2


class Exchange(Account):
    """One request and its response: the account, and what the writer told so far.

    `status` is 0 before the response started, `request` None once the exchange is recorded, and
    then `ended` is when. `file_bytes` are those that the kernel is to send past the writer.
    """

    __slots__ = (
        "_counted",
        "_finder",
        "_flags",
        "_headers",
        "_server",
        "ended",
        "file_bytes",
        "first_byte",
        "method",
        "request",
        "route",
        "sent",
        "status",
    )

    def __init__(self, server: HttpServer, finder: "RouteFinder", request: Any) -> None:
        # What Account.__init__ does, without the call.
        self.started = perf_counter()
        self.events = []
        self.folded = None
        self.labels = None
        self.queries = None
        self.lookups = None
        self.status = 0
        self.sent = 0.0  # a real, like the bounds that it is compared with
        self.file_bytes = 0
        self.first_byte = 0.0
        self.ended = 0.0
        self._counted = 0
        self._flags = 0
        self._headers: Mapping[str, str] = {}
        self._server = server
        self._finder = finder
        self.route: Route | None = None
        self.request = request
        self.method = server.began(self, request.method)

    def begin_response(self, writer: Any, status_line: str, headers: Mapping[str, str]) -> None:
        """The response is about to start."""
        try:
            self.status = int(status_line.split(" ", 2)[1])
            self._headers = headers
            if is_gone(writer):
                self._flags |= _DISCONNECTED | _LEFT_EARLY
        except Exception:
            guard.failed("aiohttp.begin_response")

    def count_headers(self, writer: Any) -> None:
        """The headers were sent, or wait for the first part of the body: what follows is body."""
        try:
            waiting = getattr(writer, "_headers_buf", None)
            self._counted = writer.output_size + len(waiting or b"")
        except Exception:
            guard.failed("aiohttp.count_headers")

    def count(self, writer: Any, *, last: bool = False) -> None:
        """Add what was sent since the last time, as it was on the way, but without framing."""
        try:
            size = writer.output_size - self._counted
            if size <= 0 or not self.status:  # nothing, or it is no response yet: 100 Continue
                return
            self._counted = writer.output_size
            if writer.chunked:
                size = unframed(size - END_OF_CHUNKS if last else size)
            self.sent += size
            # All of it in one part is no stream.
            if not last and not self.first_byte and size and writer.length != 0:
                self.first_byte = perf_counter()
        except Exception:
            guard.failed("aiohttp.count")

    def broke(self, writer: Any, error: BaseException) -> None:
        """Sending raised: because nobody is there any more, or because of what was sent."""
        try:
            if isinstance(error, ConnectionError) or is_gone(writer):
                self._flags |= _DISCONNECTED
        except Exception:
            guard.failed("aiohttp.broke")

    def end_response(self, writer: Any) -> None:
        """The last byte was sent."""
        if self.request is None or not self.status:
            return
        self.ended = perf_counter()
        self.count(writer, last=True)
        if self.file_bytes and not self.sent:
            self.sent += self.file_bytes
        status = self.status
        if self._flags & _DISCONNECTED:
            self._record(self._status_of_disconnect(), CLIENT_DISCONNECT)
        elif status < 500:
            self._record(status, "")
        else:
            # aiohttp answers an exception while it handles it.
            handled = sys.exc_info()[0]
            self._record(status, str(status) if handled is None else handled.__name__)

    def returned(self) -> None:
        """Nothing more is done for the request. Never raises."""
        if self.request is None:
            self._worked_on(raised=False)
            return
        self.ended = perf_counter()
        if self._flags & _DISCONNECTED:
            self._record(self._status_of_disconnect(), CLIENT_DISCONNECT)
        else:
            self._record(self.status or 500, NO_RESPONSE)

    def failed(self, error: BaseException) -> None:
        """What serves the request raised. Never raises."""
        if self.request is None:
            self._worked_on(raised=isinstance(error, Exception))
            return
        self.ended = perf_counter()
        if isinstance(error, asyncio.CancelledError) or self._flags & _DISCONNECTED:
            self._record(self._status_of_disconnect(), CLIENT_DISCONNECT)
            return
        if type(error) is ConnectionError and error.__context__ is not None:
            # aiohttp says that it cannot answer the exception: a response has begun.
            error = error.__context__
        nothing_sent = not self.status or not self.request.writer.output_size
        self._record(500 if nothing_sent else self.status, type(error).__name__)

    def forget(self) -> None:
        """End the exchange without recording it; nothing happens when it was. Never raises."""
        if self.request is None:
            return
        self.abandon()
        try:
            self._server.forget(self, self.method)
        except Exception:
            guard.failed("aiohttp.forget")

    def abandon(self) -> None:
        """Never record the exchange."""
        self.events = None
        self.request = None

    def _record(self, status: int, error_type: str) -> None:
        request = self.request
        server = self._server
        try:
            self.route = route = self._finder.find(request, status)
            server.record(
                self,
                route,
                self.method,
                status,
                error_type,
                self.ended,
                _received(request),
                self.sent,
            )
            self.request = None  # also breaks the cycle of request, writer and exchange
            if self.first_byte:
                server.delivery.first_byte(route, self.first_byte - self.started)
            if self.sent >= COMPRESSIBLE_FROM and self.method != "HEAD":
                server.delivery.uncompressed(route, self.sent, self._headers.items())
        except Exception:
            self.forget()
            guard.failed("aiohttp.record")

    def _worked_on(self, *, raised: bool) -> None:
        if self.route is None:  # not recorded
            return
        try:
            seconds = perf_counter() - self.ended
            if raised or seconds > BACKGROUND_FROM_SECONDS:
                self._server.delivery.background(self.route, seconds, raised)
        except Exception:
            guard.failed("aiohttp.background")

    def _status_of_disconnect(self) -> int:
        """As sent; a server error that began when nobody was there any more is none."""
        status = self.status
        early = self._flags & _LEFT_EARLY and status >= 500
        return CLIENT_CLOSED_REQUEST if early or not status else status


def _received(request: Any) -> float:
    """Bytes of the body that came, as they came: before decompression where aiohttp tells."""
    content = request.content
    size = getattr(content, "total_raw_bytes", None)
    return float(content.total_bytes if size is None else size)
