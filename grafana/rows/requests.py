"""Requests by route: rate, errors and duration, and which route is worth making faster."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import heatmap, query, timeseries
from grafana.promql import ROUTE
from grafana.tables import Column, table
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
BY_ROUTE = ("http_route",)
LEGEND = "{{http_route}}"
NONE = "No requests to the chosen routes"
QUANTILES = (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))


def row() -> Row:
    """Rate, errors, duration of the chosen routes."""
    return Row(
        title="Requests by route",
        lines=[
            Line(9, [_routes()]),
            Line(10, [_rate(), _failed(), _status()]),
            Line(10, [_by_route(name, q) for name, q in QUANTILES]),
            Line(9, [_quantiles(), _heatmap()]),
        ],
    )


def _routes() -> Json:
    whole = promql.over_all(*BY_ROUTE)
    time = promql.amount(DURATION, ROUTE, **whole)
    all_time = promql.amount(DURATION, over=promql.ALL)
    steps = {"P50": fields.LATENCY, "P95": fields.LATENCY, "P99": fields.LATENCY}
    return table(
        "Routes",
        "The chosen routes over the whole time range. 'Share of time' is the part of all serving"
        " time that a route takes: the first one is worth making faster first, even if another"
        " is slower for each request.",
        [
            Column(title="Route", label="http_route"),
            Column(
                title="Requests",
                expr=promql.observations(DURATION, ROUTE, **whole),
                unit="reqps",
                width=130,
            ),
            Column(
                title="Failed",
                expr=promql.failed_share(ROUTE, **whole),
                unit="percentunit",
                decimals=2,
                steps=fields.FAILED,
                width=110,
            ),
            *(
                Column(
                    title=name,
                    expr=promql.busy(promql.quantile(q, DURATION, ROUTE, **whole)),
                    unit="s",
                    steps=steps[name],
                    width=110,
                )
                for name, q in QUANTILES
            ),
            Column(
                title="Share of time",
                expr=promql.share_of_all(time, all_time),
                unit="percentunit",
                decimals=1,
                bar=fields.BLUE,
                maximum=1,
                width=420,
            ),
        ],
        sort_by="Share of time",
        none=NONE,
    )


def _rate() -> Json:
    return timeseries(
        "Rate by route",
        "How often each route is called. A step that no release explains is a client that"
        " changed, retries, or a crawler.",
        [query(promql.observations(DURATION, ROUTE, by=BY_ROUTE), LEGEND)],
        unit="reqps",
        none=NONE,
    )


def _failed() -> Json:
    return timeseries(
        "Failed by route",
        "Share of the requests of each route that failed: 5xx, or an error other than a client"
        " that left. All routes at once point at something that they share: database, cache,"
        " release. 0 when a route is quiet.",
        [query(promql.failed_share(ROUTE, by=BY_ROUTE), LEGEND)],
        unit="percentunit",
        reach=0.05,
        none=NONE,
    )


def _status() -> Json:
    # A group's number alone: `$1` would also be a variable's name if anything followed.
    classes = promql.observations(DURATION, ROUTE, by=("http_response_status_code",))
    first_digit = f'label_replace({classes}, "class", "$1", "http_response_status_code", "(.).*")'
    return timeseries(
        "Status classes",
        "Requests a second by the first digit of their status. 4xx are mistakes of clients: a"
        " sudden rise is often a link or a contract that broke. 499, a client that left, is"
        " among them.",
        [query(promql.aggregate("sum", first_digit, ("class",)), "{{class}}xx")],
        unit="reqps",
        stacked=True,
        colours=fields.STATUS_CLASSES,
        short=True,
        none=NONE,
    )


def _by_route(name: str, q: float) -> Json:
    return timeseries(
        f"{name} by route",
        f"{q:.0%} of the requests of a route took at most this long. Points are exemplars, where"
        " traces are stored: open one for an example. A line that ends: nobody called the route.",
        [
            query(
                promql.busy(promql.quantile(q, DURATION, ROUTE, by=BY_ROUTE)),
                LEGEND,
                exemplar=True,
            )
        ],
        unit="s",
        none=NONE,
    )


def _quantiles() -> Json:
    return timeseries(
        "Duration of all chosen routes",
        "P50, P95 and P99 over the chosen routes together. Only P99 rises: a few requests wait"
        " for something: the board Where the time goes says what. All three rise: everything does.",
        [
            query(promql.busy(promql.quantile(q, DURATION, ROUTE)), name, exemplar=True)
            for name, q in QUANTILES
        ],
        unit="s",
        colours=fields.QUANTILES,
        none=NONE,
    )


def _heatmap() -> Json:
    return heatmap(
        "Distribution of durations",
        "How many requests a second took how long. Two bands are two kinds of requests, such as"
        " hits and misses of a cache; a band that climbs is a queue.",
        promql.buckets(DURATION, ROUTE),
        unit="s",
        none=NONE,
    )
