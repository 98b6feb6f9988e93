"""Every alert fires for what it is about, and for nothing else, as promtool evaluates the rules."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from grafana.alerting.files import RULES, rule_files
from tests.grafana import rule_cases_inside, rule_cases_requests
from tests.grafana.rule_cases import DAY, HOUR, SHIFT, WEEK
from tests.grafana.rule_history import ALERTS, fired

CASES = [*rule_cases_requests.CASES, *rule_cases_inside.CASES]
NEEDS_TRAFFIC = re.compile("«min")
NAMESPACE = "shop & co"
"""Not a name that Kubernetes would take: links have to escape it."""

# Days of evaluation cost seconds; objectives have their say within the hour.
WITHOUT_OBJECTIVES = ("perfsdk-aggregations.rules.yaml", "perfsdk-alerts.rules.yaml")
EVERY = {HOUR: "2m", SHIFT: "5m", DAY: "15m", WEEK: "30m"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What fires for each case by its name, from one history a span."""
    by_job = {case.name: [] for case in CASES}
    for span, every in EVERY.items():
        cases = [case for case in CASES if case.span == span]
        names = sorted(rule_files()) if span in {HOUR, SHIFT} else WITHOUT_OBJECTIVES
        folder = tmp_path_factory.mktemp(span)
        looks = fired(folder, [RULES / name for name in names], every, cases, NAMESPACE)
        for case in cases:
            by_job[case.name] = [f for f in looks[case.minute] if f.labels["job"] == case.name]
    return by_job


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_happens_fires_its_alerts_and_no_others(found, case):
    """An incident is told once, by the alert that is about it; what is harmless is not told."""
    assert sorted(case.fires) == sorted(one.alert for one in found[case.name])


def test_p99_is_an_alert_where_it_has_a_limit(tmp_path):
    """Off by default; with a limit it fires above it, and only where there is traffic."""
    cases = rule_cases_requests.P99_ON
    assert cases[0].name not in {case.name for case in CASES}
    files = rule_files({"p99Seconds": 0.2})
    for name in WITHOUT_OBJECTIVES:
        (tmp_path / name).write_text(files[name])
    (looks,) = fired(tmp_path, sorted(tmp_path.glob("*.yaml")), "1m", cases).values()
    expected = [(case.name, alert) for case in cases for alert in case.fires]
    assert expected == [(one.labels["job"], one.alert) for one in looks]


def test_every_alert_has_its_cases():
    """Each fires in one case and is silent in another; those on shares have one of no traffic."""
    cases = [*CASES, *rule_cases_requests.P99_ON]
    names = [case.name for case in cases]
    assert sorted(set(names)) == sorted(names)
    assert set(ALERTS) == {case.about for case in cases if case.about in case.fires}
    assert set(ALERTS) == {case.about for case in cases if case.about not in case.fires}
    guarded = {name for name, alert in ALERTS.items() if NEEDS_TRAFFIC.search(alert.expr)}
    assert guarded == {case.about for case in cases if case.guard}
    assert not [case.name for case in cases if case.guard and case.fires]


def test_texts_are_filled(found):
    """What a person gets has values for templates, and names the service."""
    for name, alerts in found.items():
        for one in alerts:
            texts = one.annotations["summary"] + one.annotations["description"]
            assert not re.search(r"\{\{|<no value>|<error|%!|NaN|«", texts), one
            assert one.labels["instance" if "instance" in one.labels else "job"] in texts, name


def test_links_open_the_service(found):
    """The board is opened for the cluster, namespace, job, instance or route of the alert."""
    expected = {"namespace": [NAMESPACE]}
    for name, alerts in found.items():
        for one in alerts:
            link = urlsplit(one.annotations["dashboard_url"])
            asked = parse_qs(link.query, strict_parsing=True)
            assert f"/d/{ALERTS[one.alert].board}" == link.path
            assert ["now"] == asked.pop("to")
            assert re.fullmatch(r"now-\d+[hd]", asked.pop("from")[0])
            shown = {**expected, "job": [name]}
            for label, variable in (("instance", "instance"), ("http_route", "route")):
                if label in ALERTS[one.alert].variables:
                    shown[variable] = [one.labels[label]]
            assert {f"var-{k}": v for k, v in shown.items()} == asked
