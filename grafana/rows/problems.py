"""Active problems: six numbers that are 0 and green when all is well, and what is behind them."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, stat, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
DB = catalog.DB_CLIENT_OPERATION_DURATION
CACHE = catalog.CACHE_OPERATION_DURATION
BY_ROUTE = ("http_route",)

FAILING = "> 0.01"
SLOW = "> 1"
MANY_CALLS = "> 20"
IS_ERROR = 'error_type!=""'
CLIENT_LEFT = "client_disconnect"
WORTH_A_LOOK = fields.bad_from(1, fields.ORANGE)
"""For what is no outage by itself; red is for what fails."""


def row() -> Row:
    """All routes, whatever routes are chosen: a problem is not to be filtered away."""
    return Row(title="Active problems", lines=[Line(4, _numbers()), Line(8, _behind_them())])


def _numbers() -> list[Json]:
    served = promql.observations(DURATION)
    return [
        _problem(
            "Failing routes",
            "Routes of which more than 1 % of the requests fail now. The table below names them.",
            promql.count_where(promql.failed_share(by=BY_ROUTE), FAILING, exists=served),
        ),
        _problem(
            "Slow routes",
            "Routes whose P99 is above 1 s now. The table below names them; choose one as"
            " 'Route' and open the board Where the time goes.",
            promql.count_where(promql.quantile(0.99, DURATION, by=BY_ROUTE), SLOW, exists=served),
            steps=WORTH_A_LOOK,
        ),
        _problem(
            "N+1 suspects",
            "Routes where one request in twenty makes more than 20 database calls. Load related"
            " rows together: the board Where the time goes shows the calls of a request.",
            promql.count_where(
                promql.quantile(0.95, catalog.HTTP_SERVER_REQUEST_DB_CALLS, by=BY_ROUTE),
                MANY_CALLS,
                exists=served,
            ),
            steps=WORTH_A_LOOK,
        ),
        _problem(
            "Failed database calls",
            "Share of database operations that raised an error. The board"
            " Databases and pools tells their classes.",
            promql.share(promql.observations(DB, IS_ERROR), promql.observations(DB)),
            unit="percentunit",
            steps=fields.bad_above(0.001, 0.01),
            none="no calls",
        ),
        _problem(
            "Failed cache calls",
            "Share of cache operations that raised an error; requests then pay for misses. The"
            " board Caches tells their classes.",
            promql.share(promql.observations(CACHE, IS_ERROR), promql.observations(CACHE)),
            unit="percentunit",
            steps=fields.bad_above(0.001, 0.01),
            none="no calls",
        ),
        _problem(
            "Gaps in the measuring",
            "Errors inside the SDK, and series turned away by a bound, in the chosen time. The"
            " application is not affected, but numbers may be incomplete: the board Telemetry tells"
            " more.",
            f"({promql.or_zero(promql.grown(catalog.INTERNAL_ERRORS))})"
            f" + ({promql.or_zero(promql.grown(catalog.DROPPED_SERIES))})",
            steps=WORTH_A_LOOK,
            course=False,
        ),
    ]


def _problem(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    steps: list[tuple[float | None, str]] | None = None,
    none: str = "no requests",
    course: bool = True,
) -> Json:
    return stat(
        title,
        description,
        expr,
        unit=unit,
        steps=steps or fields.bad_from(1),
        none=none,
        course=course,
        decimals=2 if unit == "percentunit" else 0,
        alarm=True,
    )


def _behind_them() -> list[Json]:
    whole = promql.over_all(*BY_ROUTE)
    share = promql.failed_share(**whole)
    p99 = promql.busy(promql.quantile(0.99, DURATION, **whole))
    errors = promql.observations(DURATION, IS_ERROR, by=("error_type",))
    return [
        table(
            "Routes that fail",
            "Routes of which more than 1 % of the requests failed in the chosen time, the worst"
            " first. Empty is well. Compare with a release or with 'Errors' beside it.",
            [
                Column(title="Route", label="http_route"),
                Column(
                    title="Failed",
                    expr=f"{share} {FAILING}",
                    unit="percentunit",
                    steps=fields.FAILED,
                    width=90,
                ),
                Column(
                    title="Failed/s",
                    expr=f"{promql.failed(**whole)} and on (http_route) ({share} {FAILING})",
                    unit="reqps",
                    width=110,
                ),
            ],
            sort_by="Failed",
            none="Every route is below 1 %",
        ),
        table(
            "Slowest routes",
            "The ten routes with the highest P99 in the chosen time. A slow route that is rarely"
            " called may matter less: 'Share of time' in 'Routes' weighs both.",
            [
                Column(title="Route", label="http_route"),
                Column(
                    title="P99",
                    expr=f"topk(10, {p99})",
                    unit="s",
                    bar=fields.RED,
                    width=230,
                ),
            ],
            sort_by="P99",
            none="No requests",
        ),
        timeseries(
            "Errors",
            "Requests a second that ended with an error, by its class: an exception, or the"
            " status of a 5xx without one. 'client_disconnect' is a client that left before the"
            " answer; it does not count as failed, but many of them mean impatience.",
            [query(errors, "{{error_type}}")],
            unit="reqps",
            stacked=True,
            colours={CLIENT_LEFT: fields.GREY},
            shades=fields.RED,
            none="No errors",
        ),
    ]
