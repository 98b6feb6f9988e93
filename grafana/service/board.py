"""The dashboard of one service: is it well, what is wrong, and where does the time go?"""

from grafana import promql
from grafana.dashboard import dashboard, datasource_variable, label_variable, min_step_variable
from grafana.fields import Json
from grafana.service import (
    caches,
    database,
    delivery,
    details,
    health,
    problems,
    queries,
    requests,
    spent,
    workers,
)
from perfsdk import catalog

# It is there from the first scrape on, whatever the application does.
PRESENT = catalog.WORKERS.name
REQUESTS = f"{catalog.HTTP_SERVER_REQUEST_DURATION.name}_count"


def build() -> Json:
    """The dashboard as Grafana imports it."""
    return dashboard(
        uid="perfsdk-service",
        title="perfsdk / Service",
        description=(
            "One service over all its workers: is it well, which routes are slow or fail, where"
            " the time of their requests goes, and what database and cache add."
        ),
        variables=_variables(),
        rows=[
            health.row(),
            problems.row(),
            requests.row(),
            spent.row(),
            database.row(),
            queries.row(),
            caches.row(),
            delivery.row(),
            workers.row(),
            *details.rows(),
        ],
    )


def _variables() -> list[Json]:
    chosen = [promql.SERVICE[:length] for length in range(4)]
    series = [f"{PRESENT}{{{','.join(matchers)}}}" if matchers else PRESENT for matchers in chosen]
    return [
        datasource_variable(),
        # Few have several clusters in one data source: they choose by ?var-cluster=.
        label_variable("cluster", "Cluster", series[0], "cluster", everything=".*", hidden=True),
        label_variable("namespace", "Namespace", series[1], "namespace", everything=".*"),
        label_variable("job", "Job", series[2], "job", everything=".+"),
        label_variable("instance", "Instance", series[3], "instance", everything=".+"),
        label_variable("route", "Route", promql.selector(REQUESTS), "http_route", everything=".*"),
        min_step_variable("15s", "30s", "1m", "2m", "5m", default="30s"),
    ]
