"""One WSGI request and its response: when it ended, how, and what it moved."""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any

from perfsdk import guard
from perfsdk.frameworks.delivery import COMPRESSIBLE_FROM, declared_bytes
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.labels import CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT, NO_RESPONSE
from perfsdk.frameworks.route import PlainRoute, Route
from perfsdk.frameworks.wsgi_input import Input
from perfsdk.request import Account

if TYPE_CHECKING:
    from perfsdk.frameworks.wsgi import Middleware

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Any]

_NO_BODY = frozenset({"", "0", None})
_WITHOUT_BODY = (204, 304)
_USUAL = {
    f"{status.value} {phrase}": status.value
    for status in HTTPStatus
    for phrase in (status.phrase, status.phrase.upper())
}
"""The number of a status as nearly all applications write it: a third of the time of `int`."""


class WsgiExchange(Account):
    """One request and its response: the account, and what was seen of the response so far.

    `matched` is what the framework's router chose, `prefix` the mounts on the way to it, and
    `matched_by` the application whose router it is. `status` is 0 before `start_response`,
    `error_type` the class of an exception that the framework turned into the response,
    `disconnected` whether the server or the framework found that the client is gone. `environ`
    is None once the exchange is recorded, and then `route` is the one it took.
    """

    __slots__ = (
        "_input",
        "_start_response",
        "_write",
        "disconnected",
        "ended",
        "environ",
        "error_type",
        "first_byte",
        "headers",
        "matched",
        "matched_by",
        "method",
        "middleware",
        "prefix",
        "route",
        "sent",
        "status",
        "streamed",
    )

    matched_by: Any
    route: Route

    def __init__(
        self, middleware: "Middleware", environ: Environ, start_response: StartResponse
    ) -> None:
        # What Account.__init__ does, without the call.
        self.started = perf_counter()
        self.events = []
        self.folded = None
        self.labels = None
        self.queries = None
        self.lookups = None
        self.matched: Any = None
        self.prefix = ""
        self.error_type = ""
        self.status = 0
        self.sent = 0.0  # a real, like the bounds that it is compared with
        self.streamed = False
        self.disconnected = False
        self._input: Input | None = None
        self.middleware = middleware
        self.environ: Environ | None = environ
        self._start_response = start_response
        if environ.get("CONTENT_LENGTH") not in _NO_BODY or "HTTP_TRANSFER_ENCODING" in environ:
            stream = environ.get("wsgi.input")
            if stream is not None:
                environ["wsgi.input"] = self._input = Input(stream)
        self.method = middleware.server.began(self, environ["REQUEST_METHOD"])

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """What the application calls: the server's, and then its `write`."""
        try:
            if exc_info is None:
                self._write = self._start_response(status, headers)
            else:
                self._write = self._start_response(status, headers, exc_info)
        finally:
            exc_info = None  # else its traceback and this frame hold each other
        try:
            self.status = _USUAL.get(status) or int(status[:3])
            self.headers = headers
        except Exception:
            guard.failed("wsgi.start_response")
        return self.write

    def write(self, data: bytes) -> Any:
        """What some old applications call for each part of the body."""
        try:
            result = self._write(data)
        except OSError:  # so servers say that the client is gone
            self.disconnected = True
            raise
        try:
            self.count(data)
        except Exception:
            guard.failed("wsgi.write")
        return result

    def count(self, part: bytes) -> None:
        """A part of the body goes to the server."""
        if not part:
            return
        if self.sent:
            self.streamed = True
        else:
            self.first_byte = perf_counter()
        self.sent += len(part)

    def finish(self, *, given: bool = True) -> None:
        """The response is complete, if one was given: record the request, once."""
        self.ended = perf_counter()
        status = self.status
        if self.disconnected or (self._input and self._input.disconnected):
            self._record(status or CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT)
        elif not status or not given:
            self._record(status or 500, NO_RESPONSE)
        elif status < 500:
            self._record(status, "")
        else:
            self._record(status, self.error_type or str(status))

    def leave(self, *, all_taken: bool = False) -> None:
        """The server takes no more parts: it has all, or the client left."""
        status = self.status
        if status and (all_taken or self._is_complete(status)):
            self.finish()
            return
        self.ended = perf_counter()
        if self.sent and not status:
            self._record(500, NO_RESPONSE)  # what the server refused
        else:
            self._record(status or CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT)

    def failed(self, error: BaseException) -> None:
        """The application raised."""
        self.ended = perf_counter()
        # Until a part of the body is there, servers hold the status back.
        status = self.status if self.sent else 0
        if self.disconnected or (self._input and self._input.disconnected):
            self._record(status or CLIENT_CLOSED_REQUEST, CLIENT_DISCONNECT)
        else:
            self._record(status or 500, type(error).__name__)

    def hand_over(self, inside: "Middleware") -> None:
        """Another middleware inside of this one sees the request; a plain callable's knows less."""
        if isinstance(self.middleware.find_route, PlainRoute):
            self.middleware = inside

    def abandon(self) -> None:
        """Never record the exchange."""
        self.events = None
        self.environ = None

    def forget(self) -> None:
        """End the exchange without recording it. Never raises."""
        try:
            self.events = None
            self.environ = None
            self.middleware.server.forget(self, self.method)
        except Exception:
            guard.failed("wsgi.forget")

    def _record(self, status: int, error_type: str) -> None:
        environ = self.environ
        if environ is None:
            return
        self.environ = None  # also breaks the cycle of environ and exchange
        environ.pop(EXCHANGE, None)
        middleware = self.middleware
        server = middleware.server
        sent = self.sent
        self.route = route = middleware.find_route(self, environ)
        received = 0.0 if self._input is None else self._input.received
        server.record(self, route, self.method, status, error_type, self.ended, received, sent)
        if self.streamed:
            server.delivery.first_byte(route, self.first_byte - self.started)
        if sent >= COMPRESSIBLE_FROM and self.method != "HEAD" and self.status:
            server.delivery.uncompressed(route, sent, self.headers)

    def _is_complete(self, status: int) -> bool:
        """Whether there is nothing more to send, though the body has not said so."""
        if self.method == "HEAD" or status in _WITHOUT_BODY:
            return True
        length = self.declared_bytes()
        return length is not None and self.sent >= length

    def declared_bytes(self) -> int | None:
        """What the response says of its length."""
        return declared_bytes(self.headers) if self.status else None

    def worked_on(self, seconds: float, *, raised: bool) -> None:
        """The application worked so long after its response was recorded."""
        self.middleware.server.delivery.background(self.route, seconds, raised)
