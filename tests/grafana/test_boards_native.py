"""Every panel has data from a real exporter, by a server that stores native histograms or none."""

import json
import math
from contextlib import ExitStack

import pytest

from grafana.build import FOLDER
from perfsdk import catalog
from perfsdk.testing import Recording
from tests.e2e.running import start_exporter
from tests.grafana.boards import interpolate, panels
from tests.grafana.shop import COUNTERS, GAUGES, HISTOGRAMS, RECORDED, at
from tests.servers import HOST, query, start_prometheus, wait_until

BOARDS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
OF_RULES = {metric.name for metric in RECORDED}
JUST_BEGUN = "offset 1w"
"""What is compared with a week ago has nothing to compare with yet."""
SCRAPE = "1s"


def record(recorder):
    """A moment of the shop: something of every metric on the page."""
    for metric in catalog.METRICS:
        if metric.page != "metrics":
            continue
        if metric.kind == "gauge":
            for labels, amount in GAUGES[metric.name].items():
                recorder.gauge(metric).set(labels, at(amount, 0))
        elif metric.kind == "counter":
            for labels, amount in COUNTERS[metric.name].items():
                recorder.counter(metric).add(labels, max(at(amount, 0), 0.001))
        else:
            for labels, mixture in HISTOGRAMS[metric.name].items():
                for observed in mixture:
                    recorder.histogram(metric).observe(labels, at(observed.average, 0))


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Two servers that scrape one exporter, by what they store of histograms."""
    with ExitStack() as stack:
        recording = stack.enter_context(Recording(tmp_path_factory.mktemp("recorded")))
        record(recording.recorder)
        log = tmp_path_factory.mktemp("log")
        exporter = stack.enter_context(start_exporter(recording.directory, log))
        urls = {
            name: stack.enter_context(
                start_prometheus(
                    tmp_path_factory.mktemp(name),
                    [f"{HOST}:{exporter.port}"],
                    SCRAPE,
                    flags=flags,
                )
            ).url
            for name, flags in (
                ("classic", []),
                ("native", ["--enable-feature=native-histograms"]),
            )
        }

        def scraped():
            record(recording.recorder)
            name = catalog.HTTP_SERVER_REQUEST_BAND.name
            return all(query(url, f"rate({name}[1m]) > 0") for url in urls.values())

        wait_until(scraped, 60, "two scrapes of what was recorded")
        yield urls


def asked(board):
    """The queries of a board that can have data without rules and without a past."""
    for panel in panels(board):
        for target in panel["targets"]:
            expr = target["expr"]
            if JUST_BEGUN not in expr and not any(f"{name}{{" in expr for name in OF_RULES):
                # Buckets of a native histogram are no numbers: they are only counted.
                yield panel["title"], f"count({expr})" if panel["type"] == "heatmap" else expr


@pytest.mark.parametrize("kind", ["classic", "native"])
@pytest.mark.parametrize("name", BOARDS)
def test_every_query_has_data(servers, kind, name):
    """All quantiles, rates and sums alike, whichever way the histograms are stored."""
    board = BOARDS[name]
    for title, expr in asked(board):
        samples = query(servers[kind], interpolate(board, expr))
        assert any(math.isfinite(sample.value) for sample in samples), (title, expr)


def test_no_panel_is_left_out():
    """Each has a query that was asked, but those that read what rules record."""
    for name, board in BOARDS.items():
        if name != "perfsdk-slo.json":
            assert {panel["title"] for panel in panels(board)} == {
                title for title, _ in asked(board)
            }


def test_the_servers_store_what_they_are_for(servers):
    """Else one of them would prove nothing."""
    name = catalog.HTTP_SERVER_REQUEST_DURATION.name
    stored = {
        kind: [bool(query(url, f"group({sample})")) for sample in (f"{name}_count", name)]
        for kind, url in servers.items()
    }
    assert {"classic": [True, False], "native": [False, True]} == stored
