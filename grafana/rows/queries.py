"""Queries and pools: which statements hurt, how much they return, who waits to ask at all."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.promql import ROUTE
from grafana.tables import Column, table
from perfsdk import catalog

FINDINGS = catalog.DB_CLIENT_QUERY_FINDINGS
ROWS = catalog.DB_CLIENT_RETURNED_ROWS
WAIT = catalog.DB_CLIENT_CONNECTION_WAIT_TIME
USE = catalog.DB_CLIENT_CONNECTION_USE_TIME
CREATE = catalog.DB_CLIENT_CONNECTION_CREATE_TIME
CONNECTIONS = catalog.DB_CLIENT_CONNECTIONS
POOL = (catalog.POOL,)
LEGEND = f"{{{{{catalog.POOL}}}}}"
NONE = "No connection pools were measured"


def problems() -> Row:
    """What alerts lead here for: what was found in requests, and who waits for a connection."""
    return Row(
        title="Active problems",
        lines=[Line(9, [_findings(), _pending(), _used()], (10, 7, 7))],
    )


def row() -> Row:
    """What statements give back."""
    return Row(title="Rows returned", lines=[Line(9, [_rows()])])


def pools() -> Row:
    """The pools of all workers."""
    return Row(title="Connection pools", lines=[Line(8, [_wait()]), Line(8, [_table()])])


def _findings() -> Json:
    by = ("kind", "http_route", "db_system_name")
    return table(
        "Queries that hurt",
        "Requests in which a statement was found to hurt, in the chosen time. The log of the"
        " application names the statement and the line, and says what to do; the exporter's"
        " /queries lists the statements that take most time.",
        [
            Column(title="Kind", label="kind", width=160),
            Column(title="Route", label="http_route"),
            Column(title="System", label="db_system_name", width=110),
            Column(
                title="Requests", expr=promql.grown(FINDINGS, ROUTE, by=by), decimals=0, width=100
            ),
        ],
        sort_by="Requests",
        none="Nothing was found",
    )


def _rows() -> Json:
    by = ("db_operation_name", "db_collection_name")
    return timeseries(
        "Rows returned, P95",
        "95 % of the statements of a kind returned at most so many rows. Hundreds where a page"
        " shows twenty: the rest is read, sent and thrown away.",
        [
            query(
                promql.busy(promql.quantile(0.95, ROWS, by=by)),
                "{{db_operation_name}} {{db_collection_name}}",
            )
        ],
        unit="short",
        none="No rows were counted",
    )


def _used() -> Json:
    used = promql.gauge(CONNECTIONS, 'db_client_connection_state="used"', by=POOL)
    most = promql.gauge(catalog.DB_CLIENT_CONNECTION_MAX, by=POOL)
    return timeseries(
        "Connections used, of all that may be",
        "At 100 % the next request waits for a connection. All workers together; a single one may"
        " be at its limit before. Pools without a limit are not shown.",
        [query(promql.each(used, most), LEGEND)],
        unit="percentunit",
        maximum=1,
        none=NONE,
    )


def _pending() -> Json:
    timeouts = promql.rate(catalog.DB_CLIENT_CONNECTION_TIMEOUTS, by=POOL)
    return timeseries(
        "Callers that wait for a connection",
        "Callers that wait for a connection now, and those a second that gave up. Either the pool"
        " is too small or connections are held while something else is done.",
        [
            query(promql.gauge(catalog.DB_CLIENT_CONNECTION_PENDING, by=POOL), f"{LEGEND} waiting"),
            query(timeouts, f"{LEGEND} gave up"),
        ],
        unit="short",
        none=NONE,
    )


def _wait() -> Json:
    return timeseries(
        "Time to get a connection, P95",
        "95 % got a connection within this time, opening it included. It is in the time of"
        " requests as the component 'pool_wait'.",
        [query(promql.busy(promql.quantile(0.95, WAIT, by=POOL)), LEGEND)],
        unit="s",
        none=NONE,
    )


def _table() -> Json:
    whole = promql.over_all(*POOL)
    state = 'db_client_connection_state="{}"'.format
    return table(
        "Every pool",
        "The pools of all workers by name. Many opened connections: they are not kept, or do not"
        " live. Long use: they are held across work that needs none.",
        [
            Column(title="Pool", label=catalog.POOL),
            Column(
                title="Used",
                expr=promql.gauge(CONNECTIONS, state("used"), by=POOL),
                decimals=0,
                width=80,
            ),
            Column(
                title="Idle",
                expr=promql.gauge(CONNECTIONS, state("idle"), by=POOL),
                decimals=0,
                width=80,
            ),
            *(
                Column(title=title, expr=promql.gauge(metric, by=POOL), decimals=0, width=95)
                for title, metric in (
                    ("At most", catalog.DB_CLIENT_CONNECTION_MAX),
                    ("Idle most", catalog.DB_CLIENT_CONNECTION_IDLE_MAX),
                    ("Idle least", catalog.DB_CLIENT_CONNECTION_IDLE_MIN),
                )
            ),
            Column(
                title="Gave up",
                expr=promql.grown(catalog.DB_CLIENT_CONNECTION_TIMEOUTS, by=POOL),
                decimals=0,
                steps=fields.bad_from(1),
                width=90,
            ),
            *(
                Column(title=title, expr=promql.average(metric, **whole), unit="s", width=120)
                for title, metric in (
                    ("Average wait", WAIT),
                    ("Average use", USE),
                    ("Average open", CREATE),
                )
            ),
        ],
        sort_by="Used",
        none=NONE,
    )
