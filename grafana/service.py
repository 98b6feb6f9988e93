"""The dashboard of one service: is it healthy, what is wrong, and where does the time go?"""

from grafana import panels as p
from perfsdk import catalog

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION.name
COMPONENT = catalog.HTTP_SERVER_REQUEST_COMPONENT.name
BAND = catalog.HTTP_SERVER_REQUEST_BAND.name
DB = catalog.DB_CLIENT_OPERATION_DURATION.name
LOOKUPS = catalog.CACHE_REQUESTS.name
CACHE = catalog.CACHE_OPERATION_DURATION.name
LOAD = catalog.CACHE_LOAD_DURATION.name

SERVICE = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
ROUTE = f'{SERVICE},http_route=~"$route"'
RATE = "$__rate_interval"
RANGE = "$__range"

FAILED_STATUS = 'http_response_status_code=~"5.."'
FAILED_ERROR = 'http_response_status_code!~"5..",error_type!~"|client_disconnect"'

FAILED_LEVELS = p.steps((None, p.GREEN), (0.01, p.YELLOW), (0.05, p.RED))
LATENCY_LEVELS = p.steps((None, p.GREEN), (0.5, p.YELLOW), (2.0, p.RED))
HIT_LEVELS = p.steps((None, p.RED), (0.5, p.YELLOW), (0.8, p.GREEN))
ZERO_IS_WELL = p.steps((None, p.GREEN), (1, p.RED))

COMPONENT_COLOURS = {
    "app": "blue",
    "db": "orange",
    "cache": "green",
    "http_client": "purple",
    "pool_wait": "red",
}


def rate(metric: str, selector: str, by: str = "", window: str = RATE) -> str:
    """Per second, summed; `by` names the labels that stay."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[{window}]))"


def quantile(q: float, metric: str, selector: str, by: str = "", window: str = RATE) -> str:
    """A quantile from classic buckets; nothing where nothing was observed, instead of NaN."""
    series = rate(f"{metric}_bucket", selector, f"le, {by}" if by else "le", window)
    return f"histogram_quantile({q}, {series}) >= 0"


def mean(metric: str, selector: str, by: str = "", window: str = RATE) -> str:
    """The average observation; nothing where nothing was observed."""
    count = rate(f"{metric}_count", selector, by, window)
    return f"{rate(f'{metric}_sum', selector, by, window)} / ({count} > 0)"


def failed_ratio(selector: str, by: str = "", window: str = RATE) -> str:
    """The share of failed requests: 5xx, or an error that is not the client's leaving."""
    everything = rate(f"{DURATION}_count", selector, by, window)
    parts = [
        rate(f"{DURATION}_count", f"{selector},{which}", by, window)
        for which in (FAILED_STATUS, FAILED_ERROR)
    ]
    failed = " + ".join(f"({part} or {everything} * 0)" for part in parts)
    return f"({failed}) / ({everything} > 0)"


def _health() -> p.Json:
    count = f"{DURATION}_count"
    quantiles = [
        p.stat(
            name,
            f"{share} of the requests were faster. The slowest percents are the ones people "
            "remember.",
            [p.query(quantile(q, DURATION, ROUTE))],
            unit="s",
            thresholds=LATENCY_LEVELS,
        )
        for name, share, q in (("P50", "Half", 0.5), ("P95", "95 %", 0.95), ("P99", "99 %", 0.99))
    ]
    line = [
        p.stat(
            "Requests",
            "Requests a second over all workers.",
            [p.query(rate(count, ROUTE))],
            unit="reqps",
        ),
        p.stat(
            "Failed",
            "Share of requests that ended in a 5xx or in an error other than the client's leaving. "
            "Above 1 %: see 'Routes that fail'.",
            [p.query(failed_ratio(ROUTE))],
            unit="percentunit",
            thresholds=FAILED_LEVELS,
            decimals=2,
        ),
        *quantiles,
        p.stat(
            "In flight",
            "Requests being served now. It grows when they come in faster than they are answered.",
            [p.query(f"sum({catalog.HTTP_SERVER_ACTIVE_REQUESTS.name}{{{SERVICE}}})")],
            unit="short",
            none="0",
        ),
        p.stat(
            "Oldest request",
            "Age of the oldest request being served: one that hangs shows here before it is over.",
            [p.query(f"max({catalog.HTTP_SERVER_OLDEST_REQUEST_AGE.name}{{{SERVICE}}})")],
            unit="s",
            thresholds=p.steps((None, p.GREEN), (10, p.YELLOW), (60, p.RED)),
            none="none",
        ),
        p.stat(
            "Workers",
            "Processes that serve and record now. 0: nothing has been served since the start.",
            [p.query(f"sum({catalog.WORKERS.name}{{{SERVICE}}})")],
            unit="short",
            none="0",
        ),
    ]
    return p.section("Health", [(4, line)])


def _problems() -> p.Json:
    failing = failed_ratio(ROUTE, "http_route", RANGE)
    errors = f'sum by (http_route, error_type) (increase({DURATION}_count{{{ROUTE},error_type!=""}}'
    line = [
        p.table(
            "Routes that fail",
            "Routes with more than 1 % failed requests in the chosen time. Empty is well.",
            [p.instant(f"topk(10, {failing} > 0.01)") | {"format": "table"}],
            names={"http_route": "Route", "Value": "Failed"},
            units={"Failed": "percentunit"},
            thresholds={"Failed": FAILED_LEVELS},
            sort_by="Failed",
            none="No route fails",
        ),
        p.table(
            "Slowest routes",
            "The routes with the highest P99 in the chosen time. Continue below in 'Where the time "
            "goes' with the route chosen at the top.",
            [
                p.instant(f"topk(10, {quantile(0.99, DURATION, ROUTE, 'http_route', RANGE)})")
                | {"format": "table"}
            ],
            names={"http_route": "Route", "Value": "P99"},
            units={"P99": "s"},
            thresholds={"P99": LATENCY_LEVELS},
            sort_by="P99",
            none="No requests",
        ),
        p.table(
            "Errors",
            "Requests with an error by its class. `client_disconnect` is a client that left; many "
            "of them on a slow route are impatience.",
            [p.instant(f"topk(10, {errors}[{RANGE}])) > 0)") | {"format": "table"}],
            names={"http_route": "Route", "error_type": "Error", "Value": "Requests"},
            units={"Requests": "short"},
            sort_by="Requests",
            none="No errors",
        ),
    ]
    return p.section("Active problems", [(7, line)])


def _requests() -> p.Json:
    count = f"{DURATION}_count"
    status = (
        f'sum by (class) (label_replace(rate({count}{{{ROUTE}}}[{RATE}]), "class", "${{1}}xx", '
        '"http_response_status_code", "(.).."))'
    )
    first = [
        p.timeseries(
            "Requests by route",
            "Requests a second of each route.",
            [p.query(rate(count, ROUTE, "http_route"), "{{http_route}}")],
            unit="reqps",
        ),
        p.timeseries(
            "Failed by route",
            "Share of failed requests of each route.",
            [p.query(failed_ratio(ROUTE, "http_route"), "{{http_route}}")],
            unit="percentunit",
        ),
        p.timeseries(
            "Status",
            "Requests a second by class of status. 499 is a client that left before the answer.",
            [p.query(status, "{{class}}")],
            unit="reqps",
            stacked=True,
            colours={"2xx": "green", "3xx": "blue", "4xx": "yellow", "5xx": "red"},
        ),
    ]
    second = [
        p.timeseries(
            "Duration",
            "P50, P95 and P99 over the chosen routes. Points are exemplars, where traces are on.",
            [
                p.query(quantile(q, DURATION, ROUTE), name, exemplar=q == 0.99)
                for name, q in (("P50", 0.5), ("P95", 0.95), ("P99", 0.99))
            ],
            unit="s",
            colours={"P50": "green", "P95": "yellow", "P99": "red"},
        ),
        p.timeseries(
            "P99 by route",
            "The 99th percentile of each route.",
            [p.query(quantile(0.99, DURATION, ROUTE, "http_route"), "{{http_route}}")],
            unit="s",
        ),
        p.heatmap(
            "Distribution",
            "Requests by duration. Two bands mean two kinds of requests: a cache that hits and "
            "misses, say.",
            p.buckets(f"sum by (le) (increase({DURATION}_bucket{{{ROUTE}}}[{RATE}]))"),
            unit="s",
        ),
    ]
    seconds = rate(f"{DURATION}_sum", ROUTE, "http_route", RANGE)
    routes = p.table(
        "Routes",
        "All routes. 'Time share' is the part of all serving time that a route takes: what to make "
        "faster first.",
        [
            p.column(rate(count, ROUTE, "http_route", RANGE), "A"),
            p.column(failed_ratio(ROUTE, "http_route", RANGE), "B"),
            p.column(quantile(0.5, DURATION, ROUTE, "http_route", RANGE), "C"),
            p.column(quantile(0.95, DURATION, ROUTE, "http_route", RANGE), "D"),
            p.column(quantile(0.99, DURATION, ROUTE, "http_route", RANGE), "E"),
            p.column(f"{seconds} / scalar(sum({seconds}))", "F"),
        ],
        names={
            "http_route": "Route",
            "Value #A": "Requests",
            "Value #B": "Failed",
            "Value #C": "P50",
            "Value #D": "P95",
            "Value #E": "P99",
            "Value #F": "Time share",
        },
        units={
            "Requests": "reqps",
            "Failed": "percentunit",
            "P50": "s",
            "P95": "s",
            "P99": "s",
            "Time share": "percentunit",
        },
        thresholds={"Failed": FAILED_LEVELS, "P99": LATENCY_LEVELS},
        sort_by="Time share",
        none="No requests",
    )
    return p.section("Requests by route", [(10, first), (10, second), (9, [routes])])


def _time() -> p.Json:
    def components(selector: str) -> str:
        return f"{rate(COMPONENT, selector, 'component')} / scalar({rate(BAND, selector)} > 0)"

    breakdown = [
        p.timeseries(
            title,
            description,
            [p.query(components(f"{ROUTE}{band}"), "{{component}}")],
            unit="s",
            stacked=True,
            colours=COMPONENT_COLOURS,
            none="No such requests",
        )
        for title, description, band in (
            (
                "Time of a request",
                (
                    "Average time of a request of the chosen routes by component; together they "
                    "are its whole duration. The widest band is the bottleneck."
                ),
                "",
            ),
            (
                "Typical requests",
                "The same without the slowest 5 % of each route.",
                ',band="typical"',
            ),
            (
                "Slow requests",
                (
                    "The same for the slowest 5 % of each route: what grows from the picture "
                    "before is what makes them slow."
                ),
                ',band="tail"',
            ),
        )
    ]
    calls = [
        p.timeseries(
            f"{kind} calls in a request",
            f"{kind} operations of one request, average and P95 of each route. {hint}",
            [
                p.query(mean(metric, ROUTE, "http_route"), "{{http_route}} mean"),
                p.query(quantile(0.95, metric, ROUTE, "http_route"), "{{http_route}} P95"),
            ],
            unit="short",
        )
        for kind, metric, hint in (
            (
                "Database",
                catalog.HTTP_SERVER_REQUEST_DB_CALLS.name,
                "Tens of them are an N+1 query: load them together.",
            ),
            (
                "Cache",
                catalog.HTTP_SERVER_REQUEST_CACHE_CALLS.name,
                "Tens of them: ask for many keys at once.",
            ),
        )
    ]
    return p.section("Where the time goes", [(11, breakdown), (10, calls)])


def _database() -> p.Json:
    by = "db_operation_name, db_collection_name"
    legend = "{{db_operation_name}} {{db_collection_name}}"
    errors = f'{SERVICE},error_type!=""'
    line = [
        p.timeseries(
            "Operations",
            "Database operations a second, by operation and table.",
            [p.query(rate(f"{DB}_count", SERVICE, by), legend)],
            unit="ops",
        ),
        p.timeseries(
            "P99 by operation",
            "The 99th percentile of each operation and table.",
            [p.query(quantile(0.99, DB, SERVICE, by), legend)],
            unit="s",
        ),
        p.timeseries(
            "Database errors",
            "Failed operations a second by the class of the exception.",
            [p.query(rate(f"{DB}_count", errors, "error_type"), "{{error_type}}")],
            unit="ops",
            none="No errors",
        ),
    ]
    whole = f"db_system_name, {by}"
    seconds = rate(f"{DB}_sum", SERVICE, whole, RANGE)
    operations = p.table(
        "Database operations",
        "'Time share' is the part of all database time: an index or a cache helps most at the top.",
        [
            p.column(rate(f"{DB}_count", SERVICE, whole, RANGE), "A"),
            p.column(quantile(0.5, DB, SERVICE, whole, RANGE), "B"),
            p.column(quantile(0.99, DB, SERVICE, whole, RANGE), "C"),
            p.column(f"{seconds} / scalar(sum({seconds}))", "D"),
        ],
        names={
            "db_system_name": "System",
            "db_operation_name": "Operation",
            "db_collection_name": "Table",
            "Value #A": "Operations",
            "Value #B": "P50",
            "Value #C": "P99",
            "Value #D": "Time share",
        },
        units={"Operations": "ops", "P50": "s", "P99": "s", "Time share": "percentunit"},
        thresholds={"P99": LATENCY_LEVELS},
        sort_by="Time share",
        none="No database operations",
    )
    return p.section("Database", [(10, line), (8, [operations])])


def _cache() -> p.Json:
    by = "cache_system, cache_name"
    legend = "{{cache_system}} {{cache_name}}"

    def hit_rate(window: str, labels: str) -> str:
        hits = rate(LOOKUPS, f'{SERVICE},cache_result="hit"', labels, window)
        everything = rate(LOOKUPS, SERVICE, labels, window)
        return f"({hits} or {everything} * 0) / ({everything} > 0)"

    first = [
        p.stat(
            "Hit rate",
            "Share of looked-up keys that were there, over all caches and the chosen time.",
            [p.instant(hit_rate(RANGE, ""))],
            unit="percentunit",
            thresholds=HIT_LEVELS,
            none="no lookups",
            decimals=1,
        ),
        p.timeseries(
            "Hit rate by cache",
            "Share of looked-up keys that were there. A drop after a release is often a key that "
            "changed.",
            [p.query(hit_rate(RATE, by), legend)],
            unit="percentunit",
            maximum=1,
        ),
        p.timeseries(
            "Lookups by cache",
            "Keys looked up a second.",
            [p.query(rate(LOOKUPS, SERVICE, by), legend)],
            unit="ops",
        ),
    ]
    entries = (catalog.CACHE_ENTRIES.name, catalog.CACHE_MAX_ENTRIES.name)
    second = [
        p.timeseries(
            "Cost of a miss",
            "Time of the loader that fills a miss. Times the misses a second, it is what the cache "
            "saves at most.",
            [
                p.query(mean(LOAD, SERVICE, by), f"{legend} mean"),
                p.query(quantile(0.95, LOAD, SERVICE, by), f"{legend} P95"),
            ],
            unit="s",
            none="No misses loaded",
        ),
        p.timeseries(
            "P99 of cache operations",
            "The 99th percentile of each cache and operation.",
            [
                p.query(
                    quantile(0.99, CACHE, SERVICE, "cache_name, cache_operation"),
                    "{{cache_name}} {{cache_operation}}",
                )
            ],
            unit="s",
        ),
        p.timeseries(
            "Entries of in-process caches",
            "Entries over all workers, and how many fit. Full with a low hit rate: too small.",
            [
                p.query(f"sum by (cache_name) ({name}{{{SERVICE}}})", f"{{{{cache_name}}}} {what}")
                for name, what in zip(entries, ("entries", "maximum"), strict=True)
            ],
            unit="short",
            none="No in-process caches",
        ),
    ]
    return p.section("Cache", [(10, first), (10, second)])


def _details() -> p.Json:
    sizes = [
        p.timeseries(
            f"{what} body size",
            f"Average and P95 of the body bytes really {verb}, over the chosen routes.",
            [
                p.query(mean(metric, ROUTE), "mean"),
                p.query(quantile(0.95, metric, ROUTE), "P95"),
            ],
            unit="bytes",
        )
        for what, verb, metric in (
            ("Request", "received", catalog.HTTP_SERVER_REQUEST_BODY_SIZE.name),
            ("Response", "sent", catalog.HTTP_SERVER_RESPONSE_BODY_SIZE.name),
        )
    ]
    health = [
        p.stat(
            title,
            description,
            [p.instant(f"sum(increase({metric}{{{SERVICE}}}[{RANGE}])) or vector(0)")],
            unit="short",
            thresholds=ZERO_IS_WELL,
            decimals=0,
        )
        for title, description, metric in (
            (
                "Values without a series",
                (
                    "Values that found no series of their own because a bound was reached: their "
                    "label values are counted as <overflow>. The log names the label."
                ),
                catalog.DROPPED_SERIES.name,
            ),
            (
                "Internal errors",
                (
                    "Errors inside perfsdk that were kept from the application. The log has the "
                    "first of each kind."
                ),
                catalog.INTERNAL_ERRORS.name,
            ),
        )
    ]
    tables = [
        p.table(
            "Integrations",
            "Which libraries are measured. `unsupported`: a version that is not known.",
            [
                p.instant(
                    "max by (library, version, status)"
                    f" ({catalog.INTEGRATION_INFO.name}{{{SERVICE}}})"
                )
                | {"format": "table"}
            ],
            names={"library": "Library", "version": "Version", "status": "Status", "Value": "On"},
            units={"On": "short"},
            sort_by="On",
            none="None",
        ),
        p.table(
            "Series",
            "Series that live workers hold, by metric: what grows without end is near its bound.",
            [
                p.instant(f"sum by (metric) ({catalog.SERIES.name}{{{SERVICE}}})")
                | {"format": "table"}
            ],
            names={"metric": "Metric", "Value": "Series"},
            units={"Series": "short"},
            sort_by="Series",
            none="None",
        ),
    ]
    return p.section(
        "Sizes and the measuring itself", [(9, sizes), (4, health), (8, tables)], folded=True
    )


def build() -> p.Json:
    """The dashboard as Grafana imports it."""
    series = f"{DURATION}_count"
    return p.dashboard(
        uid="perfsdk-service",
        title="perfsdk / Service",
        description="P99, bottleneck and cache hit rate of one service over all its workers.",
        variables=[
            p.datasource_variable(),
            p.variable("namespace", "Namespace", f"label_values({series}, namespace)"),
            p.variable("job", "Job", f'label_values({series}{{namespace=~"$namespace"}}, job)'),
            p.variable(
                "instance",
                "Instance",
                f'label_values({series}{{namespace=~"$namespace",job=~"$job"}}, instance)',
            ),
            p.variable("route", "Route", f"label_values({series}{{{SERVICE}}}, http_route)"),
        ],
        sections=[_health(), _problems(), _requests(), _time(), _database(), _cache(), _details()],
    )
