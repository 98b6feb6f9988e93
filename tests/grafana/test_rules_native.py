"""Objectives and quantiles are the same from classic and native histograms, on real servers."""

import re
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import pytest

from grafana.alerting.files import RULES
from perfsdk.catalog import HTTP_SERVER_REQUEST_DURATION, WORKERS
from perfsdk.testing import Recording
from tests.e2e.running import start_exporter
from tests.servers import HOST, free_port, http_get, query, start_prometheus, wait_until

FAST, SLOW = 0.03, 0.3
# Of 20 requests 2 fail, with a status, an error or both, and 5 are slow.
WELL = ("GET", "/a", "200", "")
FAILED = (("GET", "/a", "500", "KeyError"), ("GET", "/a", "200", "ValueError"))
SHARE_FAILED, SHARE_SLOW = 0.1, 0.25
INSTANCES = {"classic": 1, "native": 1, "both": 2}
RATIO = "slo:sli_error:ratio_rate5m"
LEVELS = ("job", "job_route")
RECORDED = f'{{__name__=~"{RATIO}|job(_route)?:http_server_request_duration_.*:p.+"}}'
"""The ratios of two objectives, two quantiles on two levels."""


class Servers(NamedTuple):
    """Prometheus servers by what they store; `both` has two instances, one of each kind."""

    classic: str
    native: str
    both: str

    def value(self, kind, expr):
        """The one value of a query; a scrape that came too late may hide it for a while."""
        url = getattr(self, kind)
        (sample,) = wait_until(lambda: query(url, expr), 30, expr)
        return sample.value


def record(recorder):
    """Twenty requests."""
    histogram = recorder.histogram(HTTP_SERVER_REQUEST_DURATION)
    for key in FAILED:
        histogram[key].observe(SLOW)
    for number in range(18):
        histogram[WELL].observe(SLOW if number < 3 else FAST)


@contextmanager
def only_text(url):
    """The exporter behind somebody who never asks for protobuf: its histograms are classic."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = http_get(f"{url}/metrics").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Three servers that evaluate the committed rules while requests are recorded."""
    native = ["--enable-feature=native-histograms"]
    folder = tmp_path_factory.mktemp("rules")
    for file in RULES.glob("*.yaml"):
        # What costs much is evaluated less often, elsewhere.
        (folder / file.name).write_text(
            re.sub('interval: ".m"', 'interval: "2s"', file.read_text())
        )
    rules = sorted(folder.iterdir())
    with ExitStack() as stack:
        recording = stack.enter_context(Recording(tmp_path_factory.mktemp("recorded")))
        recording.recorder.gauge(WORKERS).set((), 1.0)
        record(recording.recorder)
        exporter = stack.enter_context(
            start_exporter(recording.directory, tmp_path_factory.mktemp("log"))
        )
        direct = f"{HOST}:{exporter.port}"
        text = stack.enter_context(only_text(exporter.url))
        urls = [
            stack.enter_context(
                start_prometheus(
                    tmp_path_factory.mktemp("prometheus"),
                    targets,
                    "2s",  # which is the time that a scrape may take, too
                    rule_files=rules,
                    flags=flags,
                )
            ).url
            for targets, flags in (([direct], []), ([direct], native), ([direct, text], native))
        ]

        def evaluated():
            record(recording.recorder)
            return all(6 == len(query(url, RECORDED)) for url in urls)

        wait_until(evaluated, 60, "all rules evaluated")
        yield Servers(*urls)


@pytest.mark.parametrize("kind", INSTANCES)
def test_objectives_are_measured_from_any_histogram(servers, kind):
    """Shares of failed and of slow requests are the true ones: classic, native, or some of each."""
    for slo, share in (("availability", SHARE_FAILED), ("latency", SHARE_SLOW)):
        # Until all scrapes of what was recorded are in, parts of a request may be missing.
        ratio = f'{RATIO}{{sloth_slo="{slo}"}}'
        near = pytest.approx(share, rel=0.01)
        wait_until(lambda ratio=ratio, near=near: servers.value(kind, ratio) == near, 30, slo)


def test_servers_store_what_they_are_for(servers):
    """The one has no native histograms, the other no classic ones, the third some of each."""
    name = HTTP_SERVER_REQUEST_DURATION.name
    stored = {
        kind: [len(query(url, f"group by (instance) ({n})")) for n in (f"{name}_count", name)]
        for kind, url in servers._asdict().items()
    }
    assert {"classic": [1, 0], "native": [0, 1], "both": [1, 1]} == stored


def test_requests_of_all_instances_count_once(servers):
    """Of two instances, one classic and one native, the service has the rates of both."""
    name = HTTP_SERVER_REQUEST_DURATION.name
    parts = f"sum(rate({name}_count[5m]))", f"sum(histogram_count(rate({name}[5m])))"

    def both_are_in_it():
        classic, native = (servers.value("both", part) for part in parts)
        whole = servers.value("both", "job:http_server_requests:rate5m")
        return classic > 0 < native and whole == pytest.approx(classic + native, rel=0.01)

    # A rate of few scrapes changes between the rule's evaluation and the question.
    wait_until(both_are_in_it, 30, "the sum of both")


@pytest.mark.parametrize("kind", ["classic", "native"])
def test_quantiles_are_recorded_from_any_histogram(servers, kind):
    """P50 and P99 of the service and of its route lie in the buckets of the true ones."""
    for level in LEVELS:
        name = f"{level}:http_server_request_duration_seconds"
        assert 0.025 < servers.value(kind, f"{name}:p50_5m") < 0.05
        assert 0.25 < servers.value(kind, f"{name}:p99_5m") < 0.5
    native = servers.value(kind, "job:http_server_request_duration_seconds:p99_5m")
    assert kind == "classic" or pytest.approx(native, rel=0.1) == SLOW


def test_native_histograms_are_recorded_by_service(servers):
    """What is kept for long answers for any quantile: a recorded histogram is one."""
    for level in LEVELS:
        recorded = f"{level}:http_server_request_duration_seconds:rate5m"
        p90 = servers.value("native", f"histogram_quantile(0.9, {recorded})")
        assert pytest.approx(p90, rel=0.1) == SLOW
