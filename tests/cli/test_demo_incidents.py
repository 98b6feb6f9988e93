"""`perfsdk demo --incident` breaks the one thing that it names, and its report shows it."""

import json
import os
import subprocess
import sys

import pytest

from perfsdk.cli.demo.command import INCIDENTS


def report(incident, tmp_path):
    """What a short run of the demo with an incident says, as the parsed JSON."""
    command = [sys.executable, "-m", "perfsdk.cli", "demo", "--once", "--json", "--workers", "1"]
    ran = subprocess.run(
        [*command, "--duration", "3", "--rate", "40", "--incident", incident],
        env={**os.environ, "TMPDIR": str(tmp_path), "PERFSDK_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)


def seconds(report, route, component):
    """What an average request of a route spends there."""
    found = next(each["all"] for each in report["times"] if each["route"] == route)
    return found["seconds"].get(component, 0.0) / found["requests"]


def db_calls(report):
    """Calls of an average request for the list of orders."""
    return next(each["db_calls"] for each in report["times"] if each["route"] == "GET /orders")


SHOWN = {
    "none": lambda found: (
        sum(each["failed"] for each in found["latencies"]) == 0 and db_calls(found) == 2
    ),
    "slow-query": lambda found: seconds(found, "GET /search", "db") > 0.1,
    "n-plus-one": lambda found: db_calls(found) > 10,
    "cache-flush": lambda found: found["caches"][0]["hit_rate"] < 0.3,
    "pool-exhaustion": lambda found: (
        seconds(found, "GET /orders", "pool_wait") > seconds(found, "GET /orders", "app")
    ),
    "errors": lambda found: sum(each["failed"] for each in found["latencies"]) > 0,
}


def test_every_incident_is_tried():
    """All that the command line takes."""
    assert set(INCIDENTS) == set(SHOWN)


@pytest.mark.parametrize("incident", SHOWN)
def test_the_report_shows_it(incident, tmp_path):
    """In the answer where one would look for it; the mended shop has neither errors nor N+1."""
    found = report(incident, tmp_path)
    assert SHOWN[incident](found), found
