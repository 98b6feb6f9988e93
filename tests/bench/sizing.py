"""How much there is to store and to scrape: series, bytes and time, by routes and workers.

Unlike the other measurements it compares with nobody: it makes the tables of exporter/README.md.
"""

import re
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perfsdk.catalog import METRICS
from tests.bench.figures import Report, table
from tests.bench.rounds import memory_directory
from tests.bench.scrapes import FORMATS, memory_megabytes, page
from tests.bench.sized import Workers
from tests.e2e.running import start_exporter
from tests.servers import wait_until

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


def page_of(workers, exporter):
    """The page in text, when so many workers tell of their processes; they take some seconds."""

    def told():
        text = page(exporter, TEXT)
        return text if text.count(b"\nprocess_start_time_seconds{") == workers else None

    return wait_until(told, 60, f"{workers} workers")


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


def of_a_route(kind):
    """Series, classic and native, and bytes of a worker: of a route, and of all but the routes."""
    sizes = []
    for routes in (FEW, MANY):
        with serving(kind, routes) as (_, directory, exporter):
            of_routes, others = series(page_of(1, exporter))
            sizes.append(segment_bytes(directory))
    each = (sizes[1] - sizes[0]) / (MANY - FEW)
    slopes = [*(count / MANY for count in of_routes), each]
    return slopes, [*others, sizes[0] - FEW * each]


def of_scrapes(routes, counts):
    """For each number of workers: series, bytes of each format, processor time and memory."""
    with serving(KINDS[-1], routes) as (workers, directory, exporter):
        for count in counts:
            workers.grow(count)
            of_routes, others = series(page_of(count, exporter))
            figures = {"series": [sum(both) for both in zip(of_routes, others, strict=True)]}
            figures["segment"] = segment_bytes(directory)
            for accept in FORMATS:
                plain, zipped = (len(page(exporter, accept, by)) for by in ("identity", "gzip"))
                figures[NAMES[accept]] = f"{plain / 1e3:,.0f} / {zipped / 1e3:,.0f}"
            for accept in FORMATS:
                figures[f"{NAMES[accept]} ms"] = _milliseconds(workers, exporter, accept)
            figures["memory"] = memory_megabytes(exporter.process.pid, "VmRSS")
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
    headers = ["", "series of a route", "beside them", "with native histograms", "beside them"]
    headers += ["KB of a worker's segment, each route", "KB beside them"]
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
