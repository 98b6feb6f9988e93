"""Worth: what each cache saves, how it is written, what leaves it, and what hurts."""

from grafana import fields, promql
from grafana.dashboard import Line, Row
from grafana.fields import Json
from grafana.panels import query, timeseries
from grafana.tables import Column, table
from perfsdk import catalog

LOOKUPS = catalog.CACHE_REQUESTS
OPERATIONS = catalog.CACHE_OPERATION_DURATION
LOADS = catalog.CACHE_LOAD_DURATION
WRITES = catalog.CACHE_WRITES
REMOVALS = catalog.CACHE_REMOVALS
FINDINGS = catalog.CACHE_FINDINGS
BY = ("cache_system", "cache_name")
LEGEND = "{{cache_system}} {{cache_name}}"
HIT = 'cache_result="hit"'


def row() -> Row:
    """Seconds saved, writes, removals and findings."""
    return Row(
        title="Worth",
        lines=[
            Line(9, [_saved(), _writes(), _removals()]),
            Line(7, [_table(), _findings()], (14, 10)),
        ],
    )


def _saved_seconds(over: str = promql.NOW) -> str:
    """Seconds a second: what the hits would have cost as misses, less what the cache took."""
    hits = promql.rate(LOOKUPS, HIT, by=BY, over=over)
    a_miss = promql.average(LOADS, by=BY, over=over)
    spent = promql.amount(OPERATIONS, by=BY, over=over)
    saved = f"({hits} or 0 * {a_miss}) * {a_miss}"
    return f"{saved} - ({spent} or 0 * {a_miss})"


def _saved() -> Json:
    return timeseries(
        "Seconds saved a minute",
        "What the hits of a cache would have cost as misses, less the time of its own operations:"
        " hits times the average load, minus the time in the cache. Below 0 it costs more than it"
        " saves. Only caches of which a load was timed are shown.",
        [query(f"60 * ({_saved_seconds()})", LEGEND)],
        unit="s",
        minimum=None,
        none="No loaders were measured",
    )


def _writes() -> Json:
    by = (*BY, "cache_pattern")
    return timeseries(
        "Writes by pattern",
        "Values written a second: 'aside' after a miss of the same request, 'read_through' by a"
        " loader of the cache, 'write_through' in a request that changed the database. Many more"
        " than misses: values are written that nobody asks for.",
        [query(promql.rate(WRITES, by=by), f"{LEGEND} {{{{cache_pattern}}}}")],
        unit="ops",
        none="No writes were measured",
    )


def _removals() -> Json:
    by = (*BY, "reason")
    return timeseries(
        "Removals by reason",
        "Entries a second that left: 'evicted' for room, 'expired' by age, 'explicit' by the"
        " application; 'cleared' counts calls. Many evictions at a low hit rate: the cache is"
        " too small for what it is asked.",
        [query(promql.rate(REMOVALS, by=by), f"{LEGEND} {{{{reason}}}}")],
        unit="ops",
        none="No removals were measured",
    )


def _table() -> Json:
    whole = promql.over_all(*BY)
    return table(
        "What each cache saves",
        "Every cache with a timed load over the whole time range. 'Saved' is in seconds a minute;"
        " the last one is worth least, and below 0 is better without it.",
        [
            Column(title="System", label="cache_system", width=120),
            Column(title="Cache", label="cache_name"),
            Column(
                title="Saved",
                expr=f"60 * ({_saved_seconds(promql.ALL)})",
                unit="s",
                steps=fields.good_above(0, 0),
                width=110,
            ),
            Column(title="A miss", expr=promql.average(LOADS, **whole), unit="s", width=110),
            Column(title="A lookup", expr=_lookup(), unit="s", width=110),
        ],
        sort_by="Saved",
        none="No loaders were measured",
    )


def _lookup() -> str:
    reads = 'cache_operation=~"get|get_many"'
    lookup = promql.average(OPERATIONS, reads, by=BY, over=promql.ALL)
    loads = promql.average(LOADS, by=BY, over=promql.ALL)
    return f"{lookup} and on ({', '.join(BY)}) {loads}"


def _findings() -> Json:
    by = ("kind", "cache_name")
    return table(
        "Uses of caches that hurt",
        "Requests in which a use of a cache was found to hurt, in the chosen time. The log of the"
        " application names the line, and says what to do.",
        [
            Column(title="Kind", label="kind", width=150),
            Column(title="Cache", label="cache_name"),
            Column(title="Requests", expr=promql.grown(FINDINGS, by=by), decimals=0, width=100),
        ],
        sort_by="Requests",
        none="Nothing was found",
    )
