"""Database: what is asked for, how long it takes, what fails, and what takes the most time."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, stat, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

DB = catalog.DB_CLIENT_OPERATION_DURATION
BY = ("db_operation_name", "db_collection_name")
LEGEND = "{{db_operation_name}} {{db_collection_name}}"
BY_ALL = ("db_system_name", *BY)
IS_ERROR = 'error_type!=""'
NONE = "No database calls were measured"


def health() -> Row:
    """Six numbers; the last three are 0 when all is well."""
    used = promql.gauge(catalog.DB_CLIENT_CONNECTIONS, 'db_client_connection_state="used"')
    most = promql.gauge(catalog.DB_CLIENT_CONNECTION_MAX)
    findings = catalog.DB_CLIENT_QUERY_FINDINGS
    return Row(
        title="Database health",
        lines=[
            Line(
                4,
                [
                    stat(
                        "Operations",
                        "Database operations a second of all routes and workers; a batch is one.",
                        promql.or_zero(promql.observations(DB)),
                        unit="ops",
                        steps=fields.NEUTRAL,
                    ),
                    stat(
                        "P99 of an operation",
                        "99 % of all database operations took at most this long. Yellow from"
                        " 0.1 s, red from 1 s: a request makes several of them.",
                        promql.quantile(0.99, DB),
                        unit="s",
                        steps=fields.OPERATION,
                        none="no calls",
                        quiet="no calls",
                    ),
                    stat(
                        "Connections used",
                        "Connections in use, of all that the pools of all workers may open. Pools"
                        " without a limit do not count.",
                        promql.share(used, most),
                        unit="percentunit",
                        steps=fields.bad_above(0.7, 0.9),
                        none="no pools",
                    ),
                    _problem(
                        "Failed operations",
                        "Share of database operations that raised an error. Their classes: see"
                        " 'Database errors'.",
                        promql.share(promql.observations(DB, IS_ERROR), promql.observations(DB)),
                        steps=fields.bad_above(0.001, 0.01),
                        unit="percentunit",
                        none="no calls",
                    ),
                    _problem(
                        "Waiting for a connection",
                        "Callers that wait for a connection now: all that may be open are in use.",
                        promql.or_zero(promql.gauge(catalog.DB_CLIENT_CONNECTION_PENDING)),
                        steps=fields.bad_from(1),
                    ),
                    _problem(
                        "Hurting queries",
                        "Findings a second: N+1 queries, slow ones, and the others of the table"
                        " below, see 'Queries that hurt'.",
                        promql.or_zero(promql.rate(findings)),
                        steps=fields.bad_from(0.01, fields.ORANGE),
                        unit="reqps",
                    ),
                ],
            )
        ],
    )


def _problem(
    title: str,
    description: str,
    expr: str,
    *,
    steps: list[tuple[float | None, str]],
    unit: str = "short",
    none: str = "none",
) -> Json:
    return stat(title, description, expr, unit=unit, steps=steps, none=none, alarm=True)


def row() -> Row:
    """Operations of all routes; databases have no route."""
    return Row(
        title="Database",
        lines=[
            Line(10, [_operations(), _time(), _errors()]),
            Line(10, [_quantile("P50", 0.5), _quantile("P95", 0.95), _quantile("P99", 0.99)]),
            Line(9, [_table()]),
        ],
    )


def _operations() -> Json:
    return timeseries(
        "Database operations",
        "Operations a second by kind and table, as the application makes them; a batch is one."
        " Rising faster than requests: a request makes more calls than before.",
        [query(promql.observations(DB, by=BY), LEGEND)],
        unit="ops",
        none=NONE,
    )


def _time() -> Json:
    return timeseries(
        "Time in the database",
        "Seconds spent in each operation, a second: 1 means that one worker or task always waits"
        " for it. The widest band is where an index or a cache helps most.",
        [query(promql.amount(DB, by=BY), LEGEND)],
        unit="s",
        stacked=True,
        none=NONE,
    )


def _errors() -> Json:
    return timeseries(
        "Database errors",
        "Operations a second that raised an error, by its class. Timeouts and lost connections"
        " point at the server or the pool, integrity errors at the application.",
        [query(promql.observations(DB, IS_ERROR, by=("error_type",)), "{{error_type}}")],
        unit="ops",
        shades=fields.RED,
        none="No errors",
    )


def _quantile(name: str, q: float) -> Json:
    return timeseries(
        f"{name} of database operations",
        f"{q:.0%} of the operations of a kind on a table took at most this long. One line rises:"
        " its query plan or its locks; all lines rise: the server or the network.",
        [query(promql.busy(promql.quantile(q, DB, by=BY)), LEGEND, exemplar=True)],
        unit="s",
        none=NONE,
    )


def _table() -> Json:
    whole = promql.over_all(*BY_ALL)
    failed = promql.share(promql.observations(DB, IS_ERROR, **whole), _all_operations())
    return table(
        "Database operations by time",
        "Every operation over the whole time range. 'Share of time' is its part of all database"
        " time: the first one is worth an index, a cache or fewer calls.",
        [
            Column(title="System", label="db_system_name", width=130),
            Column(title="Operation", label="db_operation_name", width=130),
            Column(title="Table", label="db_collection_name"),
            Column(title="Operations", expr=_all_operations(), unit="ops", width=130),
            Column(
                title="Failed",
                expr=failed,
                unit="percentunit",
                decimals=2,
                steps=fields.bad_above(0.001, 0.01),
                width=100,
            ),
            Column(title="Average", expr=promql.average(DB, **whole), unit="s", width=100),
            *(
                Column(
                    title=name,
                    expr=promql.busy(promql.quantile(q, DB, **whole)),
                    unit="s",
                    steps=fields.OPERATION,
                    width=100,
                )
                for name, q in (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))
            ),
            Column(
                title="Share of time",
                expr=promql.share_of_all(
                    promql.amount(DB, **whole), promql.amount(DB, over=promql.ALL)
                ),
                unit="percentunit",
                decimals=1,
                bar=fields.ORANGE,
                maximum=1,
                width=330,
            ),
        ],
        sort_by="Share of time",
        none=NONE,
    )


def _all_operations() -> str:
    return promql.observations(DB, by=BY_ALL, over=promql.ALL)
