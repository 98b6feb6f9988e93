"""How much there is to store and to scrape: series, bytes and time, by routes and workers.

Unlike the other measurements it compares with nobody: it makes the tables of exporter/README.md.
"""

import asyncio
import os
import re
import sqlite3
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from perfsdk.catalog import METRICS
from tests.bench.applications import scope_of
from tests.bench.figures import Report, table
from tests.bench.scrapes import FORMATS, memory_directory
from tests.e2e.running import start_exporter

KINDS = ("HTTP", "HTTP, database", "HTTP, database, cache")
ROUTES, WORKERS = (10, 100, 500), (1, 4, 16)
TEXT, OPENMETRICS, PROTOBUF = FORMATS
NAMES = {TEXT: "text", OPENMETRICS: "OpenMetrics", PROTOBUF: "protobuf"}

FEW, MANY = 10, 60
"""Routes: what is added from the one to the other is what a route costs."""
WARM_REQUESTS = 450
"""Of each route, after which its slowest requests are told apart: it has all of its series."""
SCRAPES = 5

ROUTE = 'http_route="/shops'
NATIVE = {metric.name for metric in METRICS if metric.native}


def make(kind, routes):
    """An application whose routes answer after the calls that the kind names."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def answer(_request):
        if "database" in kind:
            database().execute("select name from products where id = ?", (7,)).fetchall()
        if "cache" in kind:
            cached()(7)
        return PlainTextResponse("well")

    return Starlette(routes=[Route(f"/shops{n}/items/{{id}}", answer) for n in range(routes)])


@cache
def database():
    """Made by the first request, so that it is measured."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table products (id integer primary key, name text)")
    return connection


@cache
def cached():
    """The same of a cached function."""
    import cachetools

    return cachetools.cached(cachetools.LRUCache(100))(str)


def work(pipe, directory, kind, routes):
    """A worker in a process of its own: asks each route so often as it is told, until it is 0."""
    from perfsdk import instrument

    app = instrument(make(kind, routes), directory=directory, service="sizing")

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message):
        pass

    async def ask(times):
        for number in range(routes):
            for _ in range(times):
                await app(scope_of(f"/shops{number}/items/7"), receive, send)

    pipe.send("ready")
    while times := pipe.recv():
        asyncio.run(ask(times))
        pipe.send(times)
    os._exit(0)


class Workers:
    """Processes that serve into one directory."""

    def __init__(self, directory, kind, routes):
        self._arguments = (str(directory), kind, routes)
        self._pipes = []
        self._processes = []

    def grow(self, count):
        """Have so many, each of whose routes was asked."""
        context = get_context("spawn")
        for _ in range(count - len(self._pipes)):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, *self._arguments), daemon=True)
            process.start()
            assert ours.recv() == "ready"
            self._pipes.append(ours)
            self._processes.append(process)
        self.ask(1)

    def ask(self, times, only_first=False):
        """Let them ask each of their routes."""
        asked = self._pipes[:1] if only_first else self._pipes
        for pipe in asked:
            pipe.send(times)
        for pipe in asked:
            pipe.recv()

    def end(self):
        for pipe in self._pipes:
            pipe.send(0)
        for process in self._processes:
            process.join(10)


@contextmanager
def serving(kind, routes):
    """One warm worker, its directory, and the exporter that reads it."""
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(dir=memory_directory()))
        directory = Path(made, "segments")
        workers = Workers(directory, kind, routes)
        stack.callback(workers.end)
        workers.grow(1)
        workers.ask(WARM_REQUESTS, only_first=True)
        yield workers, directory, stack.enter_context(start_exporter(directory, Path(made)))


def page(exporter, accept, encoding="identity"):
    """The body of a scrape as it goes over the network."""
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    request = urllib.request.Request(f"{exporter.url}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


def series(text):
    """How many series a server stores of a page, those of the routes and the others.

    Two figures each: from classic histograms, and from native ones.
    """
    inner = {f"{name}{end}" for name in NATIVE for end in ("_bucket", "_sum")}
    of_routes, others = [0, 0], [0, 0]
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            found = of_routes if ROUTE in line else others
            found[0] += 1
            found[1] += re.match(r"\w+", line)[0] not in inner
    return of_routes, others


def segment_bytes(directory):
    """What the segments of living workers take, in the middle."""
    return statistics.median(path.stat().st_blocks * 512 for path in directory.glob("*.seg"))


def cpu_milliseconds(pid):
    """Processor time of all threads of a process: its own clock, as the kernel numbers it."""
    return time.clock_gettime((~pid << 3) | 2) * 1e3


def memory_megabytes(pid):
    """What of a process is in memory now."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1e3


def of_a_route(kind):
    """Series, classic and native, and bytes of a worker: of a route, and of all but the routes."""
    sizes = []
    for routes in (FEW, MANY):
        with serving(kind, routes) as (_, directory, exporter):
            of_routes, others = series(page(exporter, TEXT))
            sizes.append(segment_bytes(directory))
    each = (sizes[1] - sizes[0]) / (MANY - FEW)
    slopes = [*(count / MANY for count in of_routes), each]
    return slopes, [*others, sizes[0] - FEW * each]


def of_scrapes(routes, counts):
    """For each number of workers: series, bytes of each format, processor time and memory."""
    with serving(KINDS[-1], routes) as (workers, directory, exporter):
        for count in counts:
            workers.grow(count)
            of_routes, others = series(page(exporter, TEXT))
            figures = {"series": [sum(both) for both in zip(of_routes, others, strict=True)]}
            figures["segment"] = segment_bytes(directory)
            for accept in FORMATS:
                plain, zipped = (len(page(exporter, accept, by)) for by in ("identity", "gzip"))
                figures[NAMES[accept]] = f"{plain / 1e3:,.0f} / {zipped / 1e3:,.0f}"
            for accept in FORMATS:
                figures[f"{NAMES[accept]} ms"] = _milliseconds(workers, exporter, accept)
            figures["memory"] = memory_megabytes(exporter.process.pid)
            yield count, figures


def _milliseconds(workers, exporter, accept):
    """Processor time of a compressed scrape in which every route of every worker has changed."""
    found = []
    for _ in range(SCRAPES):
        workers.ask(1)
        before = cpu_milliseconds(exporter.process.pid)
        page(exporter, accept, "gzip")
        found.append(cpu_milliseconds(exporter.process.pid) - before)
    return statistics.median(found)


def collect(options):
    """Two tables: what a route costs, and what a scrape costs."""
    rows = []
    for kind in KINDS:
        slopes, bases = of_a_route(kind)
        row = [kind]
        for slope, base in zip(slopes[:2], bases[:2], strict=True):
            row += [f"{slope:.0f}", f"{base:.0f}"]
        row += [f"{slopes[2] / 1e3:.1f}", f"{bases[2] / 1e3:.0f}"]
        rows.append(row)
    headers = ["", "series of a route, classic", "beside them", "series of a route, native"]
    headers += ["beside them", "KB of a worker's segment, each route", "KB beside them"]
    texts = ["### Sizes: series and memory\n", table(headers, rows)]
    rows = []
    for routes in ROUTES[:1] if options.quick else ROUTES:
        for count, found in of_scrapes(routes, WORKERS[:2] if options.quick else WORKERS):
            classic, native = found["series"]
            row = [f"{routes}", f"{count}", f"{classic:,}", f"{native:,}"]
            row += [f"{found['segment'] / 1e3:,.0f}", *(found[NAMES[each]] for each in FORMATS)]
            row += [" / ".join(f"{found[f'{NAMES[each]} ms']:.1f}" for each in FORMATS)]
            rows.append([*row, f"{found['memory']:.0f}"])
    headers = ["routes", "workers", "series, classic", "series, native", "KB of a segment"]
    headers += [f"{NAMES[each]}, KB plain / gzip" for each in FORMATS]
    headers += ["ms of processor, by format", "exporter, MB"]
    texts += ["### Sizes: a scrape of routes with database and cache\n", table(headers, rows)]
    return Report("\n".join(texts), [], {})
