"""Accepts connections, keeps their number and the time of each of their phases within limits."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from perfsdk_exporter.web.protection import Protection
from perfsdk_exporter.web.refusals import Refusals

_LINE_BYTES = 8190
_HEADERS = 64
_LINGERING_SECONDS = 1.0
_NEVER_SECONDS = 1e9
"""aiohttp closes idle connections softly, which a client that reads nothing can put off."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there may be, and how long each phase of one may take."""

    connections: int = 512
    handshake_seconds: float = 10.0
    request_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of the headers."""
    send_seconds: float = 60.0
    """From the first to the last byte of a response."""
    idle_seconds: float = 300.0

    def of(self, phase: str) -> float | None:
        """The seconds a phase may take; None for the time in which the client waits for us."""
        return {
            "request": self.request_seconds,
            "send": self.send_seconds,
            "idle": self.idle_seconds,
        }.get(phase)


class Connection(web.RequestHandler):
    """aiohttp's side of one connection, which knows its phase and can be cut off.

    Phases: `handshake`, `request` (headers are awaited), `answer` (we are at work), `send`,
    `idle`. `since` is the loop's time at which it entered the last one.
    """

    def __init__(
        self,
        server: web.Server,
        admits: Callable[[asyncio.BaseTransport], bool],
        refusals: Refusals,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # AppRunner passes it on the same way
            auto_decompress=False,
            keepalive_timeout=_NEVER_SECONDS,
            lingering_time=_LINGERING_SECONDS,
            max_field_size=_LINE_BYTES,
            max_headers=_HEADERS,
            max_line_size=_LINE_BYTES,
        )
        self._clock = loop.time
        self._admits = admits
        self._refusals = refusals
        self.closed: asyncio.Future[None] = loop.create_future()
        self._wire: asyncio.Transport | None = None
        self.enter("handshake")

    def enter(self, phase: str) -> None:
        self.phase, self.since = phase, self._clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's, for mypy
        self._wire = transport
        if not self._admits(transport):
            self._refusals.count("tls_handshake")
            _log.debug("client certificate without an allowed name")
            transport.abort()
            return
        super().connection_made(transport)
        self.enter("request")

    def data_received(self, data: bytes) -> None:
        if self.phase == "idle":
            self.enter("request")
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if not self.closed.done():
            self.closed.set_result(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != 400:
            return super().handle_error(request, status, exc, message)
        # aiohttp would log each with its traceback: a log that anybody can fill.
        self._refusals.count("bad_request")
        _log.debug("request not understood", extra={"fields": {"reason": str(exc)}})
        response = web.Response(status=400, text="This is no request that is understood here.\n")
        response.force_close()
        return response

    def cut(self) -> None:
        """Close at once, whatever was not sent yet."""
        if self._wire is not None:
            self._wire.abort()


@web.middleware
async def note_phases(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tells a connection when its request is there and when the response is written."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.enter("answer")
    try:
        return await handler(request)
    finally:
        connection.enter("idle")


def note_sending(request: web.Request) -> None:
    """The response is ready: from now on it is the client that takes its time."""
    if isinstance(request.protocol, Connection):
        request.protocol.enter("send")


class Connections:
    """All connections of a server, accepted by tasks of its own, with the TLS of the moment."""

    def __init__(
        self, server: web.Server, limits: Limits, protection: Protection | None, refusals: Refusals
    ) -> None:
        self._server = server
        self._limits = limits
        self._protection = protection
        self._refusals = refusals
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, sockets: Iterable[socket.socket]) -> None:
        """Accept from listening sockets until `stop`."""
        self._tasks = [asyncio.create_task(self._accept(opened)) for opened in sockets]
        self._tasks.append(asyncio.create_task(self._cut_slow()))

    def stop(self) -> None:
        """Accept no more; those that are open stay."""
        for task in self._tasks:
            task.cancel()

    def cut_all(self) -> None:
        """Close what is left."""
        for connection, task in self._open.items():
            connection.cut()
            task.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                # No descriptor is left, or the client is gone already.
                _log.warning("connection not accepted", extra={"fields": {"reason": str(error)}})
                await asyncio.sleep(1)
                continue
            if self._make_room():
                self._open_connection(accepted)
            else:
                accepted.close()

    def _open_connection(self, accepted: socket.socket) -> None:
        running = self._protection.in_force if self._protection else None
        tls = running.config.tls if running else None

        def admits(transport: asyncio.BaseTransport) -> bool:
            return tls is None or tls.admits(transport.get_extra_info("peercert"))

        connection = Connection(self._server, admits, self._refusals)
        context = running.context if running else None
        self._open[connection] = asyncio.create_task(self._keep(connection, accepted, context))

    async def _keep(
        self, connection: Connection, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._limits.handshake_seconds if context else None,
            )
            await connection.closed
        except (OSError, asyncio.TimeoutError) as error:
            self._refusals.count("tls_handshake")
            _log.debug("TLS handshake failed", extra={"fields": {"reason": str(error)}})
        finally:
            del self._open[connection]

    def _make_room(self) -> bool:
        """Whether one more may come: where there are too many, one that waits is cut for it."""
        if len(self._open) < self._limits.connections:
            return True
        self._refusals.count("connection_limit")
        waiting = [c for c in self._open if c.phase not in ("answer", "send")]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda connection: connection.since)
        oldest.cut()
        self._open[oldest].cancel()
        return True

    async def _cut_slow(self) -> None:
        phases = ("request", "send", "idle")
        shortest = min(filter(None, map(self._limits.of, phases)))
        while True:
            await asyncio.sleep(min(1.0, shortest / 4))
            now = asyncio.get_running_loop().time()
            for connection in list(self._open):
                allowed = self._limits.of(connection.phase)
                if allowed is not None and now - connection.since > allowed:
                    if connection.phase != "idle":
                        self._refusals.count("slow_client")
                    connection.cut()
