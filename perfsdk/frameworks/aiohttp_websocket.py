"""Records the websockets of aiohttp.web applications into families of their own."""

import functools
from collections.abc import Awaitable, Callable
from importlib import import_module
from time import perf_counter
from typing import Any

from perfsdk import catalog, guard
from perfsdk.frameworks.aiohttp_routes import match_of, template_of
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.frameworks.labels import OTHER, UNRESOLVED
from perfsdk.frameworks.selection import is_excluded
from perfsdk.wrapping.patches import Patches

_CONNECTION = "_perfsdk_connection"
_REJECTED = "rejected"
_ABNORMAL = "1006"
_NORMAL = 1000
_REGISTERED = range(1000, 1016)
_MESSAGES = (1, 2)
"""The opcodes of text and of binary messages."""

Method = Callable[..., Awaitable[Any]]


def is_handshake(request: Any) -> bool:
    """Whether a client asks for a websocket, as aiohttp's own handshake tells it."""
    if not getattr(getattr(request, "_message", None), "upgrade", True):
        return False
    return str(request.headers.get("Upgrade", "")).strip().lower() == "websocket"


class Connection:
    """A handshake, and the websocket that it led to if the application accepted it."""

    def __init__(self, server: HttpServer, request: Any) -> None:
        self._server = server
        self._request = request
        self._socket: Any = None
        self._template = ""  # that of an open websocket which is measured
        self._closed_with: int | None = None
        self._accepted = 0.0
        request.writer.perfsdk_connection = self  # the websocket finds it there

    def accept(self, socket: Any) -> None:
        """The handshake was answered: the websocket is open."""
        if self._request is None or self._socket is not None:
            return
        template = self._find_template()
        self._socket = socket
        self._accepted = perf_counter()
        self._template = template
        if template:
            self._server.recorder.gauge(catalog.WEBSOCKET_ACTIVE).add((template,), 1.0)

    def move(self, direction: str) -> None:
        """A message was `received` or `sent`."""
        if self._template:
            counter = self._server.recorder.counter(catalog.WEBSOCKET_MESSAGES)
            counter.add((self._template, direction))

    def close_with(self, code: int) -> None:
        """The application closes the websocket; what the client answers is not why it ended."""
        self._closed_with = code

    def end(self) -> None:
        """The websocket is closed, or nobody serves it any more; once. Never raises."""
        try:
            request, socket = self._request, self._socket
            if request is None:
                return
            vars(request.writer).pop("perfsdk_connection", None)
            if socket is None:
                self._reject()
            else:
                self._end(socket.close_code)
        except Exception:
            guard.failed("aiohttp.websocket")
        finally:
            self._request = self._socket = None  # also breaks the cycle of them
            self._template = ""

    def returned(self) -> None:
        """Nothing more is done for the request. Never raises."""
        self.end()

    def failed(self, _error: BaseException) -> None:
        """What serves the request raised. Never raises."""
        self.end()

    def forget(self) -> None:
        """Nothing happens: it has ended. Never raises."""

    def _find_template(self) -> str:
        """The route's; "" when it is excluded. Only the families of websockets get a series."""
        template, route = template_of(match_of(self._request), self._request, 0)
        if template is None:
            return UNRESOLVED
        opted_out = route is not None and is_excluded(route.handler)
        return "" if opted_out or template in self._server.excluded else template

    def _reject(self) -> None:
        template = self._find_template()
        if template:
            self._server.recorder.counter(catalog.WEBSOCKET_CLOSES).add((template, _REJECTED))

    def _end(self, code: int | None) -> None:
        template = self._template
        if not template:
            return
        recorder = self._server.recorder
        recorder.gauge(catalog.WEBSOCKET_ACTIVE).add((template,), -1.0)
        seconds = perf_counter() - self._accepted
        recorder.histogram(catalog.WEBSOCKET_DURATION).observe((template,), seconds)
        label = _label(self._closed_with, code)
        recorder.counter(catalog.WEBSOCKET_CLOSES).add((template, label))


def _label(closed_with: int | None, code: int | None) -> str:
    """Which code a websocket was closed with: by the application, else by the client."""
    if closed_with is not None:
        return str(int(closed_with))
    if code is None:  # the connection was lost, or dropped by an exception
        return _ABNORMAL
    # Clients may choose among thousands of codes.
    return str(int(code)) if code in _REGISTERED else OTHER


def patch_websockets(patches: Patches) -> None:
    """Have the websockets of this process tell their connection, where it is measured."""
    kind = import_module("aiohttp.web_ws").WebSocketResponse  # a part of what is imported
    patches.replace(kind, "prepare", _tell_accepted)
    patches.replace(kind, "receive", _tell_received)
    for name in ("send_str", "send_bytes", "send_frame"):
        if hasattr(kind, name):  # the last one is there since 3.11
            patches.replace(kind, name, _tell_sent)
    patches.replace(kind, "close", _tell_closed)


def _tell_accepted(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def prepare(self: Any, request: Any) -> Any:
        writer = await wrapped(self, request)
        try:
            connection = getattr(request.writer, "perfsdk_connection", None)
            if connection is not None:
                vars(self)[_CONNECTION] = connection
                connection.accept(self)
        except Exception:
            guard.failed("aiohttp.accept")
        return writer

    return prepare


def _tell_received(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        message = await wrapped(self, *args, **kwargs)
        try:
            connection = vars(self).get(_CONNECTION)
            if connection is not None and message.type in _MESSAGES:
                connection.move("received")
        except Exception:
            guard.failed("aiohttp.receive")
        return message

    return receive


def _tell_sent(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def send(self: Any, *args: Any, **kwargs: Any) -> None:
        await wrapped(self, *args, **kwargs)
        try:
            connection = vars(self).get(_CONNECTION)
            if connection is not None:
                connection.move("sent")
        except Exception:
            guard.failed("aiohttp.send")

    return send


def _tell_closed(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = None
        try:
            connection = vars(self).get(_CONNECTION)
            # Else it answers the client, who closed before.
            if connection is not None and self.close_code is None and not self.closed:
                connection.close_with(kwargs.get("code", _NORMAL))
        except Exception:
            guard.failed("aiohttp.close")
        try:
            return await wrapped(self, *args, **kwargs)
        finally:
            if connection is not None:
                connection.end()

    return close
