"""An on-call walk: what was recorded from the demo with an incident fires the alert of it."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from grafana.alerting.files import RULES, rule_files
from perfsdk.cli.demo.command import INCIDENTS
from tests.grafana.recorded import (
    BEFORE_MINUTES,
    FIRES_WITHIN_MINUTES,
    INCIDENT_MINUTES,
    INSTANCE,
    STEP,
    history,
)
from tests.grafana.rule_history import ALERTS, looked

LABELS = {
    "PerfsdkDatabaseSlow": {"db_system_name": "sqlite", "db_namespace": "shop.sqlite"},
    "PerfsdkDatabaseCallsGrew": {"http_route": "/orders"},
    "PerfsdkCacheHitRatioDropped": {"cache_name": "load_product"},
    "PerfsdkPoolSaturated": {
        "db_client_connection_pool_name": "shop.sqlite",
        "instance": INSTANCE,
    },
    "PerfsdkNewError": {"error_type": "RuntimeError"},
    "PerfsdkErrorBudgetBurnPage": {"sloth_slo": "availability"},
    "PerfsdkErrorBudgetBurnTicket": {"sloth_slo": "availability"},
}
"""What an alert says about the cause."""

HEALTHY_MINUTES = 10
"""For how long before the incident it is looked."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """For each incident: (minute since its beginning, what fires then) for every look."""
    minutes = range(BEFORE_MINUTES - HEALTHY_MINUTES, BEFORE_MINUTES + INCIDENT_MINUTES)
    looks = looked(
        tmp_path_factory.mktemp("recorded"),
        [RULES / name for name in sorted(rule_files())],
        "2m",  # as seldom as rules may be evaluated
        minutes,
        interval=STEP,
        input_series=history(INCIDENTS),
    )
    return {
        incident: [
            (minute - BEFORE_MINUTES, one)
            for minute in minutes
            for one in looks[minute]
            if one.labels["job"] == incident
        ]
        for incident in INCIDENTS
    }


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_fires_its_alerts_in_time_and_no_others(found, incident):
    """Each within its minutes and until the end; nothing before, and nothing without incident."""
    expected = FIRES_WITHIN_MINUTES[incident]
    fired = {one.alert: [] for _, one in found[incident]}
    for minute, one in found[incident]:
        fired[one.alert].append(minute)
    assert expected.keys() == fired.keys()
    for name, minutes in fired.items():
        assert 0 < minutes[0] <= expected[name], (name, minutes)
        assert list(range(minutes[0], INCIDENT_MINUTES)) == minutes, name


def test_alerts_name_the_cause(found):
    """The labels say which database, route, cache, pool or error it is."""
    for incident, looks in found.items():
        for _, one in looks:
            expected = {**LABELS[one.alert], "job": incident}
            assert expected == {name: one.labels.get(name) for name in expected}


def test_alerts_lead_to_runbook_and_board(found):
    """Links open the section of the alert, and the board for the service and its instance."""
    for incident, looks in found.items():
        for _, one in looks:
            assert one.annotations["runbook_url"].endswith(f"runbooks.md#{one.alert.lower()}")
            link = urlsplit(one.annotations["dashboard_url"])
            assert f"/d/{ALERTS[one.alert].board}" == link.path
            asked = parse_qs(link.query, strict_parsing=True)
            assert [incident] == asked["var-job"]
            for label, variable in (("instance", "instance"), ("http_route", "route")):
                if f"var-{variable}" in asked:
                    assert [one.labels[label]] == asked[f"var-{variable}"]


def test_runbooks_say_how_soon_it_was(found):
    """The minutes that a runbook tells are those of the recording."""
    runbooks = " ".join((RULES.parent / "runbooks.md").read_text().split())
    for looks in found.values():
        for name in {one.alert for _, one in looks}:
            section = runbooks.partition(f"### {name} ")[2].partition("###")[0]
            first = next(minute for minute, one in looks if one.alert == name)
            assert re.findall(r"fired after (\d+) minutes", section) == [str(first)], name
