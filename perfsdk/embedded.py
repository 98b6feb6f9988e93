"""The only importer of the exporter: serves its pages from inside the application.

For those without a sidecar: whichever worker is asked reads the files of all and shows the same
totals. Under ASGI, reading, adding up, rendering and compression run in threads of their own;
under WSGI in the thread that the server gives to the request.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from perfsdk import guard
from perfsdk_exporter.collection import Collection, Collector
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.exposition import OWN_PREFIX
from perfsdk_exporter.location import Location
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.web import asked
from perfsdk_exporter.web.refusals import RefusalError
from perfsdk_exporter.web.scraping import Scrapes, timeout_seconds

MAX_SCRAPES = 10
"""Requests for the page that one process works for at the same time; further ones get 503."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
FindTemplate = Callable[[Scope], str | None]
Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_METHODS = ("GET", "HEAD")
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_FAILED = b"the page could not be made; the log of the application says why.\n"


class MetricsPage:
    """The metrics of a directory at one path, and the table of queries at another one.

    For all applications of a process. A forked child works with threads and files of its own,
    made when it is first asked. An ASGI application needs a server that runs asyncio.
    """

    def __init__(self, directory: Path, path: str | None, queries_path: str | None = None) -> None:
        self.paths = frozenset(given for given in (path, queries_path) if given is not None)
        self._queries_path = queries_path
        self._directory = directory
        self._processes: dict[int, _Process] = {}

    def around(self, app: App, find_template: FindTemplate | None = None) -> App:
        """Answer GET and HEAD of the paths; everything else is `app`'s, also its routes."""
        del find_template  # the page is none of them
        return Embedded(app, self)

    def path_of(self, scope: Scope) -> str | None:
        """Which page a request is for. The path of the scope begins with the root path."""
        if scope["type"] != "http" or scope["method"] not in _METHODS:
            return None
        path: str = scope["path"]
        inside = path.removeprefix(scope.get("root_path", ""))
        return next((found for found in (path, inside) if found in self.paths), None)

    async def answer(self, path: str, scope: Scope, send: Send) -> None:
        """Send the page, or one line that says why there is none."""
        try:
            scrapes = self._of_this_process().scrapes
            with scrapes.place():
                page = await self._begin(scrapes, path, scope)
                await send({"type": "http.response.start", "status": 200, "headers": page.headers})
                await _write(scrapes, page, send, head=scope["method"] == "HEAD")
        except RefusalError as refused:
            await _send_line(send, refused.status, refused.line)

    def answer_wsgi(self, environ: Environ, start_response: StartResponse) -> list[bytes] | None:
        """The page that a request to a WSGI application is for; None: it is for none.

        All of it is rendered before the status is said, by the thread that asks.
        """
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD")
        if path not in self.paths or method not in _METHODS:
            return None
        try:
            process = self._of_this_process()
            with process.scrapes.place():
                headers, render = self._asked(
                    path,
                    environ.get("HTTP_ACCEPT", ""),
                    environ.get("HTTP_ACCEPT_ENCODING", ""),
                    environ.get("QUERY_STRING", ""),
                )
                body = b"".join(render(process.collector.collect()))
            status = 200
        except RefusalError as refused:
            status, headers, body = refused.status, _TEXT, f"{refused.line}\n".encode()
        except Exception:
            guard.failed("embedded.wsgi")
            status, headers, body = 500, _TEXT, _FAILED
        told = [*headers.items(), ("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", told)
        return [] if method == "HEAD" else [body]

    def close(self) -> None:
        """End the threads and close the files, when a scrape that runs has ended."""
        process = self._processes.get(os.getpid())
        self._processes.clear()
        if process is not None:
            process.scrapes.close()
            process.collector.close()

    def _of_this_process(self) -> "_Process":
        # Those of a parent are of no use: its threads are not here, its locks may be held.
        pid = os.getpid()
        process = self._processes.get(pid)
        return process or self._processes.setdefault(pid, _Process(self._directory))

    async def _begin(self, scrapes: Scrapes, path: str, scope: Scope) -> "_Page":
        seconds = timeout_seconds(_header(scope, b"x-prometheus-scrape-timeout-seconds"))
        try:
            return await asyncio.wait_for(self._render(scrapes, path, scope), seconds)
        except asyncio.TimeoutError as error:
            line = f"the page was not ready within {seconds:g} s; give the scrape more time."
            raise RefusalError(503, "timeout", line) from error

    async def _render(self, scrapes: Scrapes, path: str, scope: Scope) -> "_Page":
        headers, render = self._asked(
            path,
            _header(scope, b"accept"),
            _header(scope, b"accept-encoding"),
            scope.get("query_string", b"").decode("latin-1"),
        )
        chunks = render(await scrapes.collect())
        return _Page(_encoded(headers), await scrapes.batch(chunks), chunks)

    def _asked(self, path: str, accept: str, encoding: str, query_string: str) -> asked.Asked:
        query = parse_qs(query_string)
        first = {name: values[0] for name, values in query.items()}
        request = asked.Request(accept, encoding, query.get("name[]", []), first)
        if path == self._queries_path:
            return asked.queries(request, has_landing=False)
        return asked.metrics(request, _of_all_workers)


class _Process:
    """What one process answers with; threads may share it."""

    def __init__(self, directory: Path) -> None:
        self.collector = ReapingCollector(directory)
        self.scrapes = Scrapes(self.collector, MAX_SCRAPES)


class ReapingCollector(Collector):
    """Does what the sidecar does in the background: folds the files of ended processes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Location(str(directory), None))
        self._directory = directory
        self._reaper = Reaper()
        self._reaping = Lock()

    def collect(self) -> Collection:
        """Reap, then collect; one at a time, from any thread."""
        with self._reaping:
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
        path = self._page.path_of(scope)
        if path is not None:
            await self._page.answer(path, scope, send)
        else:
            await self.app(scope, receive, send)


class _Page(NamedTuple):
    """A page whose first part is rendered."""

    headers: list[tuple[bytes, bytes]]
    first: bytes
    rest: Iterator[bytes]


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
    await send({"type": "http.response.start", "status": status, "headers": _encoded(_TEXT)})
    await send({"type": "http.response.body", "body": f"{line}\n".encode()})


def _of_all_workers(collection: Collection) -> list[Family]:
    """Not what each process counts of itself: a counter would go down with who is asked."""
    return [family for family in collection.families if _is_of_all_workers(family)]


def _is_of_all_workers(family: Family) -> bool:
    own = family.name.startswith(OWN_PREFIX)
    return not own or (
        family.kind == "gauge" and not family.name.startswith(f"{OWN_PREFIX}process_")
    )


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), text.encode()) for name, text in headers.items()]


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)
