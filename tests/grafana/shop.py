"""The shop behind the history: how much of everything happens, how long it takes, what fails.

Half an hour ago a release made `/search` slow, and the payment provider fails more often since;
a person who looks at the dashboard has something to find.
"""

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

from grafana.rows import exporter
from perfsdk import catalog
from perfsdk.catalog import BANDS, COMPONENTS, Metric

RELEASE_SECONDS_AGO = 1800

Amount = float | Callable[[int], float]
"""A number, or what it was so many seconds ago."""


class Observed(NamedTuple):
    """What a histogram observes: so many a second, log-normal around an average."""

    rate: Amount
    average: Amount
    sigma: float = 0.5


@cache
def share_below(bound: float, average: float, sigma: float) -> float:
    """The share of a log-normal distribution at or below a bound; all of it without a size."""
    if average <= 0:
        return 1.0
    if bound <= 0:
        return 0.0
    median = average / math.exp(sigma**2 / 2)
    return NormalDist().cdf(math.log(bound / median) / sigma)


class Route(NamedTuple):
    """A route: requests a second, seconds of each component in both bands, calls, bytes, ends."""

    method: str
    template: str
    rate: float
    typical: tuple[Amount, ...]
    tail: tuple[Amount, ...]
    db_calls: float
    cache_calls: float
    bytes_in: float
    bytes_out: float
    ends: tuple[tuple[str, str, Amount], ...] = ()
    """Other ends than a 200: status, error type, share of the requests."""


def since_release(before: float, after: float) -> Amount:
    """An amount that the release changed."""
    return lambda age_seconds: after if age_seconds < RELEASE_SECONDS_AGO else before


def at(amount: Amount, age_seconds: int) -> float:
    """The amount so many seconds ago."""
    return amount(age_seconds) if callable(amount) else amount


# The components are app, db, cache, http_client and pool_wait.
ROUTES = (
    Route(
        *("GET", "/", 22.0),
        *((0.004, 0.0015, 0.0008, 0.0, 0.0), (0.030, 0.022, 0.002, 0.0, 0.004)),
        *(2, 3, 0, 9_000),
        (("304", "", 0.2),),
    ),
    Route(
        *("GET", "/products/{product_id}", 35.0),
        *((0.003, 0.004, 0.001, 0.0, 0.0), (0.010, 0.060, 0.002, 0.0, 0.045)),
        *(1, 2, 0, 3_500),
        (("404", "", 0.02),),
    ),
    Route(
        *("GET", "/search", 12.0),
        *((0.008, since_release(0.030, 0.110), 0.0, 0.0, 0.001),),
        *((0.020, since_release(0.300, 1.300), 0.0, 0.0, 0.05),),
        *(2, 0, 0, 14_000),
        (("499", "client_disconnect", since_release(0.003, 0.025)),),
    ),
    Route(
        *("GET", "/orders", 6.0),
        *((0.014, 0.055, 0.001, 0.0, 0.002), (0.060, 0.260, 0.001, 0.0, 0.180)),
        *(36, 1, 0, 40_000),
        (("401", "", 0.03),),
    ),
    Route(
        *("POST", "/orders/{order_id}/payment", 3.0),
        *((0.006, 0.008, 0.0, 0.180, 0.0), (0.010, 0.012, 0.0, 1.400, 0.004)),
        *(4, 0, 700, 400),
        (("502", "PaymentError", since_release(0.004, 0.06)), ("422", "", 0.02)),
    ),
    Route(
        *("GET", "/health", 2.0),
        *((0.0004, 0.0, 0.0, 0.0, 0.0), (0.003, 0.0, 0.0, 0.0, 0.0)),
        *(0, 0, 0, 15),
    ),
    Route(
        *("GET", "<unmatched>", 0.8),
        *((0.0003, 0.0, 0.0, 0.0, 0.0), (0.001, 0.0, 0.0, 0.0, 0.0)),
        *(0, 0, 0, 22),
        (("404", "", 1.0),),
    ),
)

_SHARE_OF_BAND = dict(zip(BANDS, (0.95, 0.05), strict=True))
_POSTGRES = ("postgresql", "shop")
_DB = {
    ("SELECT", "products", ""): Observed(70.0, 0.0012),
    ("SELECT", "product_search", ""): Observed(24.0, since_release(0.016, 0.055), 0.7),
    ("SELECT", "orders", ""): Observed(12.0, 0.005),
    ("SELECT", "order_items", ""): Observed(210.0, 0.0013),
    ("INSERT", "payments", ""): Observed(3.0, 0.004),
    ("UPDATE", "stock", ""): Observed(3.0, 0.007, 0.8),
    ("UPDATE", "stock", "OperationalError"): Observed(0.04, 1.1, 0.3),
    ("COMMIT", "", ""): Observed(6.0, 0.002),
}
_POOL = ("10.0.0.3:5432/shop",)
_CACHE = {
    ("redis", "default", "get", ""): Observed(66.0, 0.0004),
    ("redis", "default", "set", ""): Observed(5.0, 0.0005),
    ("redis", "default", "get", "TimeoutError"): Observed(since_release(0.0, 0.05), 0.25, 0.1),
}
_LOOKUPS = {
    ("redis", "default"): (66.0, 0.93),
    ("cachetools", "load_product"): (40.0, since_release(0.88, 0.71)),
    ("cachetools", "load_prices"): (9.0, 0.42),
}


def _seconds(route: Route, band: str) -> tuple[Amount, ...]:
    return route.typical if band == BANDS[0] else route.tail


def _whole(parts: tuple[Amount, ...]) -> Amount:
    return lambda age: sum(at(part, age) for part in parts)


def _times(*amounts: Amount) -> Amount:
    return lambda age: math.prod(at(amount, age) for amount in amounts)


def _rest(*shares: Amount) -> Amount:
    return lambda age: 1.0 - sum(at(share, age) for share in shares)


def _durations() -> dict[tuple[str, ...], list[Observed]]:
    found = {}
    for route in ROUTES:
        well = ("200", "", _rest(*(share for _, _, share in route.ends)))
        for status, error, share in (well, *route.ends):
            found[route.method, route.template, status, error] = [
                Observed(_times(route.rate * part, share), _whole(_seconds(route, band)))
                for band, part in _SHARE_OF_BAND.items()
            ]
    return found


def _by_route(average: Callable[[Route], float]) -> dict[tuple[str, ...], list[Observed]]:
    return {(r.template,): [Observed(r.rate, average(r), 0.4)] for r in ROUTES}


def _bodies(average: Callable[[Route], float]) -> dict[tuple[str, ...], list[Observed]]:
    return {(r.method, r.template): [Observed(r.rate, average(r), 0.6)] for r in ROUTES}


HISTOGRAMS: dict[str, dict[tuple[str, ...], list[Observed]]] = {
    catalog.HTTP_SERVER_REQUEST_DURATION.name: _durations(),
    catalog.HTTP_SERVER_REQUEST_BODY_SIZE.name: _bodies(lambda route: route.bytes_in),
    catalog.HTTP_SERVER_RESPONSE_BODY_SIZE.name: _bodies(lambda route: route.bytes_out),
    catalog.HTTP_SERVER_REQUEST_DB_CALLS.name: _by_route(lambda route: route.db_calls),
    catalog.HTTP_SERVER_REQUEST_CACHE_CALLS.name: _by_route(lambda route: route.cache_calls),
    catalog.HTTP_SERVER_TIME_TO_FIRST_BYTE.name: {("/export",): [Observed(0.4, 0.12)]},
    catalog.HTTP_SERVER_REQUEST_QUEUE_DURATION.name: {
        (): [Observed(31.0, since_release(0.004, 0.03), 0.8)]
    },
    catalog.BACKGROUND_TASK_DURATION.name: {("/orders",): [Observed(1.2, 0.4, 0.7)]},
    catalog.WEBSOCKET_DURATION.name: {("/live/{product_id}",): [Observed(0.2, 4.0, 0.9)]},
    catalog.DB_CLIENT_OPERATION_DURATION.name: {
        (*_POSTGRES, *labels): [observed] for labels, observed in _DB.items()
    },
    catalog.DB_CLIENT_RETURNED_ROWS.name: {
        ("postgresql", "SELECT", "products"): [Observed(70.0, 4.0)],
        ("postgresql", "SELECT", "product_search"): [Observed(24.0, since_release(30, 900), 0.9)],
        ("postgresql", "SELECT", "order_items"): [Observed(210.0, 3.0)],
    },
    catalog.DB_CLIENT_CONNECTION_WAIT_TIME.name: {
        _POOL: [Observed(60.0, since_release(0.0004, 0.02), 0.9)]
    },
    catalog.DB_CLIENT_CONNECTION_USE_TIME.name: {_POOL: [Observed(60.0, 0.03, 0.7)]},
    catalog.DB_CLIENT_CONNECTION_CREATE_TIME.name: {_POOL: [Observed(0.02, 0.008)]},
    catalog.CACHE_OPERATION_DURATION.name: {key: [found] for key, found in _CACHE.items()},
    catalog.CACHE_LOAD_DURATION.name: {
        ("redis", "default"): [Observed(4.8, 0.008)],
        ("cachetools", "load_product"): [Observed(8.0, 0.006)],
        ("cachetools", "load_prices"): [Observed(5.2, 0.019, 0.8)],
    },
}

COUNTERS: dict[str, dict[tuple[str, ...], Amount]] = {
    catalog.HTTP_SERVER_REQUEST_COMPONENT.name: {
        (route.template, component, band): _times(route.rate * part, seconds)
        for route in ROUTES
        for band, part in _SHARE_OF_BAND.items()
        for component, seconds in zip(COMPONENTS, _seconds(route, band), strict=True)
    },
    catalog.HTTP_SERVER_REQUEST_BAND.name: {
        (route.template, band): route.rate * part
        for route in ROUTES
        for band, part in _SHARE_OF_BAND.items()
    },
    catalog.DB_CLIENT_QUERY_FINDINGS.name: {
        ("n_plus_one", "/orders", "postgresql"): 5.9,
        ("unbounded_select", "/search", "postgresql"): since_release(0.0, 11.0),
        ("slow", "/search", "postgresql"): since_release(0.02, 0.6),
    },
    catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name: {_POOL: since_release(0.0, 0.02)},
    catalog.CACHE_REQUESTS.name: {
        (*cache, result): _times(rate, share)
        for cache, (rate, hits) in _LOOKUPS.items()
        for result, share in (("hit", hits), ("miss", _rest(hits)))
    },
    catalog.CACHE_WRITES.name: {
        ("redis", "default", "aside"): 4.6,
        ("redis", "default", "write_through"): 0.4,
        ("cachetools", "load_product", "read_through"): 8.0,
    },
    catalog.CACHE_REMOVALS.name: {
        ("cachetools", "load_product", "evicted"): since_release(0.2, 6.0),
        ("redis", "default", "explicit"): 0.3,
    },
    catalog.CACHE_FINDINGS.name: {
        ("get_in_loop", "default"): since_release(0.0, 3.0),
        ("no_ttl", "default"): 0.4,
    },
    catalog.PROCESS_CPU_SECONDS.name: {("0",): 0.31, ("1",): 0.24},
    catalog.HTTP_SERVER_UNCOMPRESSED.name: {("/search",): 42e3, ("/export",): 190e3},
    catalog.BACKGROUND_TASK_EXCEPTIONS.name: {("/orders",): since_release(0.0, 0.02)},
    catalog.WEBSOCKET_MESSAGES.name: {
        ("/live/{product_id}", "received"): 0.4,
        ("/live/{product_id}", "sent"): 6.0,
    },
    catalog.WEBSOCKET_CLOSES.name: {
        ("/live/{product_id}", "1001"): 0.17,
        ("/live/{product_id}", "1006"): since_release(0.01, 0.04),
        ("/live/{product_id}", "rejected"): 0.02,
    },
    catalog.UNRESOLVED_ROUTES.name: {("starlette", "LegacyRoute"): 0.05},
    catalog.INTERNAL_ERRORS.name: {("redis",): since_release(0.0, 0.002)},
    catalog.DROPPED_SERIES.name: {
        (catalog.CACHE_REQUESTS.name, "cache_name"): since_release(0.0, 0.01)
    },
}

GAUGES: dict[str, dict[tuple[str, ...], Amount]] = {
    catalog.HTTP_SERVER_ACTIVE_REQUESTS.name: {
        ("GET",): lambda age: round(4 + since_release(0, 4)(age) + 2 * math.sin(age / 90)),
        ("POST",): lambda age: round(1 + math.sin(age / 130)),
    },
    catalog.HTTP_SERVER_OLDEST_REQUEST_AGE.name: {
        (): lambda age: since_release(0.3, 1.8)(age) * (1 + 0.6 * math.sin(age / 50))
    },
    catalog.WEBSOCKET_ACTIVE.name: {
        ("/live/{product_id}",): lambda age: round(14 + 5 * math.sin(age / 400))
    },
    catalog.DB_CLIENT_CONNECTIONS.name: {
        (*_POOL, "used"): lambda age: round(since_release(9, 31)(age) + 5 * math.sin(age / 70)),
        (*_POOL, "idle"): lambda age: round(since_release(29, 6)(age) - 5 * math.sin(age / 70)),
    },
    catalog.DB_CLIENT_CONNECTION_MAX.name: {_POOL: 40},
    catalog.DB_CLIENT_CONNECTION_IDLE_MAX.name: {_POOL: 20},
    catalog.DB_CLIENT_CONNECTION_IDLE_MIN.name: {_POOL: 8},
    catalog.DB_CLIENT_CONNECTION_PENDING.name: {
        _POOL: lambda age: max(0, round(since_release(-3, 3)(age) + 4 * math.sin(age / 70)))
    },
    catalog.CACHE_ENTRIES.name: {
        ("cachetools", "load_product"): lambda age: round(1900 - age / 4),
        ("cachetools", "load_prices"): lambda age: round(64 + 8 * math.sin(age / 300)),
    },
    catalog.CACHE_MAX_ENTRIES.name: {
        ("cachetools", "load_product"): 2000,
        ("cachetools", "load_prices"): 512,
    },
    catalog.PROCESS_RESIDENT_MEMORY.name: {
        ("0",): lambda age: 140e6 - 4e3 * age,
        ("1",): lambda age: 120e6 + 2e6 * math.sin(age / 300),
    },
    catalog.PROCESS_VIRTUAL_MEMORY.name: {("0",): 900e6, ("1",): 880e6},
    catalog.PROCESS_START_TIME.name: {("0",): 1.7e9, ("1",): since_release(1.7e9, 1.7e9 + 3600)},
    catalog.PROCESS_OPEN_FDS.name: {("0",): 41, ("1",): lambda age: 48 + round(age / 600)},
    catalog.PROCESS_MAX_FDS.name: {("0",): 1024, ("1",): 1024},
    catalog.PYTHON_INFO.name: {
        (worker, "CPython", "3", "11", "2", "3.11.2"): 1 for worker in ("0", "1")
    },
    catalog.WORKERS.name: {(): lambda age: 3 if 1740 < age < RELEASE_SECONDS_AGO else 4},
    catalog.INTEGRATION_INFO.name: {
        ("cachetools", "8.0.1", "active"): 1,
        ("redis", "8.1.0", "active"): 1,
        ("sqlalchemy", "2.1.9", "active"): 1,
        ("sqlite3", "3.40.1", "disabled"): 1,
        ("pymongo", "9.9.0", "unsupported"): 1,
    },
    catalog.SERIES.name: {
        (metric.name,): 12 * (1 + len(metric.labels)) for metric in catalog.METRICS
    },
}

COUNTERS |= {
    exporter.REAPED.name: {(): 0.001},
    exporter.DROPPED.name: {(): 0.0},
    exporter.DAMAGED.name: {(): 0.0},
    exporter.FAILURES.name: {(): 0.0},
    exporter.PROCESSOR.name: {(): 0.02},
}
GAUGES |= {
    exporter.UP.name: {(): 1},
    exporter.DURATION.name: {(): lambda age: 0.04 + 0.01 * math.sin(age / 60)},
    exporter.SAMPLES.name: {(): lambda age: 2400 - age / 60},
    exporter.READING.name: {(): 0.012},
    exporter.SEGMENTS.name: {("live",): 4, ("dead",): 0, ("unreadable",): 0},
    exporter.SERIES.name: {(): lambda age: 180 - age / 900},
    exporter.LEFT_OUT.name: {("conflict",): 0, ("invalid",): 0},
    exporter.MEMORY.name: {(): 62e6},
    exporter.BUILD.name: {("0.1.0", "3.11.2"): 1},
}

_SLO = ("sloth_id", "sloth_service", "sloth_slo")
_BUDGETS = {
    ("shop-availability", "shop", "availability"): (0.999, since_release(0.0004, 0.006)),
    ("shop-latency", "shop", "latency"): (0.5, since_release(0.2, 0.4)),
}


def _recorded(name: str, value: Callable[[float, Amount], Amount]) -> Metric:
    """What a rule records of each objective; by its wanted share and the errors it has."""
    GAUGES[name] = {labels: value(*budget) for labels, budget in _BUDGETS.items()}
    return Metric(name=name, kind="gauge", help="", labels=_SLO)


RECORDED = (
    _recorded("slo:objective:ratio", lambda wanted, _: wanted),
    _recorded("slo:error_budget:ratio", lambda wanted, _: 1 - wanted),
    *(
        _recorded(f"slo:sli_error:ratio_rate{window}", lambda _, errors: errors)
        for window in ("5m", "1h", "6h", "30d")
    ),
    _recorded(
        "slo:current_burn_rate:ratio",
        lambda wanted, errors: lambda age: at(errors, age) / (1 - wanted),
    ),
    _recorded(
        "slo:period_error_budget_remaining:ratio", lambda *_: lambda age: 0.62 + age / 20_000
    ),
    Metric(name="ALERTS", kind="gauge", help="", labels=("alertname", "alertstate", "severity")),
)
"""What the rules make of the shop; it has no instance."""
GAUGES["ALERTS"] = {("PerfsdkErrorBudgetBurnPage", "firing", "critical"): 1}
