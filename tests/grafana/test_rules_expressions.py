"""What rules ask: what there is, of one service at a time, and what they record of it."""

import re

import promql_parser
import pytest
import yaml

from grafana import promql
from grafana.alerting import names, objectives
from grafana.alerting.expressions import failed_requests
from grafana.alerting.files import RULES
from grafana.alerting.parameters import SELECTOR
from grafana.alerting.rule import JOB
from perfsdk import catalog
from perfsdk_exporter.telemetry import Telemetry
from tests.grafana.boards import TARGET_LABELS, grouped_by, nodes, selectors
from tests.grafana.rule_cases import REQUEST, Case, Series, always, calls, requests
from tests.grafana.rule_history import history, promtool

FILES = sorted(RULES.glob("*.yaml"))
EVERY_RULE = [
    rule
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
RECORDED = [rule for rule in EVERY_RULE if "record" in rule]

SLOTH = {"sloth_service", "sloth_slo", "sloth_id", "sloth_window"}
LEVELS = {
    "job": set(),
    "job_le": {"le"},
    "job_route": {"http_route"},
    "job_route_le": {"http_route", "le"},
    "job_error": {"error_type"},
    "job_db": {"db_system_name", "db_namespace"},
    "job_cache": {"cache_system", "cache_name"},
}
OF_PROMETHEUS = {"up": set(), "scrape_duration_seconds": set()}


def samples():
    """Every sample that a rule may read, with its labels but those of the target."""
    found = dict(OF_PROMETHEUS)
    for metric in catalog.METRICS:
        labels = set(metric.labels)
        if metric.kind != "histogram":
            found[metric.name] = labels
            continue
        if metric.native:
            found[metric.name] = labels
        found |= {f"{metric.name}_{part}": labels for part in ("count", "sum")}
        found[f"{metric.name}_bucket"] = labels | {"le"}
    for family in Telemetry().families():
        found[family.name] = set(family.labels)
    # What has no sample before the first collection.
    found["perfsdk_exporter_segments"] = {"state"}
    found["perfsdk_exporter_series_left_out"] = {"reason"}
    for rule in RECORDED:
        level = rule["record"].partition(":")[0]
        found[rule["record"]] = SLOTH if level.startswith("slo") else LEVELS[level]
    return found


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_use_what_there_is(rule):
    """Every metric is of the catalog, the exporter, Prometheus or a rule, with labels it has."""
    known = samples()
    tree = promql_parser.parse(rule["expr"])
    available = TARGET_LABELS | SLOTH
    for selector in selectors(tree):
        assert selector.name in known
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= known[selector.name] | TARGET_LABELS
        available |= known[selector.name]
    assert grouped_by(tree) <= available


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.get("alert") or rule["record"])
def test_no_rule_mixes_services(rule):
    """What is summed or joined keeps cluster, namespace and job; what is read is selected."""
    for part in nodes(promql_parser.parse(rule["expr"])):
        if isinstance(part, promql_parser.AggregateExpr):
            labels = set(part.modifier.labels)
            assert set(JOB) <= labels or labels in ({"le"}, {"sloth_window"})
        elif (
            isinstance(part, promql_parser.BinaryExpr) and part.modifier and part.modifier.matching
        ):
            labels = set(part.modifier.matching.labels)
            # Nothing is chosen by the constant whether P99 has a limit.
            assert set(JOB) <= labels or labels == {"sloth_window"} or "vector" in str(part.rhs)
        elif isinstance(part, promql_parser.VectorSelector) and ":" not in part.name:
            assert ("job", ".+") in {(m.name, m.value) for m in part.matchers.matchers}


def test_recorded_series_have_the_labels_that_their_names_say():
    """`job_route:` is by service and route, and so on: the outermost sum of each says so."""
    assert {rule["record"] for rule in RECORDED if rule["record"].startswith("job")} == {
        value for name, value in vars(names).items() if name.isupper()
    }
    for rule in RECORDED:
        level = rule["record"].partition(":")[0]
        tree = promql_parser.parse(rule["expr"])
        if level.startswith("job") and isinstance(tree, promql_parser.AggregateExpr):
            assert {*JOB, *LEVELS[level]} == set(tree.modifier.labels), rule["record"]


def test_windows_hold_enough_samples():
    """Five minutes are five scrapes a minute apart; a shorter rate would be empty at times."""
    for rule in EVERY_RULE:
        ranges = re.findall(r"\[(\w+)\]", rule["expr"])
        assert set(ranges) <= {"5m", "10m", "15m", "30m", "1h", "2h", "3h", "6h", "1d", "3d", "30d"}


def test_failed_means_the_same_on_boards_and_in_rules():
    """A 5xx, or an error that is neither empty nor the client's leaving."""
    of_board = re.sub(r"\$\w+", "x", promql.failed(over="5m"))
    of_rules = failed_requests().replace(str(SELECTOR), 'job="x"')
    assert matched(of_board) == matched(of_rules)


def matched(expr):
    """What an expression matches, but for what chooses the target."""
    return {
        (matcher.name, str(matcher.op), matcher.value)
        for selector in selectors(promql_parser.parse(expr))
        for matcher in selector.matchers.matchers
        if matcher.name not in TARGET_LABELS
    }


def test_objectives_are_recorded_under_sloths_names():
    """Whoever has Sloth's boards finds every series they ask for, once for each objective."""
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    expected = {
        *(f"slo:sli_error:ratio_rate{window}" for window in windows),
        *("slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days"),
        *("slo:current_burn_rate:ratio", "slo:period_burn_rate:ratio"),
        *("slo:period_error_budget_remaining:ratio", "sloth_slo_info"),
    }
    for objective in objectives.OBJECTIVES:
        of_it = [r for r in RECORDED if r.get("labels", {}).get("sloth_slo") == objective.slo]
        assert sorted(expected) == sorted(rule["record"] for rule in of_it)


def test_what_is_recorded_of_objectives(tmp_path):
    """2 % of the requests fail and 30 % are slow: ratios, budgets and burn rates say just that."""
    case = Case(
        "shop",
        "",
        [
            *requests(*always(588), slow=0.3),
            *requests(*always(12), slow=0.3, status="500", error="KeyError"),
        ],
    )
    expected = {
        "slo:sli_error:ratio_rate5m": (0.02, 0.3),
        "slo:sli_error:ratio_rate6h": (0.02, 0.3),
        "slo:sli_error:ratio_rate30d": (0.02, 0.3),
        "slo:objective:ratio": (0.999, 0.5),
        "slo:error_budget:ratio": (0.001, 0.5),
        "slo:time_period:days": (30, 30),
        "slo:current_burn_rate:ratio": (20, 0.6),
        "slo:period_burn_rate:ratio": (20, 0.6),
        "slo:period_error_budget_remaining:ratio": (-19, 0.4),
        "sloth_slo_info": (1, 1),
    }
    looks = [
        {
            # promtool compares digits; the ones that rounding errors change are of no interest.
            "expr": f"round(sum by (cluster, namespace, job, sloth_service, sloth_id) ({name}"
            f'{{sloth_slo="{slo}"}}), 1e-6)',
            "eval_time": "90m",
            "exp_samples": [
                {
                    "labels": f'{{namespace="ns",job="shop",sloth_service="shop",'
                    f'sloth_id="shop-{slo}"}}',
                    "value": value,
                }
            ],
        }
        for name, both in expected.items()
        for slo, value in zip(("availability", "latency"), both, strict=True)
    ]
    words = promtool(
        tmp_path, FILES, "1m", input_series=history([case], "ns"), promql_expr_test=looks
    )
    assert words == ""


def test_what_is_recorded_does_not_grow_with_instances(tmp_path):
    """Twenty series a route and 51 a service, as the README says, be it one instance or three."""
    bounds = [*map(repr, catalog.HTTP14), "+Inf"]
    routes = ("/a", "/b")
    labels = {"http_request_method": "GET", "http_response_status_code": "200", "error_type": ""}
    series = [
        one
        for route in routes
        for one in (
            *(
                Series(f"{REQUEST}_bucket", "0+9x9", {**labels, "http_route": route, "le": le})
                for le in bounds
            ),
            *calls((2, 10), route=route),
        )
        if not (one.name == f"{REQUEST}_bucket" and one.values != "0+9x9")
    ]
    instances = [f"10.0.0.{number}:8979" for number in range(3)]
    cases = [
        Case("one", "", series),
        Case("three", "", [one._replace(instance=name) for one in series for name in instances]),
    ]
    recorded = '{__name__=~"job(_[a-z]+)*:.+|slo:.+|sloth_slo_info"}'
    expected = 20 * len(routes) + 51
    looks = [
        {
            "expr": f"count by (job) ({recorded})",
            "eval_time": "9m",
            "exp_samples": [
                {"labels": f'{{job="{case.name}"}}', "value": expected} for case in cases
            ],
        }
    ]
    words = promtool(tmp_path, FILES, "1m", input_series=history(cases), promql_expr_test=looks)
    assert words == ""
