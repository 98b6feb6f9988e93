"""Where the time goes: the components of requests, and what makes the slow ones slow."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.promql import ROUTE
from grafana.tables import Column, table
from perfsdk import catalog
from perfsdk.catalog import COMPONENTS, Metric

TIME = catalog.HTTP_SERVER_REQUEST_COMPONENT
REQUESTS = catalog.HTTP_SERVER_REQUEST_BAND
DB_CALLS = catalog.HTTP_SERVER_REQUEST_DB_CALLS
CACHE_CALLS = catalog.HTTP_SERVER_REQUEST_CACHE_CALLS
DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
BY_ROUTE = ("http_route",)
TYPICAL, SLOW = (f'band="{band}"' for band in catalog.BANDS)
NONE = "No requests to the chosen routes"


def row() -> Row:
    """Seconds of a request by component, of all, of typical and of slow requests."""
    return Row(
        title="Where the time goes",
        lines=[
            Line(
                9,
                [
                    _components(
                        "Time of a request",
                        "Average time of a request of the chosen routes, by component; together"
                        " they are its duration. The widest band is the bottleneck.",
                    ),
                    _components(
                        "Typical requests",
                        "The same for typical requests: the fastest 95 % of their route.",
                        TYPICAL,
                    ),
                    _components(
                        "Slow requests",
                        "The same for requests slower than the recent P95 of their route. The"
                        " band that is much wider here than beside is what makes them slow.",
                        SLOW,
                    ),
                ],
            ),
            Line(9, [_by_route()]),
            Line(
                9,
                [
                    _slow_against_typical(),
                    _calls(
                        "Database",
                        DB_CALLS,
                        "Many that rise with the size of a list are an N+1 query: load related"
                        " rows together.",
                    ),
                    _calls("Cache", CACHE_CALLS, "Many: ask for several keys at once."),
                ],
            ),
        ],
    )


def _components(title: str, description: str, *band: str) -> Json:
    time = promql.rate(TIME, ROUTE, *band, by=("component",))
    return timeseries(
        title,
        description,
        [query(promql.share_of_all(time, promql.rate(REQUESTS, ROUTE, *band)), "{{component}}")],
        unit="s",
        stacked=True,
        colours=fields.COMPONENTS,
        short=True,
        none=NONE,
    )


def _by_route() -> Json:
    whole = promql.over_all(*BY_ROUTE)
    all_time = promql.rate(TIME, ROUTE, **whole)
    return table(
        "Time of a request by route",
        "What part of the time of a route's requests each component takes, and how many calls a"
        " request makes, over the whole time range. The longest bar of a route is its bottleneck:"
        " app is Python code, pool_wait is waiting for a database connection.",
        [
            Column(title="Route", label="http_route"),
            Column(
                title="Average",
                expr=promql.average(DURATION, ROUTE, **whole),
                unit="s",
                width=100,
            ),
            *(
                Column(
                    title=component,
                    expr=promql.share(
                        promql.rate(TIME, ROUTE, f'component="{component}"', **whole), all_time
                    ),
                    unit="percentunit",
                    decimals=0,
                    bar=fields.COMPONENTS[component],
                    maximum=1,
                    width=150,
                )
                for component in COMPONENTS
            ),
            *_call_columns("DB calls", DB_CALLS, 20),
            *_call_columns("Cache calls", CACHE_CALLS, 50),
        ],
        sort_by="Average",
        none=NONE,
    )


def _call_columns(title: str, metric: Metric, many: float) -> list[Column]:
    whole = promql.over_all(*BY_ROUTE)
    return [
        Column(title=title, expr=promql.average(metric, ROUTE, **whole), decimals=1, width=110),
        Column(
            title=f"{title}, P95",
            expr=promql.busy(promql.quantile(0.95, metric, ROUTE, **whole)),
            decimals=1,
            steps=[(None, "text"), (many, fields.YELLOW)],
            width=130,
        ),
    ]


def _slow_against_typical() -> Json:
    def seconds(band: str) -> str:
        time = promql.rate(TIME, ROUTE, band, by=("component",), over=promql.ALL)
        requests = promql.rate(REQUESTS, ROUTE, band, over=promql.ALL)
        return promql.share_of_all(time, requests)

    return table(
        "What makes slow requests slow",
        "Seconds of one request by component, typical and slow, over the chosen routes and time."
        " The largest 'Extra' is what to look at: db is slow queries or locks, pool_wait a pool"
        " that is too small, app a busy worker or garbage collection.",
        [
            Column(title="Component", label="component"),
            Column(title="Typical", expr=seconds(TYPICAL), unit="s", width=85),
            Column(title="Slow", expr=seconds(SLOW), unit="s", width=85),
            Column(
                title="Extra",
                expr=f"clamp_min({seconds(SLOW)} - ({seconds(TYPICAL)} or 0 * {seconds(SLOW)}), 0)",
                unit="s",
                bar=fields.RED,
                width=170,
            ),
        ],
        sort_by="Extra",
        none=NONE,
    )


def _calls(what: str, metric: Metric, hint: str) -> Json:
    return timeseries(
        f"{what} calls of a request",
        f"{what} operations that one request makes, by route: the average, and dashed the P95."
        f" {hint}",
        [
            query(promql.average(metric, ROUTE, by=BY_ROUTE), "{{http_route}}"),
            query(
                promql.busy(promql.quantile(0.95, metric, ROUTE, by=BY_ROUTE)),
                "{{http_route}} P95",
            ),
        ],
        unit="short",
        dashed=["B"],
        none=NONE,
    )
