"""Services: one line for each, and the same three curves for all of them."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
BY = ("namespace", "job")
NONE = "No service is measured"
OPEN = (
    "/d/perfsdk-service?${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}"
    "&var-namespace=${__data.fields.Namespace}&var-job=${__data.fields.Service}"
)


def row() -> Row:
    """The table from which each service is opened."""
    return Row(title="Services", lines=[Line(11, [_table()])])


def courses() -> Row:
    """How they did in the chosen time."""
    return Row(
        title="All services",
        lines=[Line(9, [_rate(), _failed(), _p99()]), Line(8, [_in_flight(), _busy(), _workers()])],
    )


def _table() -> Json:
    whole = promql.over_all(*BY)
    started = promql.gauge(catalog.PROCESS_START_TIME, by=BY, function="min")
    return table(
        "Every service",
        "Every service over the whole time range, those that fail most first. A click on a name"
        " opens its board. 'Busy' is how many requests are served at once on average, for each"
        " worker; 'Up' is the age of its oldest worker.",
        [
            Column(title="Namespace", label="namespace", width=130),
            Column(title="Service", label="job", link=OPEN),
            Column(
                title="Requests",
                expr=promql.observations(DURATION, **whole),
                unit="reqps",
                width=120,
            ),
            Column(
                title="Failed",
                expr=promql.failed_share(**whole),
                unit="percentunit",
                decimals=2,
                steps=fields.FAILED,
                width=100,
            ),
            *(
                Column(
                    title=name,
                    expr=promql.busy(promql.quantile(q, DURATION, **whole)),
                    unit="s",
                    steps=fields.LATENCY,
                    width=100,
                )
                for name, q in (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))
            ),
            Column(
                title="Busy",
                expr=promql.each(
                    promql.amount(DURATION, **whole), promql.gauge(catalog.WORKERS, by=BY)
                ),
                decimals=2,
                bar=fields.BLUE,
                width=180,
            ),
            Column(
                title="Workers",
                expr=promql.gauge(catalog.WORKERS, by=BY),
                decimals=0,
                steps=fields.good_above(1, 1),
                width=90,
            ),
            Column(title="Up", expr=f"time() - {started}", unit="s", width=110),
        ],
        sort_by="Failed",
        none=NONE,
    )


def _rate() -> Json:
    return timeseries(
        "Requests by service",
        "Requests a second of each service. Two that fall together share a load balancer, a"
        " region or a client.",
        [query(promql.observations(DURATION, by=("job",)), "{{job}}")],
        unit="reqps",
        none=NONE,
    )


def _failed() -> Json:
    return timeseries(
        "Failed by service",
        "Share of the requests of each service that failed: 5xx, or an error other than a client"
        " that left. The first line that rises is where to begin; those that follow may only"
        " depend on it.",
        [query(promql.failed_share(by=("job",)), "{{job}}")],
        unit="percentunit",
        reach=0.05,
        none=NONE,
    )


def _p99() -> Json:
    return timeseries(
        "P99 by service",
        "99 % of the requests of a service took at most this long. A line that ends: nobody"
        " called the service.",
        [
            query(
                promql.busy(promql.quantile(0.99, DURATION, by=("job",))),
                "{{job}}",
                exemplar=True,
            )
        ],
        unit="s",
        none=NONE,
    )


def _in_flight() -> Json:
    return timeseries(
        "In flight by service",
        "Requests being served now. A line that climbs at a steady rate of requests: they are"
        " answered more slowly than they come.",
        [query(promql.gauge(catalog.HTTP_SERVER_ACTIVE_REQUESTS, by=("job",)), "{{job}}")],
        unit="short",
        none=NONE,
    )


def _busy() -> Json:
    return timeseries(
        "Processors used by service",
        "Processors that all workers of a service keep busy. At the number of its workers none"
        " of them can do more.",
        [query(promql.rate(catalog.PROCESS_CPU_SECONDS, by=("job",)), "{{job}}")],
        unit="short",
        none=NONE,
    )


def _workers() -> Json:
    return timeseries(
        "Workers by service",
        "Live worker processes that record. A step down without a deployment: some have died.",
        [query(promql.gauge(catalog.WORKERS, by=("job",)), "{{job}}")],
        unit="short",
        none=NONE,
    )
