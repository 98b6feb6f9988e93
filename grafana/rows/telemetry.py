"""What the SDK inside the application could not do: libraries, errors, series, routes."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
BY_ROUTE = ("http_route",)
STATUS_COLOURS = {"active": "green", "disabled": "blue", "unsupported": "orange", "failed": "red"}


def row() -> Row:
    """What one looks at when a number seems wrong."""
    return Row(
        title="In the application",
        lines=[
            Line(8, [_integrations(), _internal_errors(), _turned_away()]),
            Line(8, [_series(), _workers(), _without_a_route()]),
            Line(6, [_unresolved()]),
        ],
    )


def _integrations() -> Json:
    status = {
        "type": "value",
        "options": {
            name: {"color": colour, "index": index, "text": name}
            for index, (name, colour) in enumerate(STATUS_COLOURS.items())
        },
    }
    info = promql.gauge(
        catalog.INTEGRATION_INFO, by=("library", "version", "status"), function="max"
    )
    return table(
        "Integrations",
        "Libraries of the application and whether they are measured. 'unsupported' is a version"
        " that is not known, 'failed' an error of ours: the application's log says why.",
        [
            Column(title="Library", label="library"),
            Column(title="Version", label="version"),
            Column(title="Status", label="status", mappings=[status]),
            Column(title="Value", expr=info, hidden=True),
        ],
        sort_by="Status",
        none="Nothing is instrumented",
    )


def _internal_errors() -> Json:
    return table(
        "Errors inside the SDK",
        "Errors of ours that were kept from the application, since its numbers began and in the"
        " chosen time, by place. The application's log has the first of each: please report it.",
        [
            Column(title="Where", label="where"),
            Column(
                title="In all",
                expr=promql.gauge(catalog.INTERNAL_ERRORS, by=("where",)),
                decimals=0,
                width=90,
            ),
            Column(
                title="New",
                expr=promql.grown(catalog.INTERNAL_ERRORS, by=("where",)),
                decimals=0,
                steps=fields.bad_from(1),
                width=90,
            ),
        ],
        sort_by="New",
        none="No errors",
    )


def _turned_away() -> Json:
    by = ("metric", "label")
    return table(
        "Series turned away",
        "Series that a bound turned away, by metric and by the label that grew, since its numbers"
        " began and in the chosen time. Their values are under <overflow>: find the label that"
        " takes a new value for every request.",
        [
            Column(title="Metric", label="metric"),
            Column(title="Label", label="label"),
            Column(
                title="In all",
                expr=promql.gauge(catalog.DROPPED_SERIES, by=by),
                decimals=0,
                width=90,
            ),
            Column(
                title="New",
                expr=promql.grown(catalog.DROPPED_SERIES, by=by),
                decimals=0,
                steps=fields.bad_from(1),
                width=90,
            ),
        ],
        sort_by="New",
        none="None",
    )


def _series() -> Json:
    return timeseries(
        "Series of live workers",
        "Series that live workers hold, by metric. A line that only climbs nears its bound.",
        [query(promql.gauge(catalog.SERIES, by=("metric",)), "{{metric}}")],
        unit="short",
        none="No live workers",
    )


def _workers() -> Json:
    return timeseries(
        "Workers by instance",
        "Live worker processes that record. Steps down and up are restarts; a saw is a worker"
        " that dies again and again.",
        [query(promql.gauge(catalog.WORKERS, by=("instance",)), "{{instance}}")],
        unit="short",
        none="No live workers",
    )


def _without_a_route() -> Json:
    routes = promql.observations(DURATION, 'http_route=~"<.*>"', by=BY_ROUTE)
    return timeseries(
        "Requests without a route",
        "Requests a second that no route template answers for: <unmatched> is a 404 of the router,"
        " <redirect> its slash redirect, <unrouted> another middleware, <overflow> a route over"
        " the bound. Many <unmatched> are a scanner or a broken link.",
        [query(routes, "{{http_route}}")],
        unit="reqps",
        none="None",
    )


def _unresolved() -> Json:
    by = ("framework", "route")
    return table(
        "Routes that tell no template",
        "Classes of routes whose template could not be told: their requests count as"
        " <unresolved>. Usually a version of the framework that is newer than perfsdk.",
        [
            Column(title="Framework", label="framework"),
            Column(title="Class of the route", label="route"),
            Column(
                title="In all",
                expr=promql.gauge(catalog.UNRESOLVED_ROUTES, by=by),
                decimals=0,
                width=90,
            ),
            Column(
                title="New",
                expr=promql.grown(catalog.UNRESOLVED_ROUTES, by=by),
                decimals=0,
                steps=fields.bad_from(1),
                width=90,
            ),
        ],
        sort_by="New",
        none="None",
    )
