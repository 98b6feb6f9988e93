"""Measures the WebSockets of ASGI applications in families of their own, never as requests."""

import os
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from perfsdk import catalog, guard
from perfsdk.frameworks.asgi_messages import Message, Receive, Scope, Send
from perfsdk.frameworks.exchange import EXCHANGE
from perfsdk.frameworks.labels import OTHER
from perfsdk.request import current
from perfsdk.store.writer import SCRATCH

if TYPE_CHECKING:
    from perfsdk.frameworks.asgi import Middleware
    from perfsdk.frameworks.exchange import Exchange

REJECTED = "rejected"
"""The close code of a handshake that was turned away: no connection came of it."""

NORMAL = "1000"
NONE_GIVEN = "1005"
ABNORMAL = "1006"
INTERNAL_ERROR = "1011"

REGISTERED = range(1000, 1016)
"""The codes of the protocol; they are labels whoever sent them."""

MAX_CLOSE_CODES = 40
"""Values of the label in a process. An application's own codes are among them while there is
room; of clients, who may choose among thousands, only the registered ones are."""

_POSSIBLE = range(1000, 5000)

_ACCEPTED, _NOT_FOUND = 101, 404


async def serve(middleware: "Middleware", scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application inside of the middleware for one connection."""
    connection = None
    try:
        if EXCHANGE not in scope and scope.get("path") not in middleware.server.excluded:
            scope[EXCHANGE] = connection = Connection(middleware, scope, receive, send)
            token = current.set(None)  # what a connection does is not the time of a request
    except Exception:
        connection = None
        guard.failed("websocket.begin")
    if connection is None:
        await middleware.app(scope, receive, send)
        return
    try:
        await middleware.app(scope, connection.receive, connection.send)
    except BaseException as error:
        try:
            connection.failed(error)
        except Exception:
            guard.failed("websocket.failed")
        raise
    else:
        try:
            connection.returned()
        except Exception:
            guard.failed("websocket.returned")
    finally:
        connection.matched = None  # it may hold a copy of the scope, and so the connection
        try:
            del scope[EXCHANGE]  # else server, scope and connection hold each other
            current.reset(token)
        except (KeyError, ValueError):
            pass  # the framework went on in another context, which ends by itself


class Connection:
    """One WebSocket, from the call of the application to its end.

    It is open from the return of the `send` that accepts it to the first of: the client's
    disconnect as the application receives it, the return of the `send` that closes it, the end
    of the application. `matched`, `prefix` and `status` are those of an `Exchange`.
    """

    __slots__ = (
        "_accepted",
        "_early",
        "_left",
        "_lost",
        "_middleware",
        "_over",
        "_process",
        "_receive",
        "_received",
        "_scope",
        "_send",
        "_sent",
        "_template",
        "_writer",
        "matched",
        "prefix",
        "status",
    )

    def __init__(
        self, middleware: "Middleware", scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.matched: Any = None
        self.prefix = ""
        self.status = _NOT_FOUND  # what routers mean by closing, unless something else is told
        self._middleware = middleware
        self._writer = middleware.server.writer
        self._scope = scope
        self._receive = receive
        self._send = send
        self._accepted = 0.0
        self._received = self._sent = SCRATCH
        self._template = ""  # of an open connection that is measured
        self._process = 0  # that of an open connection
        self._early = 0.0
        self._left = ""  # how, when the client left before it was answered
        self._lost = False
        self._over = False

    async def receive(self) -> Message:
        message = await self._receive()
        try:
            kind = message["type"]
            if kind == "websocket.receive":
                if self._accepted:
                    self._writer.values[self._received] += 1.0
                else:  # a task of its own receives, before the return of the `send` that accepts
                    self._early += 1.0
            elif kind == "websocket.disconnect":
                label = self._label(message.get("code"), NONE_GIVEN)
                if self._accepted:
                    self._end(label)
                else:  # counted at the end: the route may not be known yet
                    self._left = self._left or label
        except IndexError:
            pass  # forked or uninstrumented meanwhile
        except Exception:
            guard.failed("websocket.receive")
        return message

    async def send(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:  # so servers say that the client is gone
            self._lost = True
            raise
        try:
            kind = message["type"]
            if kind == "websocket.send":
                self._writer.values[self._sent] += 1.0
            elif kind == "websocket.accept":
                self._accept()
            elif kind == "websocket.close" and self._accepted:
                self._end(self._label(message.get("code"), NORMAL, own=True))
            elif kind == "websocket.close":
                self._turn_away()
            elif kind == "websocket.http.response.start":
                self.status = message["status"]
                self._turn_away()
        except IndexError:
            pass  # forked or uninstrumented meanwhile
        except Exception:
            guard.failed("websocket.send")

    def failed(self, error: BaseException) -> None:
        """The application raised."""
        cut_off = self._lost or not isinstance(error, Exception)  # cancelled, say
        self._stop(ABNORMAL if cut_off else INTERNAL_ERROR, cut_off=cut_off)

    def returned(self) -> None:
        """The application returned; if the connection is open, the server drops it."""
        self._stop(ABNORMAL, cut_off=self._lost)

    def _stop(self, label: str, *, cut_off: bool) -> None:
        if self._accepted:
            self._end(label)
            return
        if cut_off:
            self._left = self._left or ABNORMAL
        self._turn_away()

    def _accept(self) -> None:
        if self._over or self._accepted or self._left:
            return
        self._accepted = perf_counter()
        self.status = _ACCEPTED
        template = self._find_template()
        if not template:
            return
        recorder = self._middleware.server.recorder
        messages = recorder.counter(catalog.WEBSOCKET_MESSAGES)
        self._received = messages[template, "received"]
        self._sent = messages[template, "sent"]
        recorder.gauge(catalog.WEBSOCKET_ACTIVE).add((template,), 1.0)
        self._template, self._process = template, os.getpid()
        self._writer.values[self._received] += self._early

    def _turn_away(self) -> None:
        """No connection came of the handshake: the client left, or it was turned away."""
        if not self._over:
            self._over = True
            self._count_close(self._find_template(), self._left or REJECTED)

    def _end(self, label: str) -> None:
        if self._over:
            return
        self._over = True
        self._received = self._sent = SCRATCH
        template = self._template
        if template and self._process == os.getpid():  # else the parent counts it
            recorder = self._middleware.server.recorder
            recorder.gauge(catalog.WEBSOCKET_ACTIVE).add((template,), -1.0)
            seconds = perf_counter() - self._accepted
            recorder.histogram(catalog.WEBSOCKET_DURATION).observe((template,), seconds)
            self._count_close(template, label)

    def _find_template(self) -> str:
        """The route's; "" when it is not measured."""
        route = self._middleware.find_route(cast("Exchange", self), self._scope)
        return route.template if route.measured else ""

    def _count_close(self, template: str, label: str) -> None:
        if template:
            closes = self._middleware.server.recorder.counter(catalog.WEBSOCKET_CLOSES)
            closes.add((template, label))

    def _label(self, code: Any, otherwise: str, *, own: bool = False) -> str:
        """A code as the label has it; `own`: the application chose it."""
        if code is None:
            return otherwise
        if code in REGISTERED:
            return str(int(code))
        closes = self._middleware.server.recorder.counter(catalog.WEBSOCKET_CLOSES)
        known = {label for _, label in list(closes)}
        if own and code in _POSSIBLE and (str(int(code)) in known or len(known) < MAX_CLOSE_CODES):
            return str(int(code))
        return OTHER
