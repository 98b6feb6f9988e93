"""Services that something happens to, and the alerts that must fire for them: those and no others.

Every case is a job of its own in one history; a minute is one sample. What a case does not say is
in order: the target answers, four workers live.
"""

from collections.abc import Sequence
from typing import NamedTuple

from perfsdk import catalog

HOUR, SHIFT, DAY, WEEK = "hour", "shift", "day", "week"
LENGTH_MINUTES = {HOUR: 100, SHIFT: 8 * 60, DAY: 25 * 60 + 30, WEEK: 7 * 24 * 60 + 120}
HERE = "10.0.0.7:8979"
POOL = {catalog.POOL: "db/shop"}
DB = {"db_system_name": "postgresql", "db_namespace": "shop", "db_operation_name": "SELECT"}
CACHE = {"cache_system": "redis", "cache_name": "prices"}
OPERATION = catalog.DB_CLIENT_OPERATION_DURATION.name
REQUEST = catalog.HTTP_SERVER_REQUEST_DURATION.name
WORKERS = catalog.WORKERS.name
BUILD_INFO = "perfsdk_exporter_build_info"

Part = tuple[float | None, int]
"""A rate a minute, or a value, and for how many minutes; None: there are no samples."""


class Series(NamedTuple):
    """One series of a case: its name, its labels but those of the target, promtool's values."""

    name: str
    values: str
    labels: dict[str, str]
    instance: str = HERE


class Case(NamedTuple):
    """What happens, and the alerts of it; `about` is the alert that is put to the test."""

    name: str
    about: str
    series: Sequence[Series]
    fires: tuple[str, ...] = ()
    span: str = HOUR
    at: int = 0
    """The minute at which it is looked; 0: at the end."""
    guard: bool = False
    """What would be an alert, in too little traffic to tell."""

    @property
    def minute(self) -> int:
        """When it is looked."""
        return self.at or LENGTH_MINUTES[self.span] - 1


def counter(*parts: Part) -> str:
    """A counter that grows by so much a minute, one part after the other."""
    total, texts = 0.0, []
    for grows, minutes in parts:
        if grows is None:
            texts.append(f"_x{minutes}")
        else:
            texts.append(f"{total:g}+{grows:g}x{minutes - 1}")
            total += grows * minutes
    return " ".join(texts)


def gauge(*parts: Part) -> str:
    """A gauge that has a value, then another one."""
    return " ".join(
        f"_x{minutes}" if value is None else f"{value:.12g}+0x{minutes - 1}"
        for value, minutes in parts
    )


def always(value: float, span: str = HOUR) -> list[Part]:
    """The same all the time."""
    return [(value, LENGTH_MINUTES[span])]


def requests(
    *parts: Part, status: str = "200", error: str = "", slow: float = 0.0, route: str = "/a"
) -> list[Series]:
    """Requests of one kind; so large a share of them takes 300 ms, the rest 30 ms."""
    labels = {
        "http_request_method": "GET",
        "http_route": route,
        "http_response_status_code": status,
        "error_type": error,
    }
    return histogram(REQUEST, parts, labels, {"0.1": [1 - slow] * len(parts)}, "0.5")


def histogram(
    name: str,
    parts: Sequence[Part],
    labels: dict[str, str],
    below: dict[str, Sequence[float]],
    most: str,
) -> list[Series]:
    """Count and buckets of observations, none of which is above the bound `most`.

    `below` has the share at or below a bound, one for each part.
    """
    all_of_them = [1.0] * len(parts)
    shares = {**below, most: all_of_them, "+Inf": all_of_them}
    return [
        Series(f"{name}_count", counter(*parts), labels),
        *(
            Series(f"{name}_bucket", counter(*_times(parts, share)), {**labels, "le": le})
            for le, share in shares.items()
        ),
    ]


def _times(parts: Sequence[Part], factors: Sequence[float]) -> list[Part]:
    pairs = zip(parts, factors, strict=True)
    return [(r if r is None else r * factor, minutes) for (r, minutes), factor in pairs]


def calls(*parts: Part, route: str = "/a", of: float = 600) -> list[Series]:
    """Database calls of the requests of a route: parts say how many a request."""
    name, labels = catalog.HTTP_SERVER_REQUEST_DB_CALLS.name, {"http_route": route}
    made = [(None if n is None else n * of, minutes) for n, minutes in parts]
    count = [(None if n is None else of, minutes) for n, minutes in parts]
    return [
        Series(f"{name}_sum", counter(*made), labels),
        Series(f"{name}_count", counter(*count), labels),
        *requests(*count, route=route),
    ]


def operations(
    *parts: Part, error: str = "", table: str = "orders", slow: Sequence[float] = ()
) -> list[Series]:
    """Database operations; `slow` has the share that takes 300 ms, by part; the rest takes 3 ms."""
    labels = {**DB, "db_collection_name": table, "error_type": error}
    fast = [1 - share for share in slow or [0.0] * len(parts)]
    return histogram(OPERATION, parts, labels, {"0.005": fast}, "0.5")


def lookups(*parts: tuple[float, float, int]) -> list[Series]:
    """Lookups in a cache: hits and misses a minute, and for how many minutes."""
    results = {
        "hit": [(hit, n) for hit, _, n in parts],
        "miss": [(miss, n) for _, miss, n in parts],
    }
    name = catalog.CACHE_REQUESTS.name
    return [
        Series(name, counter(*found), {**CACHE, "cache_result": result})
        for result, found in results.items()
    ]


def cache_calls(rate: float, error: str = "") -> list[Series]:
    """Calls to a cache."""
    labels = {**CACHE, "cache_operation": "get", "error_type": error}
    name = catalog.CACHE_OPERATION_DURATION.name
    return histogram(name, always(rate), labels, {}, "0.001")


def value(name: str, *parts: Part, **labels: str) -> Series:
    """A gauge."""
    return Series(name, gauge(*parts), labels)


def grows(name: str, *parts: Part, **labels: str) -> Series:
    """A counter."""
    return Series(name, counter(*parts), labels)


def in_order(case: Case) -> list[Series]:
    """What a case does not say itself."""
    said = {one.name for one in case.series}
    healthy = {"up": 1, BUILD_INFO: 1, WORKERS: 4}
    return [value(n, *always(v, case.span)) for n, v in healthy.items() if n not in said]
