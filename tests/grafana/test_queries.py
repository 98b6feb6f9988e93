"""Every query of every dashboard, asked of a real Prometheus that has all catalogued metrics."""

import json
import math
import subprocess
import time
import urllib.parse
from typing import NamedTuple

import pytest

from grafana.build import FOLDER
from tests.grafana.boards import interpolate, min_step_seconds, panels, variables
from tests.grafana.history import DURATION_SECONDS, IN_A_CLUSTER, PLAIN, QUIET, openmetrics
from tests.servers import http_get, require, start_prometheus

BOARDS = {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [
    pytest.param(board, panel, id=f"{name.removesuffix('.json')} {panel['title']}")
    for name, board in BOARDS.items()
    for panel in panels(board)
]

NOTHING_TO_DIVIDE = "shown in words: nothing was observed, which is neither fast nor slow, nor 0 %"
NAN_WHEN_QUIET = {
    "P50": NOTHING_TO_DIVIDE,
    "P95": NOTHING_TO_DIVIDE,
    "P99": NOTHING_TO_DIVIDE,
    "P99 of an operation": NOTHING_TO_DIVIDE,
    "Hit rate": NOTHING_TO_DIVIDE,
}
"""Panels that may get NaN when nobody calls the service, and why."""


def panel_of(board, title):
    """The panel with this title."""
    (panel,) = [panel for panel in panels(board) if panel["title"] == title]
    return panel


class History(NamedTuple):
    """A Prometheus and the time in seconds at which its hour of samples ends."""

    url: str
    end: int

    def ask(self, path, **parameters):
        """The data of an answer; a query that is refused fails with Prometheus's own words."""
        query = urllib.parse.urlencode(parameters)
        answer = json.loads(http_get(f"{self.url}/api/v1/{path}?{query}"))
        assert "success" == answer["status"], answer
        return answer["data"]

    def values(self, board, target, **chosen):
        """The values of each series, as Grafana asks for an hour of this query."""
        expr = interpolate(board, target["expr"], **chosen)
        if target["instant"]:
            series = self.ask("query", query=expr, time=self.end)["result"]
            return [[float(one["value"][1])] for one in series]
        hour = {"start": self.end - DURATION_SECONDS, "end": self.end}
        step = min_step_seconds(board)
        series = self.ask("query_range", query=expr, step=step, **hour)["result"]
        return [[float(value) for _, value in one["values"]] for one in series]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """An hour of history of three services, and nothing to scrape."""
    require("prometheus")
    promtool = require("promtool")
    folder = tmp_path_factory.mktemp("prometheus")
    page, data = folder / "history.txt", folder / "prometheus-data"
    end = int(time.time()) // 60 * 60
    with page.open("w") as lines:
        lines.writelines(f"{line}\n" for line in openmetrics(end))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", page, data]
    subprocess.run(command, check=True, capture_output=True)
    with start_prometheus(folder, []) as server:
        yield History(server.url, end)


@pytest.mark.parametrize("job", [IN_A_CLUSTER.job, PLAIN.job])
@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_has_data_at_every_step(history, board, panel, job):
    """Each query gives numbers without a gap, scraped every 15 s in a cluster or 60 s outside.

    All steps of the hour have a value, those of the busiest series at least.
    """
    steps = DURATION_SECONDS // min_step_seconds(board) + 1
    for target in panel["targets"]:
        series = history.values(board, target, job=job)
        finite = [sum(map(math.isfinite, values)) for values in series]
        expected = 1 if target["instant"] else steps
        assert expected == max(finite, default=0), target["expr"]


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_quiet_service_shows_zero_or_nothing(history, board, panel):
    """Where nothing happens no ratio is NaN or infinite, save where words stand for it."""
    for target in panel["targets"]:
        numbers = [n for values in history.values(board, target, job=QUIET.job) for n in values]
        odd = [number for number in numbers if not math.isfinite(number)]
        if panel["type"] == "stat" and panel["title"] in NAN_WHEN_QUIET:
            assert odd, "take it off the list"
            assert all(map(math.isnan, odd))
            assert "nan" == panel["fieldConfig"]["defaults"]["mappings"][0]["options"]["match"]
        else:
            assert [] == odd, target["expr"]


ACTIVE_PROBLEMS = {
    "Failing routes": 0,
    "Slow routes": 0,
    "N+1 suspects": 0,
    "Failed database calls": 0,
    "Failed cache calls": 0,
    "Gaps in the measuring": 0,
}


@pytest.mark.parametrize(("title", "expected"), ACTIVE_PROBLEMS.items())
def test_a_problem_that_is_not_there_is_zero(history, title, expected):
    """All is well means 0 and green, not an empty panel."""
    board = BOARDS["perfsdk-service.json"]
    panel = panel_of(board, title)
    (values,) = history.values(board, panel["targets"][0], job=QUIET.job)
    assert {expected} == set(values)


def test_the_problems_of_the_shop_are_found(history):
    """The failing route, the two slow ones, the N+1 query and the lost series are counted."""
    board = BOARDS["perfsdk-service.json"]
    now = {
        panel["title"]: history.values(board, panel["targets"][0], job=IN_A_CLUSTER.job)[0][-1]
        for panel in panels(board)
        if panel["title"] in ACTIVE_PROBLEMS
    }
    assert (1, 2, 1) == (now["Failing routes"], now["Slow routes"], now["N+1 suspects"])
    assert 0 < now["Failed database calls"] < 0.001
    assert 0 < now["Failed cache calls"] < 0.001
    assert now["Gaps in the measuring"] >= 2


def test_a_failed_request_counts_once(history):
    """A 5xx with an exception is one failure, a client that left is none."""
    board = BOARDS["perfsdk-service.json"]
    panel = panel_of(board, "Failed by route")
    expr = interpolate(board, panel["targets"][0]["expr"], job=IN_A_CLUSTER.job)
    result = history.ask("query", query=expr, time=history.end)["result"]
    failed = {one["metric"]["http_route"]: float(one["value"][1]) for one in result}
    payment = failed.pop("/orders/{order_id}/payment")
    assert 0.06 == pytest.approx(payment, rel=0.1)
    assert {0.0} == set(failed.values())


def test_a_restart_counts_for_the_worker_that_was_started_again(history):
    """A start time that changed once is one restart of that number, and none of the others."""
    board = BOARDS["perfsdk-workers.json"]
    panel = panel_of(board, "Every worker")
    (expr,) = [t["expr"] for t in panel["targets"] if "changes(" in t["expr"]]
    expr = interpolate(board, expr, job=IN_A_CLUSTER.job)
    result = history.ask("query", query=expr, time=history.end)["result"]
    expected = {(IN_A_CLUSTER.instance, "0"): "0", (IN_A_CLUSTER.instance, "1"): "1"}
    found = {(r["metric"]["instance"], r["metric"]["worker"]): r["value"][1] for r in result}
    assert expected == found


@pytest.mark.parametrize("name", BOARDS)
def test_variables_offer_values(history, name):
    """Each list has something to choose, and follows the ones before it."""
    board = BOARDS[name]
    values = {}
    for variable in variables(board, "query").values():
        series, _, label = variable["query"]["query"][len("label_values(") : -1].rpartition(", ")
        match = {"match[]": interpolate(board, series, job=IN_A_CLUSTER.job)}
        values[variable["name"]] = history.ask(f"label/{label}/values", **match)
    assert ["eu-1"] == values["cluster"]
    assert ["web"] == values["namespace"]
    assert {IN_A_CLUSTER.job, PLAIN.job, QUIET.job} == set(values["job"])
    assert [IN_A_CLUSTER.instance] == values.get("instance", [IN_A_CLUSTER.instance])
    assert "/orders/{order_id}/payment" in values.get("route", ["/orders/{order_id}/payment"])


@pytest.mark.parametrize("name", BOARDS)
def test_annotations_can_be_asked(history, name):
    """Alerts that fire are marked for the shop; starts are a query that is understood."""
    board = BOARDS[name]
    marks = {mark["name"]: mark for mark in board["annotations"]["list"]}
    hour = {"start": history.end - DURATION_SECONDS, "end": history.end, "step": 60}
    found = {
        title: history.ask(
            "query_range", query=interpolate(board, mark["expr"], job="shop"), **hour
        )
        for title, mark in marks.items()
    }
    (alert,) = found["Alerts"]["result"]
    assert "PerfsdkErrorBudgetBurnPage" == alert["metric"]["alertname"]
    assert "matrix" == found["Starts"]["resultType"]


def test_what_a_cache_saves_is_its_hits_as_misses_less_its_own_time(history):
    """In memory a hit costs nothing that is measured; in Redis it takes 0.4 ms."""
    panel = panel_of(BOARDS["perfsdk-caches.json"], "What each cache saves")
    (expr,) = [t["expr"] for t in panel["targets"] if "60 *" in t["expr"]]
    expr = interpolate(BOARDS["perfsdk-caches.json"], expr, job=IN_A_CLUSTER.job)
    result = history.ask("query", query=expr, time=history.end)["result"]
    saved = {one["metric"]["cache_name"]: float(one["value"][1]) for one in result}
    hits = 40 * (0.88 + 0.71) / 2
    assert 60 * hits * 0.006 == pytest.approx(saved["load_product"], rel=0.1)
    assert 60 * 9 * 0.42 * 0.019 == pytest.approx(saved["load_prices"], rel=0.1)
    assert 60 * 66 * (0.93 * 0.008 - 0.0004) == pytest.approx(saved["default"], rel=0.1)
