"""The only importer of the exporter: serves its page from inside the application.

For those without a sidecar: whichever worker is asked reads the files of all and shows the same
totals. Reading, adding up, rendering and compression run in threads of their own.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from perfsdk import guard
from perfsdk_exporter.collection import Collection, Collector
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.compression import compress
from perfsdk_exporter.formats.exposition import OWN_PREFIX
from perfsdk_exporter.formats.negotiation import choose_encoding, choose_format
from perfsdk_exporter.location import Location
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.web.refusals import RefusalError
from perfsdk_exporter.web.scraping import Scrapes, named, timeout_seconds

MAX_SCRAPES = 10
"""Requests for the page that one process works for at the same time; further ones get 503."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
FindTemplate = Callable[[Scope], str | None]

_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]


class MetricsPage:
    """The page of a directory at one path, for all applications of a process.

    A forked child works with threads and files of its own, made when it is first asked. Needs a
    server that runs asyncio.
    """

    def __init__(self, directory: Path, path: str) -> None:
        self.path = path
        self._directory = directory
        self._pid = 0
        self._collector: Collector | None = None
        self._scrapes: Scrapes | None = None

    def around(self, app: App, find_template: FindTemplate | None = None) -> App:
        """Answer GET and HEAD of the path; everything else is `app`'s, also its routes."""
        del find_template  # the page is none of them
        return Embedded(app, self)

    def is_asked(self, scope: Scope) -> bool:
        """Whether a request is for the page. The path of the scope begins with the root path."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return False
        path: str = scope["path"]
        return path == self.path or path == scope.get("root_path", "") + self.path

    async def answer(self, scope: Scope, send: Send) -> None:
        """Send the page, or one line that says why there is none."""
        try:
            scrapes = self._of_this_process()
            with scrapes.place():
                page = await _begin(scrapes, scope)
                await send({"type": "http.response.start", "status": 200, "headers": page.headers})
                await _write(scrapes, page, send, head=scope["method"] == "HEAD")
        except RefusalError as refused:
            await _send_line(send, refused.status, refused.line)

    def close(self) -> None:
        """End the threads and close the files, when a scrape that runs has ended."""
        if self._scrapes is not None and self._pid == os.getpid():
            self._scrapes.close()
        if self._collector is not None and self._pid == os.getpid():
            self._collector.close()
        self._pid, self._scrapes, self._collector = 0, None, None

    def _of_this_process(self) -> Scrapes:
        # Those of a parent are of no use: its threads are not here, its locks may be held.
        scrapes = self._scrapes
        if scrapes is None or self._pid != os.getpid():
            collector = self._collector = ReapingCollector(self._directory)
            scrapes = self._scrapes = Scrapes(collector, MAX_SCRAPES)
            self._pid = os.getpid()
        return scrapes


class ReapingCollector(Collector):
    """Does what the sidecar does in the background: folds the files of ended processes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Location(str(directory), None))
        self._directory = directory
        self._reaper = Reaper()

    def collect(self) -> Collection:
        """Reap, then collect. Called by one thread alone."""
        try:
            self._reaper.reap(self._directory)
        except Exception:
            guard.failed("embedded.reap")
        return super().collect()


class Embedded:
    """An ASGI application with the page outside of everything else."""

    def __init__(self, app: App, page: MetricsPage) -> None:
        self.app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._page.is_asked(scope):
            await self._page.answer(scope, send)
        else:
            await self.app(scope, receive, send)


class _Page(NamedTuple):
    """A page whose first part is rendered."""

    headers: list[tuple[bytes, bytes]]
    first: bytes
    rest: Iterator[bytes]


async def _begin(scrapes: Scrapes, scope: Scope) -> _Page:
    seconds = timeout_seconds(_header(scope, b"x-prometheus-scrape-timeout-seconds"))
    try:
        return await asyncio.wait_for(_render(scrapes, scope), seconds)
    except asyncio.TimeoutError as error:
        line = f"the page was not ready within {seconds:g} s; give the scrape more time."
        raise RefusalError(503, "timeout", line) from error


async def _render(scrapes: Scrapes, scope: Scope) -> _Page:
    chosen = choose_format(_header(scope, b"accept"))
    encoding = choose_encoding(_header(scope, b"accept-encoding"))
    headers = [
        (b"content-type", chosen.content_type.encode()),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    if encoding != "identity":
        headers.append((b"content-encoding", encoding.encode()))
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    families = filter(_is_of_all_workers, (await scrapes.collect()).families)
    chunks = iter(compress(chosen.render(named(families, query.get("name[]", []))), encoding))
    return _Page(headers, await scrapes.batch(chunks), chunks)


async def _write(scrapes: Scrapes, page: _Page, send: Send, *, head: bool) -> None:
    batch = page.first
    while batch and not head:
        await send({"type": "http.response.body", "body": batch, "more_body": True})
        try:
            batch = await scrapes.batch(page.rest)
        except RefusalError:
            return  # logged; a response without its end is taken for a page by nobody
    await send({"type": "http.response.body", "body": b""})


async def _send_line(send: Send, status: int, line: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _TEXT})
    await send({"type": "http.response.body", "body": f"{line}\n".encode()})


def _is_of_all_workers(family: Family) -> bool:
    """Not what each process counts of itself: a counter would go down with who is asked."""
    own = family.name.startswith(OWN_PREFIX)
    return not own or (
        family.kind == "gauge" and not family.name.startswith(f"{OWN_PREFIX}process_")
    )


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)
