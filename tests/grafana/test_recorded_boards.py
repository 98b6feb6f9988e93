"""The board that an alert opens shows the cause on its first screen, of the recorded incidents."""

import json
import re
from typing import NamedTuple

import pytest

from grafana.alerting.files import RULES
from tests.grafana.boards import interpolate
from tests.grafana.recorded import BEFORE_MINUTES, STEP, history
from tests.grafana.rule_history import ALERTS, promtool

BOARDS = {p.stem: json.loads(p.read_text()) for p in RULES.parent.glob("dashboards/*.json")}
FIRST_SCREEN = 24
"""Rows of the grid that are seen at once, of 38 pixels each."""

LOOKS = (BEFORE_MINUTES - 2, BEFORE_MINUTES + 20)
EVERY = "2m"
RANGE = "10800s"
"""What the links open: from now-3h."""

CLEARLY = 5
"""So many times as large, or as small, as before is seen at a glance."""

_ANSWER = re.compile(r'expr: ("(?:[^"\\]|\\.)*"), time: (\S+),\s*exp: nil\s*got: (.*)')
_SAMPLE = re.compile(r'\{((?:\w+="(?:[^"\\]|\\.)*"(?:, )?)*)\} ([^,\s]+)')
_LABEL = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


class Shown(NamedTuple):
    """A curve, number or row of a panel that tells the cause of an incident."""

    incident: str
    alert: str
    panel: str
    labels: dict[str, str]
    falls: bool = False


SHOWN = [
    Shown(
        "slow-query",
        "PerfsdkDatabaseSlow",
        "Time in the database",
        {"db_operation_name": "SELECT", "db_collection_name": "products"},
    ),
    Shown(
        "n-plus-one",
        "PerfsdkDatabaseCallsGrew",
        "Queries that hurt",
        {"kind": "n_plus_one", "http_route": "/orders", "db_system_name": "sqlite"},
    ),
    Shown(
        "n-plus-one",
        "PerfsdkDatabaseCallsGrew",
        "Database operations",
        {"db_operation_name": "SELECT", "db_collection_name": "items"},
    ),
    Shown(
        "cache-flush",
        "PerfsdkCacheHitRatioDropped",
        "Hit rate by cache",
        {"cache_system": "cachetools", "cache_name": "load_product"},
        falls=True,
    ),
    Shown("cache-flush", "PerfsdkCacheHitRatioDropped", "Seconds of loading a second", {}),
    Shown(
        "pool-exhaustion",
        "PerfsdkPoolSaturated",
        "Callers that wait for a connection",
        {"db_client_connection_pool_name": "shop.sqlite"},
    ),
    Shown(
        "pool-exhaustion",
        "PerfsdkPoolSaturated",
        "Connections used, of all that may be",
        {"db_client_connection_pool_name": "shop.sqlite"},
    ),
    Shown("errors", "PerfsdkErrorBudgetBurnPage", "Failed", {}),
    Shown("errors", "PerfsdkErrorBudgetBurnPage", "Routes that fail", {"http_route": "/search"}),
    Shown("errors", "PerfsdkNewError", "Errors", {"error_type": "RuntimeError"}),
]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """What promtool answers for the panels: by query and labels, before and in the incident."""
    queries = sorted({query for one in SHOWN for query in queries_of(one)})
    tests = [{"expr": query, "eval_time": f"{look}m"} for query in queries for look in LOOKS]
    words = promtool(
        tmp_path_factory.mktemp("boards"),
        [],
        EVERY,
        interval=STEP,
        input_series=history(sorted({one.incident for one in SHOWN})),
        promql_expr_test=tests,
    )
    before, during = ({}, {})
    for query, time, samples in _ANSWER.findall(words):
        looked = before if time == go_time(LOOKS[0]) else during
        for labels, value in _SAMPLE.findall(samples):
            named = frozenset((name, json.loads(text)) for name, text in _LABEL.findall(labels))
            looked[json.loads(query), named] = float(value)
    return before, during


def go_time(minutes):
    """As promtool writes a time of more than a day."""
    hours, rest = divmod(minutes, 60)
    return f"{hours // 24}d{hours % 24}h" + (f"{rest}m" if rest else "")


def first_screen(board):
    """The panels that are seen without scrolling and opening rows, by title."""
    return {
        panel["title"]: panel
        for panel in board["panels"]
        if panel["type"] != "row" and panel["gridPos"]["y"] < FIRST_SCREEN
    }


def queries_of(one):
    """The queries of the panel, for the job that the link chooses."""
    board = BOARDS[ALERTS[one.alert].board]
    targets = first_screen(board)[one.panel]["targets"]
    return [interpolate(board, t["expr"], job=one.incident, __range=RANGE) for t in targets]


@pytest.mark.parametrize("one", SHOWN, ids=lambda one: f"{one.alert}-{one.panel}")
def test_the_first_screen_shows_the_cause(values, one):
    """What tells it is there, and many times as large as before, or as small."""
    before, during = (
        sum(look.get((query, frozenset(one.labels.items())), 0) for query in queries_of(one)[:1])
        for look in values
    )
    large, small = (before, during) if one.falls else (during, before)
    assert large > CLEARLY * small, (before, during)


def test_runbooks_send_to_these_panels():
    """The section of an alert names every panel that is looked at here."""
    runbooks = " ".join((RULES.parent / "runbooks.md").read_text().split())
    for one in SHOWN:
        section = runbooks.partition(f"### {one.alert} ")[2].partition("###")[0]
        assert f"*{one.panel}*" in section, one
