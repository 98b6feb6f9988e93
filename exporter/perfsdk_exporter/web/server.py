"""Serves the page over HTTP until SIGTERM or SIGINT; what takes time runs in threads."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import hdrs, web

from perfsdk_exporter.collection import Collection, Collector
from perfsdk_exporter.families import Family
from perfsdk_exporter.web import asked
from perfsdk_exporter.web.access import add_access
from perfsdk_exporter.web.connections import Connections, Limits, note_phases, note_sending
from perfsdk_exporter.web.landing import render_landing_page
from perfsdk_exporter.web.listening import address_of
from perfsdk_exporter.web.protection import Protection
from perfsdk_exporter.web.refusals import RefusalError, Refusals
from perfsdk_exporter.web.scraping import Scrapes, timeout_seconds

MAX_REQUESTS = 40
"""How many requests are worked for at the same time, unless it is said otherwise."""

SHUTDOWN_TIMEOUT_SECONDS = 1.0
"""How long a response that is being sent may take after the signal."""

OFF = "The table of queries is off; start perfsdk-exporter with --web.queries to serve it."

Ask = Callable[[asked.Request], asked.Asked]

_SCRAPE_TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"
_PROTECTION = web.AppKey("protection", Protection)
_REFUSALS = web.AppKey("refusals", Refusals)

_log = logging.getLogger(__name__)


def make_application(
    collector: Collector,
    telemetry_path: str,
    *,
    max_requests: int = MAX_REQUESTS,
    protection: Protection | None = None,
    with_queries: bool = False,
) -> web.Application:
    """All routes. HEAD is answered like GET, other methods by 405, other paths by 404.

    `max_requests` 0 is no limit; without `protection` everybody is let in; `with_queries`
    switches the table of queries on.
    """
    refusals = Refusals()
    scrapes = Scrapes(collector, max_requests)

    async def send(request: web.Request, ask: Ask) -> web.StreamResponse:
        with scrapes.place():
            page = ask(_asking(request))
            response = web.StreamResponse(headers=page.headers)
            seconds = timeout_seconds(request.headers.get(_SCRAPE_TIMEOUT, ""))
            try:
                chunks, batch = await asyncio.wait_for(begin(page), seconds)
            except asyncio.TimeoutError as error:
                line = f"the page was not ready within {seconds:g} s; give the scrape more time."
                raise RefusalError(503, "timeout", line) from error
            # Only now, when nothing but writing can fail, is the status said.
            note_sending(request)
            await response.prepare(request)
            try:
                while batch and request.method != hdrs.METH_HEAD:
                    await response.write(batch)
                    batch = await scrapes.batch(chunks)
            except RefusalError as refused:
                refusals.count(refused.reason)
                # A page without its end is taken for one by nobody.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def begin(page: asked.Asked) -> tuple[Iterator[bytes], bytes]:
        """All parts of a page but the first, and that one."""
        chunks = page.render(await scrapes.collect())
        return chunks, await scrapes.batch(chunks)

    async def metrics(request: web.Request) -> web.StreamResponse:
        return await send(request, partial(asked.metrics, shown=all_families))

    def all_families(collection: Collection) -> list[Family]:
        own = [refusals.family(), *([protection.family()] if protection else [])]
        return [*collection.families, *own]

    async def queries(request: web.Request) -> web.StreamResponse:
        if not with_queries:
            raise web.HTTPNotFound(text=OFF)
        return await send(request, partial(asked.queries, has_landing=True))

    async def landing(_: web.Request) -> web.Response:
        with scrapes.place():
            collection = await scrapes.collect()
        page = render_landing_page(collection, telemetry_path, with_queries=with_queries)
        return web.Response(text=page, content_type="text/html")

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="perfsdk-exporter is healthy.\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="perfsdk-exporter is ready.\n")

    async def close_threads(_: web.Application) -> None:
        scrapes.close()

    application = web.Application(middlewares=[note_phases])
    application[_REFUSALS] = refusals
    if protection is not None:
        application[_PROTECTION] = protection
    add_access(application, protection, refusals)
    application.router.add_get(telemetry_path, metrics)
    application.router.add_get("/", landing)
    application.router.add_get("/queries", queries)
    application.router.add_get("/-/healthy", healthy)
    application.router.add_get("/-/ready", ready)
    application.on_cleanup.append(close_threads)
    return application


def _asking(request: web.Request) -> asked.Request:
    return asked.Request(
        accept=",".join(request.headers.getall(hdrs.ACCEPT, [])),
        accept_encoding=",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, [])),
        names=request.query.getall("name[]", []),
        parameters=request.query,
    )


async def serve(
    application: web.Application,
    sockets: Sequence[socket.socket],
    path: str,
    limits: Limits | None = None,
) -> None:
    """Serve on open sockets until SIGTERM or SIGINT, then end, idle connections or not."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(application, sockets, limits):
        for opened in sockets:
            _say_listening(opened, path, application.get(_PROTECTION))
        await stop.wait()
        _log.info("stopping")


@asynccontextmanager
async def serving(
    application: web.Application, sockets: Sequence[socket.socket], limits: Limits | None = None
) -> AsyncIterator[None]:
    """Serve while the block runs; the sockets are closed at its end."""
    runner = web.AppRunner(
        application, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS
    )
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - made by setup, for mypy
    protection = application.get(_PROTECTION)
    connections = Connections(runner.server, limits or Limits(), protection, application[_REFUSALS])
    connections.start(sockets)
    try:
        yield
    finally:
        connections.stop()
        await runner.cleanup()
        connections.cut_all()
        for opened in sockets:
            opened.close()


def _say_listening(opened: socket.socket, path: str, protection: Protection | None) -> None:
    config = protection.in_force.config if protection else None
    address = str(address_of(opened))
    scheme = "https" if config and config.tls else "http"
    fields: dict[str, object] = {"address": address, "url": f"{scheme}://{address}{path}"}
    if config:
        fields["basic_auth"] = bool(config.users)
        fields["client_certificates"] = bool(config.tls and config.tls.client_ca)
    _log.info("listening", extra={"fields": fields})
