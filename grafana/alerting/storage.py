"""Alerts on what requests wait for: databases, their pools, and caches."""

from grafana.alerting import names
from grafana.alerting.expressions import before, rate, series, share, total
from grafana.alerting.parameters import (
    CACHE_ERRORS,
    DB_ERRORS,
    DB_SECONDS,
    MIN_OPERATIONS,
    POOL_USED,
)
from grafana.alerting.rule import Alert
from perfsdk import catalog

POOL = catalog.POOL
DATABASE = "{{ $labels.db_system_name }} {{ $labels.db_namespace }}"
CACHE = "{{ $labels.cache_system }} {{ $labels.cache_name }}"


def alerts() -> list[Alert]:
    """All of them, the most urgent first."""
    return [
        _pool_saturated(),
        _pool_timeouts(),
        _db_errors(),
        _db_slow(),
        _hit_ratio(),
        _cache_errors(),
    ]


def _pool_saturated() -> Alert:
    by = ("instance", POOL)
    used = total(
        series(catalog.DB_CLIENT_CONNECTIONS.name, 'db_client_connection_state="used"'), *by
    )
    most = total(series(catalog.DB_CLIENT_CONNECTION_MAX.name), *by)
    waiting = total(series(catalog.DB_CLIENT_CONNECTION_PENDING.name), *by)
    return Alert(
        name="PerfsdkPoolSaturated",
        expr=f"({share(used, most)}) > {POOL_USED}\nor\n{waiting} > 0",
        severity="warning",
        hold="5m",
        summary=f"Connection pool {{{{ $labels.{POOL} }}}} of {{{{ $labels.job }}}} is used up",
        description=(
            "For 5 minutes nearly all connections of the pool"
            f" {{{{ $labels.{POOL} }}}} of {{{{ $labels.instance }}}} are in use, or callers wait"
            " for one."
        ),
        board="perfsdk-databases",
        variables=("cluster", "namespace", "job", "instance"),
    )


def _pool_timeouts() -> Alert:
    gave_up = total(rate(catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name), POOL)
    return Alert(
        name="PerfsdkPoolTimeouts",
        expr=f"{gave_up} > 0",
        severity="critical",
        # Longer than the window of the rate: a single wave is over by then.
        hold="10m",
        summary=f"Callers of {{{{ $labels.job }}}} get no connection to {{{{ $labels.{POOL} }}}}",
        description=(
            "{{ $value | humanize }} callers a second give up waiting for a connection of the pool"
            f" {{{{ $labels.{POOL} }}}}; their requests fail."
        ),
        board="perfsdk-databases",
    )


def _db_errors() -> Alert:
    failed = share(names.FAILED_OPERATIONS, names.OPERATIONS)
    return Alert(
        name="PerfsdkDatabaseErrors",
        expr=f"{failed} > {DB_ERRORS}\nand {names.OPERATIONS} > {MIN_OPERATIONS}",
        severity="warning",
        hold="5m",
        summary=f"Database operations of {{{{ $labels.job }}}} on {DATABASE} fail",
        description=(
            "{{ $value | humanizePercentage }} of the operations of {{ $labels.job }} on"
            f" {DATABASE} raise an error."
        ),
        board="perfsdk-databases",
    )


def _db_slow() -> Alert:
    p95 = names.OPERATION_P95
    return Alert(
        name="PerfsdkDatabaseSlow",
        expr=(
            f"{p95} > 2 * {before(p95)}\n"
            f"and {p95} > {DB_SECONDS}\n"
            f"and {names.OPERATIONS} > {MIN_OPERATIONS}"
        ),
        severity="warning",
        hold="10m",
        summary=f"Database operations of {{{{ $labels.job }}}} on {DATABASE} became slow",
        description=(
            f"P95 of the operations of {{{{ $labels.job }}}} on {DATABASE} is"
            " {{ $value | humanizeDuration }}, more than twice that of a week ago (of a day ago,"
            " where there is no week)."
        ),
        board="perfsdk-databases",
    )


def _hit_ratio() -> Alert:
    now = share(names.HITS, names.LOOKUPS)
    day = f"sum_over_time({names.HITS}[1d]) / (sum_over_time({names.LOOKUPS}[1d]) > 0)"
    return Alert(
        name="PerfsdkCacheHitRatioDropped",
        expr=f"{now} < 0.5 * ({day})\nand {names.LOOKUPS} > {MIN_OPERATIONS}",
        severity="warning",
        hold="5m",
        summary=f"Cache {CACHE} of {{{{ $labels.job }}}} hits half as often as usual",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the lookups in {CACHE} hit, less than half"
            " of the last day's share: what they miss is loaded from behind the cache."
        ),
        board="perfsdk-caches",
    )


def _cache_errors() -> Alert:
    failed = share(names.FAILED_CACHE_CALLS, names.CACHE_CALLS)
    return Alert(
        name="PerfsdkCacheErrors",
        expr=f"{failed} > {CACHE_ERRORS}\nand {names.CACHE_CALLS} > {MIN_OPERATIONS}",
        severity="warning",
        hold="5m",
        summary=f"Calls of {{{{ $labels.job }}}} to the cache {CACHE} fail",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the calls to {CACHE} raise an error; their"
            " requests pay for a miss, or fail."
        ),
        board="perfsdk-caches",
    )
