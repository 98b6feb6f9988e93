"""Every query of every dashboard, asked of a real Prometheus that has all catalogued metrics."""

import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from grafana.build import dashboards
from tests.grafana.boards import interpolate, targets
from tests.grafana.history import openmetrics
from tests.servers import require, start_prometheus


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A Prometheus with an hour of history and nothing to scrape."""
    require("prometheus")
    require("promtool")
    folder = tmp_path_factory.mktemp("prometheus")
    page = folder / "history.txt"
    page.write_text("\n".join(openmetrics(int(time.time()))) + "\n")
    blocks = [
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(page),
        str(folder / "prometheus-data"),
    ]
    subprocess.run(["promtool", *blocks], check=True, capture_output=True)
    with start_prometheus(folder, []) as server:
        yield server.url


QUERIES = [
    pytest.param(panel, target, id=f"{name} {panel['title']} {target['refId']}")
    for name, text in dashboards().items()
    for panel, target in targets(json.loads(text))
]


@pytest.mark.parametrize(("panel", "target"), QUERIES)
def test_a_panel_query_returns_data(prometheus, panel, target):
    """At least one series with at least one number, over a range or at an instant."""
    expr = interpolate(target["expr"])
    end = time.time()
    if target.get("instant"):
        result = _ask(prometheus, "query", query=expr, time=end)
        values = [series["value"][1] for series in result]
    else:
        result = _ask(
            prometheus, "query_range", query=expr, start=end - 1800, end=end - 60, step=60
        )
        values = [value for series in result for _, value in series["values"]]
    assert values, expr
    assert any(math.isfinite(float(value)) for value in values), expr


@pytest.mark.parametrize("name", dashboards())
def test_variables_offer_values(prometheus, name):
    """Job, instance and route have something to choose; a namespace exists in a cluster only."""
    for variable in json.loads(dashboards()[name])["templating"]["list"]:
        if variable["type"] != "query" or variable["name"] == "namespace":
            continue
        selector, label = re.fullmatch(
            r"label_values\((.*), (\w+)\)", variable["definition"]
        ).groups()
        path = f"label/{label}/values"
        assert _ask(prometheus, path, **{"match[]": interpolate(selector)}), variable["definition"]


def _ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=30) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    data = answer["data"]
    return data["result"] if isinstance(data, dict) else data
