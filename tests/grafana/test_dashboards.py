"""The committed dashboards: what their code builds, well formed, and true to the catalog."""

import itertools
import json
from pathlib import Path

import promql_parser
import pytest

from grafana.build import FOLDER, dashboards
from perfsdk import catalog
from tests.grafana.boards import interpolate, panels, targets

NAMES = sorted(dashboards())
UNITS = {"s", "reqps", "ops", "percentunit", "short", "bytes", "none"}
KUBERNETES_LABELS = {"namespace", "job", "instance", "le"}


@pytest.fixture(params=NAMES)
def board(request):
    return json.loads((FOLDER / request.param).read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_file_is_what_its_code_builds(name):
    """Nobody edited the JSON by hand or forgot to build it."""
    assert dashboards()[name] == (FOLDER / name).read_text()


def test_no_other_file_lies_beside_them():
    """Every dashboard in the folder is built, and so tested."""
    assert NAMES == sorted(path.name for path in Path(FOLDER).glob("*.json"))


def test_a_dashboard_can_be_imported_and_provisioned(board):
    """No id of a server, a stable uid, not editable, small enough for a ConfigMap."""
    assert board["id"] is None
    assert 0 < len(board["uid"]) <= 40
    assert board["editable"] is False
    assert len(json.dumps(board, indent=2)) < 256 * 1024
    assert "__inputs" not in board


def test_ids_and_references_are_unique(board):
    """Links to a panel stay what they are, and no query hides another one of its panel."""
    ids = [panel["id"] for panel in itertools.chain(board["panels"], panels(board))]
    assert len({*ids}) == len({json.dumps(p) for p in [*board["panels"], *panels(board)]})
    for panel in panels(board):
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len({*references})


def test_panels_do_not_overlap(board):
    """Every cell of the grid belongs to one panel, and no panel leaves the grid."""
    taken = set()
    for panel in [p for p in board["panels"] if not p.get("collapsed")]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not taken & cells
        taken |= cells


def test_every_panel_says_what_it_is(board):
    """Title, description, a known unit, and the chosen data source."""
    for panel in panels(board):
        assert panel["title"]
        assert len(panel["description"]) > 20
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["interval"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"]["uid"] == "${datasource}"


def test_titles_are_unique(board):
    """A person can say which panel they mean."""
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len({*titles})


def test_queries_use_what_the_catalog_has(board):
    """Every metric exists and has every label that it is selected or grouped by."""
    known = _sample_labels()
    for _, target in targets(board):
        for selector in _selectors(promql_parser.parse(interpolate(target["expr"]))):
            assert selector.name in known, selector.name
            used = {matcher.name for matcher in selector.matchers.matchers}
            assert used <= known[selector.name] | KUBERNETES_LABELS


def test_rates_follow_the_scrape_interval(board):
    """No window is a fixed number of minutes, which would be empty with slow scrapes."""
    for _, target in targets(board):
        windows = target["expr"].split("[")[1:]
        assert all(window.startswith(("$__rate_interval]", "$__range]")) for window in windows)


def test_variables_are_reread_when_the_time_changes(board):
    """A new instance shows up in the lists."""
    queried = [v for v in board["templating"]["list"] if v["type"] == "query"]
    assert {"namespace", "job", "instance", "route"} == {v["name"] for v in queried}
    assert {2} == {variable["refresh"] for variable in queried}


def _sample_labels():
    known = {}
    for metric in catalog.METRICS:
        labels = set(metric.labels)
        if metric.kind == "histogram":
            known |= {metric.name + suffix: labels for suffix in ("_bucket", "_count", "_sum")}
        else:
            known[metric.name] = labels
    return known


def _selectors(node):
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from _selectors(argument)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from _selectors(node.lhs)
        yield from _selectors(node.rhs)
    elif isinstance(node, promql_parser.AggregateExpr | promql_parser.ParenExpr):
        yield from _selectors(node.expr)
