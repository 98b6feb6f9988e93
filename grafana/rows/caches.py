"""Cache: does it hit, what does a miss cost, is it fast, is it large enough?"""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, stat, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

LOOKUPS = catalog.CACHE_REQUESTS
OPERATIONS = catalog.CACHE_OPERATION_DURATION
LOADS = catalog.CACHE_LOAD_DURATION
BY = ("cache_system", "cache_name")
LEGEND = "{{cache_system}} {{cache_name}}"
HIT, MISS = 'cache_result="hit"', 'cache_result="miss"'
IS_ERROR = 'error_type!=""'
NONE = "No cache lookups were measured"
NO_LOADS = "No loaders were measured"


def health() -> Row:
    """Five numbers of all caches."""
    return Row(
        title="Cache health",
        lines=[
            Line(
                4,
                [
                    _hit_rate(),
                    stat(
                        "Lookups",
                        "Keys looked up a second in all caches; one call for many keys counts"
                        " each.",
                        promql.or_zero(promql.rate(LOOKUPS)),
                        unit="ops",
                        steps=fields.NEUTRAL,
                    ),
                    stat(
                        "Seconds of loading a second",
                        "What misses cost: 1 means that one worker or task always loads. See"
                        " 'What each cache saves' for what hits save.",
                        promql.or_zero(promql.amount(LOADS)),
                        unit="s",
                        steps=fields.NEUTRAL,
                    ),
                    stat(
                        "Failed cache operations",
                        "Share of the cache operations that raised an error; requests then pay for"
                        " misses. Their classes: see 'Cache errors'.",
                        promql.share(
                            promql.observations(OPERATIONS, IS_ERROR),
                            promql.observations(OPERATIONS),
                        ),
                        unit="percentunit",
                        decimals=2,
                        steps=fields.bad_above(0.001, 0.01),
                        none="no calls",
                        alarm=True,
                    ),
                ],
            )
        ],
    )


def row() -> Row:
    """Caches of all routes; a cache has no route."""
    return Row(
        title="Cache",
        lines=[
            Line(9, [_hit_rates(), _lookups()]),
            Line(10, [_cost_of_a_miss(), _operation_p99(), _fill_level(), _errors()]),
            Line(7, [_table()]),
        ],
    )


def _hit_rate() -> Json:
    return stat(
        "Hit rate",
        "Share of the keys looked up that were there, over all caches. Below 50 % a cache may cost"
        " more than it saves; 'Hit rate by cache' tells which one.",
        _hits_of_all(),
        unit="percentunit",
        decimals=1,
        steps=fields.HIT_RATE,
        none="no cache",
        quiet="no lookups",
    )


def _hits_of_all() -> str:
    every = promql.rate(LOOKUPS)
    return f"({promql.rate(LOOKUPS, HIT)} or 0 * {every}) / {every}"


def _hits(over: str = promql.NOW) -> str:
    every = promql.rate(LOOKUPS, by=BY, over=over)
    hits = promql.rate(LOOKUPS, HIT, by=BY, over=over)
    return promql.each(f"({hits} or 0 * {every})", every)


def _hit_rates() -> Json:
    return timeseries(
        "Hit rate by cache",
        "Hits of all lookups of each cache. A sudden fall after a release is often a key that"
        " changed; a slow one, more different keys than the cache holds. A gap: no lookups.",
        [query(_hits(), LEGEND)],
        unit="percentunit",
        maximum=1,
        none=NONE,
    )


def _lookups() -> Json:
    return timeseries(
        "Lookups by cache",
        "Keys looked up a second; one call for many keys counts each. Dashed: misses, each of"
        " which asks what is behind the cache.",
        [
            query(promql.rate(LOOKUPS, by=BY), LEGEND),
            query(promql.rate(LOOKUPS, MISS, by=BY), f"{LEGEND} misses"),
        ],
        unit="ops",
        dashed=["B"],
        none=NONE,
    )


def _cost_of_a_miss() -> Json:
    return timeseries(
        "Cost of a miss",
        "Time of the loader that fills a miss, of all caches that have one. This times the misses"
        " is what a better hit rate would save.",
        [
            query(promql.average(LOADS), "average"),
            query(promql.busy(promql.quantile(0.5, LOADS)), "P50"),
            query(promql.busy(promql.quantile(0.95, LOADS)), "P95"),
        ],
        unit="s",
        colours=fields.QUANTILES,
        none=NO_LOADS,
    )


def _operation_p99() -> Json:
    by = (*BY, "cache_operation")
    return timeseries(
        "P99 of cache operations",
        "99 % of the operations took at most this long. A cache that is slower than what it"
        " stands for is worth nothing: compare with 'Cost of a miss'.",
        [
            query(
                promql.busy(promql.quantile(0.99, OPERATIONS, by=by)),
                f"{LEGEND} {{{{cache_operation}}}}",
                exemplar=True,
            )
        ],
        unit="s",
        none="No cache operations were measured",
    )


def _fill_level() -> Json:
    entries = promql.gauge(catalog.CACHE_ENTRIES, by=BY)
    limit = promql.gauge(catalog.CACHE_MAX_ENTRIES, by=BY)
    return timeseries(
        "Fill level of caches",
        "How full in-process caches are, over all workers. Full with a low hit rate: allow more"
        " entries. Far from full with a low hit rate: entries expire too soon.",
        [query(promql.each(entries, limit), LEGEND)],
        unit="percentunit",
        maximum=1,
        none="No in-process caches with a limit",
    )


def _errors() -> Json:
    return timeseries(
        "Cache errors",
        "Cache operations a second that raised an error, by its class. A cache that is away"
        " turns every lookup into a load: watch the database.",
        [query(promql.observations(OPERATIONS, IS_ERROR, by=("error_type",)), "{{error_type}}")],
        unit="ops",
        shades=fields.RED,
        none="No errors",
    )


def _table() -> Json:
    whole = promql.over_all(*BY)
    return table(
        "Caches",
        "Every cache over the whole time range. 'Loading' is the seconds that its misses cost, a"
        " second: the first one is worth a better hit rate first.",
        [
            Column(title="System", label="cache_system", width=130),
            Column(title="Cache", label="cache_name"),
            Column(title="Lookups", expr=promql.rate(LOOKUPS, **whole), unit="ops", width=120),
            Column(
                title="Hit rate",
                expr=_hits(promql.ALL),
                unit="percentunit",
                decimals=1,
                steps=fields.HIT_RATE,
                width=100,
            ),
            Column(title="Misses", expr=promql.rate(LOOKUPS, MISS, **whole), unit="ops", width=120),
            Column(title="Miss, average", expr=promql.average(LOADS, **whole), unit="s", width=120),
            *(
                Column(
                    title=f"Miss, {name}",
                    expr=promql.busy(promql.quantile(q, LOADS, **whole)),
                    unit="s",
                    steps=fields.OPERATION,
                    width=110,
                )
                for name, q in (("P50", 0.5), ("P95", 0.95))
            ),
            Column(title="Entries", expr=promql.gauge(catalog.CACHE_ENTRIES, by=BY), width=100),
            Column(title="Limit", expr=promql.gauge(catalog.CACHE_MAX_ENTRIES, by=BY), width=100),
            Column(
                title="Loading",
                expr=promql.amount(LOADS, **whole),
                unit="s",
                bar=fields.GREEN,
                width=220,
            ),
        ],
        sort_by="Loading",
        none=NONE,
    )
