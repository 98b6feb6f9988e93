"""A real Prometheus stores what the three formats say, and tells P99 from native histograms."""

import json
import random
import time
import urllib.parse
from bisect import bisect_left
from collections import Counter
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil, log2
from threading import Thread
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import TracerProvider

from perfsdk.catalog import HTTP14, HTTP_SERVER_REQUEST_DURATION, METRICS
from perfsdk.testing import Recording
from perfsdk_exporter.families import Exemplar, Family, Histogram, Native
from perfsdk_exporter.formats.compression import compress
from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT
from perfsdk_exporter.formats.negotiation import choose_encoding, choose_format
from perfsdk_exporter.formats.protobuf import PROTOBUF
from tests.e2e.running import start_exporter
from tests.servers import HOST, free_port, http_get, query, start_prometheus, wait_until

FLAGS = ["--enable-feature=native-histograms,exemplar-storage"]
REQUEST = ("GET", "/orders/{id}", "200", "")

EVERY_BOUND = sorted({bound for metric in METRICS for bound in metric.bounds})
BELOW_A_MILLION = [bound for bound in EVERY_BOUND if bound < 1e6]
FROM_A_MILLION = [bound for bound in EVERY_BOUND if bound >= 1e6]

_random = random.Random(7)
DURATIONS = [_random.lognormvariate(-3.0, 1.0) for _ in range(5000)]
P99 = sorted(DURATIONS)[len(DURATIONS) * 99 // 100]


class Scraped(NamedTuple):
    """A Prometheus that has scraped all targets, and what it asked `wait_seconds` for."""

    url: str
    targets: dict[str, str]
    answers: list

    def samples(self, target, expr):
        """The values of a query by the labels of each series of one target."""
        found = {}
        for sample in query(self.url, expr):
            labels = dict(sample.labels)
            del labels["job"]
            if labels.pop("instance") == self.targets[target]:
                found[frozenset(labels.items())] = sample.value
        return found

    def by_route(self, expr):
        """The values of a query of the family `wait_seconds` by the label `route`."""
        return {dict(labels)["route"]: v for labels, v in self.samples("native", expr).items()}

    def exemplars(self, selector):
        """The exemplars of some series."""
        now = time.time()
        arguments = {"query": selector, "start": now - 86_400, "end": now + 3600}
        address = f"{self.url}/api/v1/query_exemplars?{urllib.parse.urlencode(arguments)}"
        return {
            Exemplar(**found["labels"], value=float(found["value"]), time=found["timestamp"])
            for series in json.loads(http_get(address))["data"]
            for found in series["exemplars"]
        }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """One Prometheus for all tests here: it takes 5 s to its first scrape."""
    answers = []
    with ExitStack() as stack:
        pages = {"native": ([waiting()], None)}
        for name, form in (("text", TEXT), ("openmetrics", OPENMETRICS), ("protobuf", PROTOBUF)):
            pages[name] = (every_kind_of_family(), form)
        targets = {
            name: stack.enter_context(serving(families, form, answers))
            for name, (families, form) in pages.items()
        }
        directory = tmp_path_factory.mktemp("recorded")
        record(stack.enter_context(Recording(directory)).recorder)
        exporter = stack.enter_context(start_exporter(directory, tmp_path_factory.mktemp("log")))
        targets["exporter"] = f"{HOST}:{exporter.port}"
        folder = tmp_path_factory.mktemp("prometheus")
        server = stack.enter_context(start_prometheus(folder, [*targets.values()], flags=FLAGS))
        wait_until(
            lambda: len(targets) == sum(sample.value for sample in query(server.url, "up")),
            message="all targets scraped",
        )
        yield Scraped(server.url, targets, answers)


@contextmanager
def serving(families, form, answers):
    """A server of a page, in the format that is asked for or in `form`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            chosen = form or choose_format(self.headers.get("Accept", ""))
            coding = choose_encoding(self.headers.get("Accept-Encoding", ""))
            body = b"".join(compress(chosen.render(families), coding))
            self.send_response(200)
            self.send_header("Content-Type", chosen.content_type)
            self.send_header("Content-Encoding", coding)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if form is None:
                answers.append((chosen, coding))

        def log_message(self, *_):
            """Nothing: the output of tests is for failures."""

    with ThreadingHTTPServer((HOST, free_port()), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


SENT = tuple(
    Exemplar(f"{number:032x}", f"{number:016x}", seconds, round(time.time(), 3))
    for number, seconds in ((1, 0.003), (2, 0.6))
)


def waiting():
    """A family of native histograms, one of them idle, beside one that is only classic."""
    indexes = Counter(ceil(log2(seconds) * 8) for seconds in DURATIONS)
    native = Native(0.0, {index: float(indexes[index]) for index in sorted(indexes)})
    histograms = {
        ("/idle",): Histogram(classic_buckets([]), 0.0, Native(0.0, {})),
        ("/native",): Histogram(classic_buckets(DURATIONS), sum(DURATIONS), native, SENT),
        ("/old",): Histogram(classic_buckets([0.003, 0.6]), 0.603, None, SENT),
    }
    return Family(
        name="wait_seconds",
        kind="histogram",
        unit="seconds",
        help="Waiting.",
        labels=("route",),
        bounds=HTTP14,
        histograms=histograms,
    )


def classic_buckets(durations):
    counts = Counter(bisect_left(HTTP14, seconds) for seconds in durations)
    return [float(counts[number]) for number in range(len(HTTP14) + 1)]


def record(recorder):
    """Record the durations as an application does, the last and slowest of them in a trace."""
    series = recorder.histogram(HTTP_SERVER_REQUEST_DURATION)[REQUEST]
    for seconds in DURATIONS:
        series.observe(seconds)
    span = TracerProvider().get_tracer("test").start_span("request")
    series.exemplars.offer(max(DURATIONS), span)
    span.end()


def every_kind_of_family():
    """Families of every kind, with empty labels and such that need escapes."""
    labels = {"labels": ("route", "error_type"), "help": "Help.", "unit": ""}
    one, other = ("/a", ""), ('/\\\n"é', "TimeoutError")
    numbers = {one: 3.0, other: 0.25}
    return [
        Family(name="all_total", kind="counter", values=numbers, **labels),
        Family(name="now", kind="gauge", values=numbers, **labels),
        Family(name="odd", kind="unknown", values=numbers, **labels),
        Family(name="size", kind="summary", histograms={one: Histogram([2.0], 1.5)}, **labels),
        Family(name="target_info", kind="gauge", values={one: 1.0}, **labels),
        *(
            Family(
                name=name,
                kind="histogram",
                bounds=tuple(bounds),
                histograms={one: Histogram([2.0] * (len(bounds) + 1), 1.5)},
                **labels,
            )
            for name, bounds in (("below", BELOW_A_MILLION), ("from", FROM_A_MILLION))
        ),
    ]


def test_prometheus_asks_for_protobuf_and_gets_it(scraped):
    """With native histograms enabled the page is protobuf, compressed."""
    assert {(PROTOBUF, "gzip")} == set(scraped.answers)


def test_p99_of_a_native_histogram(scraped):
    """P99 is within 10 % of the true one; count and sum are exact, those of an idle series too."""
    p99 = scraped.by_route("histogram_quantile(0.99, wait_seconds)")["/native"]
    assert pytest.approx(p99, rel=0.1) == P99
    expected = {"/idle": 0, "/native": len(DURATIONS)}
    assert expected == scraped.by_route("histogram_count(wait_seconds)")
    expected = {"/idle": 0, "/native": sum(DURATIONS)}
    assert expected == scraped.by_route("histogram_sum(wait_seconds)")


def test_classic_buckets_are_stored_of_classic_histograms(scraped):
    """A series without native buckets keeps its classic ones, whatever its family has.

    Of a series that has both, Prometheus stores the native histogram alone, unless it is asked
    for `scrape_classic_histograms`, which came with 2.45.
    """
    expected = {"/old": 2}
    assert expected == scraped.by_route("wait_seconds_count")
    expected = {"/old": 1}
    assert expected == scraped.by_route('wait_seconds_bucket{le="0.5"}')


def test_exemplars_are_stored(scraped):
    """Those of classic buckets all, those of native histograms as many as Prometheus takes."""
    assert set(SENT) == scraped.exemplars('wait_seconds_bucket{route="/old"}')
    of_native = scraped.exemplars('wait_seconds{route="/native"}')
    assert of_native  # 2.42 takes the first alone
    assert of_native <= set(SENT)


def test_the_exporter_tells_p99_and_exemplars(scraped):
    """From the recorder of an application through the sidecar: P99, totals and the trace."""
    name = HTTP_SERVER_REQUEST_DURATION.name
    (p99,) = scraped.samples("exporter", f"histogram_quantile(0.99, {name})").values()
    assert pytest.approx(p99, rel=0.1) == P99
    (count,) = scraped.samples("exporter", f"histogram_count({name})").values()
    assert len(DURATIONS) == count
    (total,) = scraped.samples("exporter", f"histogram_sum({name})").values()
    assert sum(DURATIONS) == pytest.approx(total, rel=1e-12)
    (exemplar,) = scraped.exemplars(name)
    assert max(DURATIONS) == exemplar.value
    assert len(exemplar.trace_id) == 32


@pytest.mark.parametrize(
    "names",
    [
        "all_total|below_.*|now|odd|size_.*|target_info",
        "from_.*",
    ],
)
def test_all_formats_are_stored_as_the_same_series(scraped, names):
    """Names, labels, `le` among them, and values do not depend on the format of the page."""
    selector = f'{{__name__=~"{names}"}}'
    expected = scraped.samples("text", selector)
    assert len(expected) > len(FROM_A_MILLION)
    assert expected == scraped.samples("openmetrics", selector)
    assert expected == scraped.samples("protobuf", selector)
