"""Four uvicorn workers, one of them killed half way: what was sent is what is shown, exactly."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from tests.e2e import page, running, totals
from tests.e2e.load import Request, Sent, send
from tests.e2e.outcomes import mix
from tests.servers import http_get, query, require, start_prometheus, wait_until

WORKERS = 4
CONNECTIONS = 16


@pytest.fixture
def prometheus(exporter, tmp_path):
    with start_prometheus(tmp_path, [f"127.0.0.1:{exporter.port}"]) as prometheus:
        yield prometheus


@pytest.fixture
def shop(tmp_path):
    options = ["--timeout-worker-healthcheck", "60"]
    with running.start_uvicorn(tmp_path, *options, workers=WORKERS) as shop:
        yield shop


def test_totals_with_a_killed_worker(exporter, prometheus, shop):
    """Page and Prometheus say what was sent; only what was under way at the kill is uncertain."""
    sent = Sent()
    victims = []

    def requests_with_a_kill() -> Iterator[Request]:
        requests = mix(200)
        half = len(requests) // 2
        yield from requests[:half]
        victims.append(kill_the_busiest(shop, sent))
        yield from requests[half:]

    with page.watching(exporter.url) as watch:
        send(
            shop.port,
            requests_with_a_kill(),
            sent,
            connections=CONNECTIONS,
            requests_per_connection=50,
            may_break=True,
        )
    (victim,) = victims
    sent.killed(victim)

    shown = totals.wait_for_totals(exporter.url, sent)
    print_bounds(shown, sent)
    assert 20_000 == sent.at_most.total()
    assert sent.uncertain.total() <= CONNECTIONS + 1
    assert WORKERS <= len(sent.answers_by_worker)
    assert [] == watch.decreases
    assert watch.pages > 2
    totals.check_seconds(shown, sent)
    check_gauges(exporter, shown, sent, victim)
    check_prometheus(prometheus, exporter, shown)
    check_formats(exporter)


def kill_the_busiest(shop, sent) -> int:
    """Kill the worker that answered most so far; its PID."""
    ((victim, _),) = sent.answers_by_worker.most_common(1)
    assert victim in running.children(shop.process)
    os.kill(victim, signal.SIGKILL)
    return victim


def print_bounds(shown, sent) -> None:
    """Print for each route how many were certain, are shown, and may have been, and check that."""
    counts = page.by_route(shown, f"{totals.DURATION}_count")
    lower = page.by_route(page.Page(totals.expected_totals(sent.completed), {}), totals.BANDS)
    upper = page.by_route(page.Page(totals.expected_totals(sent.at_most), {}), totals.BANDS)
    for route in sorted(upper):
        print(f"{route:20} {lower[route]:7.0f} <= {counts[route]:7.0f} <= {upper[route]:7.0f}")
    bounds = [sum(side.values()) for side in (lower, counts, upper)]
    print(f"{'all':20} {bounds[0]:7.0f} <= {bounds[1]:7.0f} <= {bounds[2]:7.0f}")
    print(f"answers of each worker: {dict(sent.answers_by_worker)}")
    assert bounds[0] <= bounds[1] <= bounds[2]
    assert bounds[2] - bounds[0] == sent.uncertain.total()


def check_gauges(exporter, shown, sent, victim) -> None:
    """Gauges are those of living workers alone, and none of these serves a request."""
    assert shown.gauge("http_server_active_requests") == 0
    assert shown.gauge("http_server_oldest_request_age_seconds") == 0
    assert len(sent.answers_by_worker.keys() - {victim}) == shown.gauge("perfsdk_workers")
    wait_until(lambda: segments(exporter, "dead") == 0, message="the victim is reaped")
    assert segments(exporter, "live") == shown.gauge("perfsdk_workers")
    assert segments(exporter, "unreadable") == 0


def segments(exporter, state) -> float:
    """How many segments the exporter says there are in a state."""
    lines = http_get(f"{exporter.url}/metrics").splitlines()
    start = f'perfsdk_exporter_segments{{state="{state}"}} '
    (line,) = [line for line in lines if line.startswith(start)]
    return float(line.removeprefix(start))


def check_prometheus(prometheus, exporter, shown) -> None:
    """Prometheus has every counter and histogram as the page has it, and saw none go down."""
    names = {name for name, _ in shown.totals}
    page.wait_for_none(
        lambda: page.differences(shown.totals, page.read_prometheus(prometheus.url, names))
    )
    assert {} == page.differences(shown.totals, page.read_page(exporter.url).totals)
    resets = {name: query(prometheus.url, f"max(resets({name}[10m]))")[0].value for name in names}
    assert dict.fromkeys(names, 0.0) == resets


def check_formats(exporter) -> None:
    """promtool has nothing to say, and prometheus_client's parsers take both formats."""
    body = http_get(f"{exporter.url}/metrics")
    promtool = [require("promtool"), "check", "metrics"]
    checked = subprocess.run(promtool, input=body.encode(), capture_output=True, check=False)
    expected = (0, b"", b"")
    assert expected == (checked.returncode, checked.stdout, checked.stderr)
    accept = "application/openmetrics-text; version=1.0.0"
    other = http_get(f"{exporter.url}/metrics", {"Accept": accept})
    assert other.endswith("# EOF\n")
    samples = [
        {(s.name, frozenset(s.labels.items())) for family in families for s in family.samples}
        for families in (text(body), openmetrics(other))
    ]
    assert samples[0] == samples[1]
