"""Recorded series of services: few, whatever the number of instances that they are made of."""

from grafana.alerting import expressions as promql
from grafana.alerting import names
from grafana.alerting.expressions import DURATION, IS_ERROR, observations, or_none, rate, total
from grafana.alerting.parameters import LATENCY_SECONDS
from grafana.alerting.rule import Rule, group, record
from perfsdk import catalog

ROUTE = "http_route"
DB = ("db_system_name", "db_namespace")
CACHE = ("cache_system", "cache_name")
BUCKET = f"{DURATION.name}_bucket"


def groups() -> list[Rule]:
    """What the objectives, the alerts and the boards of many services read."""
    return [
        group("perfsdk-requests", _requests()),
        # Every bucket of every instance is read: three quarters of what all rules cost.
        group("perfsdk-latency", _latency(), interval="1m"),
        group("perfsdk-databases", _databases()),
        group("perfsdk-caches", _caches()),
    ]


def _requests() -> list[Rule]:
    failed = or_none(total(promql.failed_requests(), ROUTE), names.ROUTE_REQUESTS)
    return [
        record(names.WORKERS, total(promql.series(catalog.WORKERS.name))),
        record(names.ROUTE_REQUESTS, total(observations(DURATION), ROUTE)),
        record(names.ROUTE_FAILED, failed),
        record(names.REQUESTS, total(names.ROUTE_REQUESTS)),
        record(names.FAILED, total(names.ROUTE_FAILED)),
        record(names.SLOW, _slow()),
        record(names.ERRORS, total(observations(DURATION, promql.RAISED), "error_type")),
        record(names.ROUTE_DB_CALLS, _db_calls()),
    ]


def _slow() -> str:
    """Both sums are asked for at once: between two rules a scrape may come in."""
    everything = total(observations(DURATION))
    fast = total(promql.fast_requests(str(LATENCY_SECONDS)))
    return f"clamp_min(\n{promql.indented(everything)}\n  -\n{promql.indented(fast)},\n  0\n)"


def _db_calls() -> str:
    name = catalog.HTTP_SERVER_REQUEST_DB_CALLS.name
    calls, requests = (total(rate(f"{name}_{part}"), ROUTE) for part in ("sum", "count"))
    return f"{calls}\n/\n({requests} > 0)"


def _latency() -> list[Rule]:
    rules = [
        record(names.ROUTE_BUCKETS, total(rate(BUCKET), ROUTE, "le")),
        record(names.BUCKETS, total(names.ROUTE_BUCKETS, "le")),
        record(names.ROUTE_NATIVE, total(rate(DURATION.name), ROUTE)),
        record(names.NATIVE, total(names.ROUTE_NATIVE)),
    ]
    for name, q, classic, native in (
        (names.ROUTE_P50, 0.5, names.ROUTE_BUCKETS, names.ROUTE_NATIVE),
        (names.ROUTE_P99, 0.99, names.ROUTE_BUCKETS, names.ROUTE_NATIVE),
        (names.P50, 0.5, names.BUCKETS, names.NATIVE),
        (names.P99, 0.99, names.BUCKETS, names.NATIVE),
    ):
        rules.append(record(name, promql.quantile(q, classic, native)))
    return rules


def _databases() -> list[Rule]:
    metric = catalog.DB_CLIENT_OPERATION_DURATION
    failed = total(observations(metric, IS_ERROR), *DB)
    return [
        record(names.OPERATIONS, total(observations(metric), *DB)),
        record(names.FAILED_OPERATIONS, or_none(failed, names.OPERATIONS)),
        record(names.OPERATION_P95, promql.quantile_of(0.95, metric, *DB)),
    ]


def _caches() -> list[Rule]:
    lookups, calls = catalog.CACHE_REQUESTS.name, catalog.CACHE_OPERATION_DURATION
    hits = total(rate(lookups, 'cache_result="hit"'), *CACHE)
    failed = total(observations(calls, IS_ERROR), *CACHE)
    return [
        record(names.LOOKUPS, total(rate(lookups), *CACHE)),
        record(names.HITS, or_none(hits, names.LOOKUPS)),
        record(names.CACHE_CALLS, total(observations(calls), *CACHE)),
        record(names.FAILED_CACHE_CALLS, or_none(failed, names.CACHE_CALLS)),
    ]
