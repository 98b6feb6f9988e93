"""Cases of what lies behind requests: databases, pools, caches, workers, and the measuring."""

from perfsdk import catalog
from tests.grafana.rule_cases import (
    BUILD_INFO,
    DAY,
    HERE,
    LENGTH_MINUTES,
    POOL,
    WEEK,
    WORKERS,
    Case,
    Series,
    always,
    cache_calls,
    grows,
    lookups,
    operations,
    value,
)

SATURATED, TIMEOUTS = "PerfsdkPoolSaturated", "PerfsdkPoolTimeouts"
DB_ERRORS, DB_SLOW = "PerfsdkDatabaseErrors", "PerfsdkDatabaseSlow"
HITS, CACHE_ERRORS = "PerfsdkCacheHitRatioDropped", "PerfsdkCacheErrors"
RESTARTS, DESCRIPTORS = "PerfsdkWorkersRestart", "PerfsdkFileDescriptorsNearLimit"
MEMORY = "PerfsdkMemoryGrows"
DOWN, ABSENT = "PerfsdkTargetDown", "PerfsdkTelemetryAbsent"
UNREADABLE, REAPING = "PerfsdkSegmentsUnreadable", "PerfsdkReapingFails"
TIMEOUT, DROPPED = "PerfsdkScrapeNearTimeout", "PerfsdkSeriesDropped"
LEFT_OUT, INTERNAL = "PerfsdkSeriesLeftOut", "PerfsdkInternalErrors"
INTEGRATION = "PerfsdkIntegrationFailed"

DAY_BEFORE, TODAY = 24 * 60 + 15, 75


def pool(used, most, waiting=0.0, instance=HERE):
    """A pool of one instance."""
    gauges = {
        catalog.DB_CLIENT_CONNECTIONS.name: (used, {"db_client_connection_state": "used"}),
        catalog.DB_CLIENT_CONNECTION_MAX.name: (most, {}),
        catalog.DB_CLIENT_CONNECTION_PENDING.name: (waiting, {}),
    }
    return [
        value(name, *always(number), **POOL, **labels)._replace(instance=instance)
        for name, (number, labels) in gauges.items()
        if number is not None
    ]


STORAGE = [
    Case("pool-is-full", SATURATED, pool(19, 20), (SATURATED,)),
    Case("pool-is-half-full", SATURATED, pool(10, 20)),
    Case("pool-has-waiters", SATURATED, pool(10, 20, waiting=2), (SATURATED,)),
    Case("pool-without-limit", SATURATED, pool(900, None)),
    Case(
        "one-of-many-pools-is-full",
        SATURATED,
        [*pool(20, 20), *pool(1, 20, instance="10.0.0.8:8979")],
        (SATURATED,),
    ),
    Case(
        "callers-give-up",
        TIMEOUTS,
        [grows(catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name, *always(6), **POOL)],
        (TIMEOUTS,),
    ),
    Case(
        "callers-gave-up-once",
        TIMEOUTS,
        [grows(catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name, (0, 40), (6, 2), (0, 58), **POOL)],
    ),
    Case(
        "database-fails",
        DB_ERRORS,
        [*operations(*always(950)), *operations(*always(50), error="OperationalError")],
        (DB_ERRORS,),
    ),
    Case(
        "database-fails-rarely",
        DB_ERRORS,
        [*operations(*always(998)), *operations(*always(2), error="OperationalError")],
    ),
    Case("database-never-fails", DB_ERRORS, operations(*always(1000))),
    Case(
        "database-fails-unused",
        DB_ERRORS,
        [*operations(*always(10)), *operations(*always(10), error="OperationalError")],
        guard=True,
    ),
    Case(
        "cache-fails",
        CACHE_ERRORS,
        [*cache_calls(900), *cache_calls(100, "TimeoutError")],
        (CACHE_ERRORS,),
    ),
    Case("cache-fails-rarely", CACHE_ERRORS, [*cache_calls(998), *cache_calls(2, "TimeoutError")]),
    Case("cache-fails-unused", CACHE_ERRORS, cache_calls(20, "TimeoutError"), guard=True),
    Case(
        "cache-was-flushed", HITS, lookups((900, 100, DAY_BEFORE), (200, 800, TODAY)), (HITS,), DAY
    ),
    Case("cache-hits-less", HITS, lookups((900, 100, DAY_BEFORE), (600, 400, TODAY)), (), DAY),
    Case("cache-never-hits", HITS, lookups((0, 1000, DAY_BEFORE + TODAY)), (), DAY),
    Case(
        "cache-was-flushed-unused",
        HITS,
        lookups((9, 1, DAY_BEFORE), (2, 8, TODAY)),
        (),
        DAY,
        0,
        True,
    ),
]


def became_slow(per_minute, before, after):
    """Operations of which a share takes 300 ms, another share since an hour."""
    parts = (per_minute, DAY_BEFORE), (per_minute, TODAY)
    return operations(*parts, slow=[before, after])


SLOW = [
    Case("query-became-slow", DB_SLOW, became_slow(1000, 0.0, 0.5), (DB_SLOW,), DAY),
    Case("query-was-slow-yesterday", DB_SLOW, became_slow(1000, 0.5, 0.5), (), DAY),
    Case("query-is-slower-and-fast", DB_SLOW, became_slow(1000, 0.0, 0.052), (), DAY),
    Case("query-became-slow-unused", DB_SLOW, became_slow(20, 0.0, 0.5), (), DAY, 0, True),
    Case(
        "query-slower-than-a-week-ago",
        DB_SLOW,
        [
            *operations((1000, 120), (None, 5 * 24 * 60), (0, 2 * 24 * 60)),
            *operations((None, 5 * 24 * 60 + 120), (1000, 2 * 24 * 60), slow=[0, 0.5], table="a"),
        ],
        (DB_SLOW,),
        WEEK,
    ),
]


def memory(per_minute, started=-1e6, worker="0"):
    """Bytes that a worker holds, from 100 MB on, growing by so much a minute; time begins at 0."""
    labels = {"worker": worker} if worker else {}
    values = f"100000000+{per_minute}x{LENGTH_MINUTES[DAY]}"
    return [
        Series(catalog.PROCESS_RESIDENT_MEMORY.name, values, labels),
        value(catalog.PROCESS_START_TIME.name, *always(started, DAY), **labels),
    ]


def starts(times, **labels):
    """A worker that was started again so many times in the last ten minutes."""
    parts = [(1000.0, LENGTH_MINUTES["hour"] - 2 * times)]
    parts += [(2000.0 + number, 2) for number in range(times)]
    return [value(catalog.PROCESS_START_TIME.name, *parts, **labels)]


def descriptors(used, **labels):
    """File descriptors that a process has open, of 1000."""
    opened, most = catalog.PROCESS_OPEN_FDS.name, catalog.PROCESS_MAX_FDS.name
    return [value(opened, *always(used), **labels), value(most, *always(1000), **labels)]


PROCESSES = [
    Case("workers-restart", RESTARTS, starts(5, worker="0"), (RESTARTS,)),
    Case("workers-were-deployed", RESTARTS, starts(1, worker="0")),
    Case("another-program-restarts", RESTARTS, starts(5)),
    Case("descriptors-run-out", DESCRIPTORS, descriptors(900, worker="0"), (DESCRIPTORS,)),
    Case("descriptors-are-enough", DESCRIPTORS, descriptors(500, worker="0")),
    Case("descriptors-of-another-program", DESCRIPTORS, descriptors(900)),
    Case("memory-grows", MEMORY, memory(2_000_000), (), DAY),
    Case("memory-doubles-in-hours", MEMORY, memory(2_000_000), (MEMORY,), DAY, 6 * 60),
    Case("memory-is-steady", MEMORY, memory(1_000), (), DAY, 6 * 60),
    Case("memory-of-a-new-worker", MEMORY, memory(2_000_000, started=3 * 3600), (), DAY, 6 * 60),
    Case("memory-of-another-program", MEMORY, memory(2_000_000, worker=""), (), DAY, 6 * 60),
]


def down_since(minutes):
    """A target that did not answer the last minutes."""
    up = LENGTH_MINUTES["hour"] - minutes
    return [
        value("up", (1, up), (0, minutes)),
        value(WORKERS, (4, up)),
        value(BUILD_INFO, (1, up)),
    ]


DROPPED_LABELS = {"metric": "cache_requests_total", "label": "cache_name"}
LIBRARY = {"library": "redis", "version": "8.1.0"}

MEASURING = [
    Case("target-is-down", DOWN, down_since(20), (DOWN,)),
    Case("target-was-restarted", DOWN, down_since(3)),
    Case(
        "target-of-somebody-else",
        DOWN,
        [value("up", *always(0)), Series(WORKERS, "_x2", {}), Series(BUILD_INFO, "_x2", {})],
    ),
    Case("no-application", ABSENT, [Series(WORKERS, "_x2", {})], (ABSENT,)),
    Case(
        "one-of-two-has-no-application",
        ABSENT,
        [
            value(WORKERS, *always(4)),
            value(BUILD_INFO, *always(1)),
            value(BUILD_INFO, *always(1))._replace(instance="10.0.0.8:8979"),
        ],
        (ABSENT,),
    ),
    Case("no-workers-live", ABSENT, [value(WORKERS, *always(0))], (ABSENT,)),
    Case("application-starts", ABSENT, [value(WORKERS, (4, 92), (0, 5), (4, 3))]),
    Case(
        "segments-unreadable",
        UNREADABLE,
        [value("perfsdk_exporter_segments", *always(2), state="unreadable")],
        (UNREADABLE,),
    ),
    Case(
        "segments-of-the-dead",
        UNREADABLE,
        [value("perfsdk_exporter_segments", *always(2), state="dead")],
    ),
    Case(
        "reaping-fails",
        REAPING,
        [grows("perfsdk_exporter_reaping_failures_total", *always(1))],
        (REAPING,),
    ),
    Case(
        "archives-are-damaged",
        REAPING,
        [grows("perfsdk_exporter_archives_damaged_total", *always(1))],
        (REAPING,),
    ),
    Case(
        "reaping-failed-once",
        REAPING,
        [grows("perfsdk_exporter_reaping_failures_total", (0, 30), (1, 1), (0, 69))],
    ),
    Case("scrapes-are-slow", TIMEOUT, [value("scrape_duration_seconds", *always(9))], (TIMEOUT,)),
    Case("scrapes-are-fast", TIMEOUT, [value("scrape_duration_seconds", *always(2))]),
    Case(
        "scrapes-of-somebody-else",
        TIMEOUT,
        [
            value("scrape_duration_seconds", *always(9)),
            Series(WORKERS, "_x2", {}),
            Series(BUILD_INFO, "_x2", {}),
        ],
    ),
    Case(
        "series-dropped",
        DROPPED,
        [grows(catalog.DROPPED_SERIES.name, *always(1), **DROPPED_LABELS)],
        (DROPPED,),
    ),
    Case(
        "series-were-dropped-once",
        DROPPED,
        [grows(catalog.DROPPED_SERIES.name, (0, 30), (1, 1), (0, 69), **DROPPED_LABELS)],
    ),
    Case(
        "series-left-out",
        LEFT_OUT,
        [value("perfsdk_exporter_series_left_out", *always(3), reason="conflict")],
        (LEFT_OUT,),
    ),
    Case(
        "all-series-shown",
        LEFT_OUT,
        [value("perfsdk_exporter_series_left_out", *always(0), reason="conflict")],
    ),
    Case(
        "errors-inside",
        INTERNAL,
        [grows(catalog.INTERNAL_ERRORS.name, *always(1), where="redis")],
        (INTERNAL,),
    ),
    Case(
        "no-errors-inside",
        INTERNAL,
        [grows(catalog.INTERNAL_ERRORS.name, *always(0), where="redis")],
    ),
    Case(
        "integration-failed",
        INTEGRATION,
        [value(catalog.INTEGRATION_INFO.name, *always(1), **LIBRARY, status="failed")],
        (INTEGRATION,),
    ),
    Case(
        "integration-is-active",
        INTEGRATION,
        [value(catalog.INTEGRATION_INFO.name, *always(1), **LIBRARY, status="active")],
    ),
]

CASES = [*STORAGE, *SLOW, *PROCESSES, *MEASURING]
