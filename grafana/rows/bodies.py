"""Body sizes: how large requests and responses are, and who fills the network."""

from grafana import promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.promql import ROUTE
from perfsdk import catalog
from perfsdk.catalog import Metric

RECEIVED = catalog.HTTP_SERVER_REQUEST_BODY_SIZE
SENT = catalog.HTTP_SERVER_RESPONSE_BODY_SIZE
BY_ROUTE = ("http_route",)
NONE = "No requests to the chosen routes"


def row() -> Row:
    """Sizes and volumes by route."""
    return Row(
        title="Body sizes",
        collapsed=True,
        lines=[
            Line(8, [_size("Request", RECEIVED), _size("Response", SENT)]),
            Line(8, [_volume("Request", RECEIVED), _volume("Response", SENT)]),
        ],
    )


def _size(what: str, metric: Metric) -> Json:
    return timeseries(
        f"{what} body size, P95",
        f"95 % of the {what.lower()} bodies of a route were at most this large. Large and growing:"
        " a list without pages.",
        [query(promql.busy(promql.quantile(0.95, metric, ROUTE, by=BY_ROUTE)), "{{http_route}}")],
        unit="bytes",
        none=NONE,
        beside=True,
    )


def _volume(what: str, metric: Metric) -> Json:
    return timeseries(
        f"{what} bodies, bytes a second",
        f"Bytes of {what.lower()} bodies a second by route: who fills the network.",
        [query(promql.amount(metric, ROUTE, by=BY_ROUTE), "{{http_route}}")],
        unit="Bps",
        stacked=True,
        none=NONE,
        beside=True,
    )
