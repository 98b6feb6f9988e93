"""Serves the page over HTTP until SIGTERM or SIGINT; collections run in a thread, never here."""

import asyncio
import gzip
import logging
import signal
import socket
from collections.abc import Iterable

from aiohttp import hdrs, web

from perfsdk_exporter.collection import Collector
from perfsdk_exporter.exposition import Format
from perfsdk_exporter.landing import render_landing_page
from perfsdk_exporter.listening import address_of
from perfsdk_exporter.negotiation import accepts_gzip, choose_format

SHUTDOWN_TIMEOUT_SECONDS = 1.0
"""How long a response that is being sent may take after the signal."""

_FAST = 1
"""The gzip level: the page shrinks to a tenth anyway, and the scrape waits for it."""

_log = logging.getLogger(__name__)


def make_application(collector: Collector, telemetry_path: str) -> web.Application:
    """All routes. HEAD is answered like GET, other methods by 405, other paths by 404."""

    async def metrics(request: web.Request) -> web.Response:
        chosen = choose_format(",".join(request.headers.getall(hdrs.ACCEPT, [])))
        encodings = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, []))
        compressed = accepts_gzip(encodings)
        body = await asyncio.to_thread(_page, collector, chosen, compressed=compressed)
        headers = {hdrs.CONTENT_TYPE: chosen.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if compressed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=body, headers=headers)

    async def landing(_: web.Request) -> web.Response:
        collection = await asyncio.to_thread(collector.collect)
        page = render_landing_page(collection, telemetry_path)
        return web.Response(text=page, content_type="text/html")

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="perfsdk-exporter is healthy.\n")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="perfsdk-exporter is ready.\n")

    application = web.Application()
    application.router.add_get(telemetry_path, metrics)
    application.router.add_get("/", landing)
    application.router.add_get("/-/healthy", healthy)
    application.router.add_get("/-/ready", ready)
    return application


async def serve(application: web.Application, sockets: Iterable[socket.socket], path: str) -> None:
    """Serve on open sockets until SIGTERM or SIGINT, then end, idle connections or not."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS)
    await runner.setup()
    try:
        for opened in sockets:
            await web.SockSite(runner, opened).start()
            address = address_of(opened)
            fields = {"address": str(address), "url": f"http://{address}{path}"}
            _log.info("listening", extra={"fields": fields})
        await stop.wait()
        _log.info("stopping")
    finally:
        await runner.cleanup()


def _page(collector: Collector, chosen: Format, *, compressed: bool) -> bytes:
    page = chosen.render(collector.collect().families)
    return gzip.compress(page, _FAST, mtime=0) if compressed else page
