"""What dashboards ask: metrics and labels of the catalog, for what is chosen, over any window."""

import json
import re

import promql_parser
import pytest
import yaml

from grafana.build import FOLDER
from grafana.build import RULES as RULES_FOLDER
from grafana.rows import exporter
from perfsdk import catalog
from perfsdk_exporter.telemetry import STATES, Telemetry
from tests.grafana import shop
from tests.grafana.boards import (
    TARGET_LABELS,
    grouped_by,
    interpolate,
    made_labels,
    panels,
    selectors,
    targets,
    variables,
)

COMMITTED = sorted(path.name for path in FOLDER.glob("*.json"))
NATIVE = {metric.name for metric in catalog.METRICS if metric.native}
RULES = [
    rule
    for path in sorted(RULES_FOLDER.glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
NAMED = {name: f"the-{name}" for name in sorted(TARGET_LABELS)}
ON_PAGE = [metric for metric in catalog.METRICS if metric.page == "metrics"]
"""What Prometheus gets; the table of queries is a page for people."""
RECORDED = {rule["record"] for rule in RULES if "record" in rule} | {"ALERTS"}


def suffixes(metric):
    """How the names of a metric's samples end; a native histogram has none."""
    if metric.kind != "histogram":
        return ("",)
    return ("_bucket", "_count", "_sum", *([""] if metric.native else []))


SAMPLE_LABELS = {
    metric.name + suffix: {*metric.labels, *({"le"} if suffix == "_bucket" else ())}
    for metric in (*ON_PAGE, *exporter.METRICS, *shop.RECORDED)
    for suffix in suffixes(metric)
}


@pytest.fixture(params=COMMITTED)
def board(request):
    """Each committed dashboard."""
    return json.loads((FOLDER / request.param).read_text())


def parsed(board, target):
    """The query's syntax tree, with all macros and variables filled in."""
    return promql_parser.parse(interpolate(board, target["expr"]))


def test_queries_use_what_the_catalog_has(board):
    """Every metric exists and has every label that it is selected, grouped or joined by."""
    for panel, target in targets(board):
        tree = parsed(board, target)
        available = TARGET_LABELS | made_labels(tree)
        for selector in selectors(tree):
            assert selector.name in SAMPLE_LABELS, panel["title"]
            labels = SAMPLE_LABELS[selector.name]
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= labels | TARGET_LABELS, panel["title"]
            available |= labels
        assert grouped_by(tree) <= available, panel["title"]


def test_variable_queries_use_what_the_catalog_has(board):
    """The lists of values are read from metrics and labels that exist."""
    for variable in variables(board, "query").values():
        series, label = label_values(variable)
        (selector,) = selectors(promql_parser.parse(interpolate(board, series)))
        assert label in SAMPLE_LABELS[selector.name] | TARGET_LABELS


def label_values(variable):
    """The series and the label of a variable's query."""
    return re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()


def test_every_metric_of_the_catalog_is_shown():
    """Nothing is measured in vain: one of the boards has it."""
    boards = [json.loads((FOLDER / name).read_text()) for name in COMMITTED]
    shown = {
        selector.name
        for board in boards
        for _, target in targets(board)
        for selector in selectors(parsed(board, target))
    }
    forgotten = {
        metric.name for metric in ON_PAGE if not any(name.startswith(metric.name) for name in shown)
    }
    assert set() == forgotten


def test_every_selector_follows_the_variables(board):
    """No panel shows another cluster, namespace, job or instance than the chosen ones."""
    for panel, target in targets(board):
        for selector in selectors(promql_parser.parse(interpolate(board, target["expr"], **NAMED))):
            chosen = {m.name: m.value for m in selector.matchers.matchers}
            wanted = NAMED.items()
            if "instance" not in variables(board, "query") or selector.name in RECORDED:
                wanted = {item for item in wanted if item[0] != "instance"}
            assert wanted <= chosen.items(), panel["title"]


def test_legends_and_columns_are_labels_of_the_result(board):
    """No curve and no row is without a name because a label is not in the result."""
    for panel, target in targets(board):
        by = grouped_by(parsed(board, target)) | ({"le"} if panel["type"] == "heatmap" else set())
        used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        if panel["type"] == "table":
            columns = panel["transformations"][1]["options"]["renameByName"]
            used |= {name for name in columns if not name.startswith("Value")}
        assert used <= by, panel["title"]


def test_columns_of_tables_are_the_queries_results(board):
    """Every value has a column of its own, and tables ask once, over the whole range."""
    for panel in panels(board):
        if panel["type"] == "table":
            letters = [target["refId"] for target in panel["targets"]]
            named = [f"Value #{letter}" for letter in letters] if len(letters) > 1 else ["Value"]
            columns = panel["transformations"][1]["options"]["renameByName"]
            assert named == [name for name in columns if name.startswith("Value")]
            assert {("table", True, False)} == {
                (target["format"], target["instant"], target["range"])
                for target in panel["targets"]
            }


def test_windows_follow_the_scrape_interval_and_the_time_range(board):
    """A fixed window is empty with slow scrapes: curves use Grafana's, tables the whole range."""
    for panel, target in targets(board):
        windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
        expected = "$__range" if target["instant"] else "$__rate_interval"
        assert windows <= {expected}, panel["title"]
        assert "$min_step" == target["interval"] == panel["interval"]


def test_counters_are_summed_after_their_rate(board):
    """`rate(sum(...))` is wrong after a restart; a bare counter is shown only as a total."""
    for panel, target in targets(board):
        for call in re.findall(r"(?:rate|increase)\((\w+)", target["expr"]):
            ending = ("_total", "_count", "_sum", "_bucket")
            assert call.endswith(ending) or call in NATIVE, panel["title"]


def test_durations_carry_exemplars(board):
    """Every curve of a quantile of a metric with traces asks for examples."""
    for panel, target in targets(board):
        if panel["type"] == "timeseries" and "histogram_quantile" in target["expr"]:
            (metric,) = {s.name.removesuffix("_bucket") for s in selectors(parsed(board, target))}
            assert (metric in NATIVE) == target["exemplar"], panel["title"]


def test_what_is_recorded_is_recorded_by_a_rule():
    """A board that reads what no rule writes would be empty for ever."""
    assert {metric.name for metric in shop.RECORDED} <= RECORDED


def test_what_the_exporter_says_of_itself_is_what_boards_ask_for():
    """The names and labels of its own page."""
    telemetry = Telemetry()
    telemetry.update(seconds=0.1, segments=dict.fromkeys(STATES, 0), series=1, left_out={})
    families = {family.name: set(family.labels) for family in telemetry.families()}
    for metric in exporter.METRICS:
        if metric not in exporter.OF_PROMETHEUS:
            assert set(metric.labels) == families[metric.name], metric.name
