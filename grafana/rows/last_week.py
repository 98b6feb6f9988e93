"""Compare with last week: is this rate, this failure, this duration usual for the hour?"""

from grafana import promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.promql import ROUTE
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
AGO = f"{promql.NOW}] offset 1w"
NONE = "No requests to the chosen routes"


def row() -> Row:
    """The chosen routes now, and dashed a week before."""
    return Row(
        title="Compared with last week",
        collapsed=True,
        lines=[Line(9, [_rate(), _failed(), _p99()])],
    )


def _rate() -> Json:
    return timeseries(
        "Requests, and a week ago",
        "Requests a second of the chosen routes; dashed: at the same time a week ago. Half of it"
        " at the same hour means that half of the clients do not get here.",
        [
            query(promql.observations(DURATION, ROUTE), "now"),
            query(_week_ago(promql.observations(DURATION, ROUTE)), "a week ago"),
        ],
        unit="reqps",
        dashed=["B"],
        none=NONE,
    )


def _failed() -> Json:
    return timeseries(
        "Failed, and a week ago",
        "Share of the requests of the chosen routes that failed; dashed: a week ago. What failed"
        " then too is not of the last release.",
        [
            query(promql.failed_share(ROUTE), "now"),
            query(_week_ago(promql.failed_share(ROUTE)), "a week ago"),
        ],
        unit="percentunit",
        dashed=["B"],
        reach=0.05,
        none=NONE,
    )


def _p99() -> Json:
    return timeseries(
        "P99, and a week ago",
        "99 % of the requests of the chosen routes took at most this long; dashed: a week ago."
        " Slower at the same rate: a release, or data that grew.",
        [
            query(promql.busy(promql.quantile(0.99, DURATION, ROUTE)), "now", exemplar=True),
            query(
                _week_ago(promql.busy(promql.quantile(0.99, DURATION, ROUTE))),
                "a week ago",
                exemplar=True,
            ),
        ],
        unit="s",
        dashed=["B"],
        none=NONE,
    )


def _week_ago(expr: str) -> str:
    return expr.replace(f"{promql.NOW}]", AGO)
