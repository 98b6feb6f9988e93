"""The three answers, computed from an exporter's page and nothing else."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from perfsdk import catalog
from perfsdk.catalog import BANDS, COMPONENTS
from perfsdk.cli.demo.page import Page, Quantile, Sample, add_buckets, quantile

TAIL = BANDS[1]
FEWEST_IN_TAIL = 5
"""A tail of fewer requests tells nothing about the next ones."""

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION.name
COMPONENT_SECONDS = catalog.HTTP_SERVER_REQUEST_COMPONENT.name
BAND_REQUESTS = catalog.HTTP_SERVER_REQUEST_BAND.name
DB_CALLS = catalog.HTTP_SERVER_REQUEST_DB_CALLS.name
CACHE_REQUESTS = catalog.CACHE_REQUESTS.name
CACHE_LOAD = catalog.CACHE_LOAD_DURATION.name
WORKERS = catalog.WORKERS.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLatency:
    """How long the requests of one `GET /route` took, and how many failed."""

    route: str
    requests: int
    failed: int
    p50: Quantile
    p95: Quantile
    p99: Quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where requests spent their time: seconds in all by component, for so many requests."""

    requests: int
    seconds: Mapping[str, float]

    @property
    def average_seconds(self) -> float:
        """The average duration of one request."""
        return sum(self.seconds.values()) / self.requests

    def share(self, component: str) -> float:
        """The part of the time that a component has, 0 to 1."""
        total = sum(self.seconds.values())
        return self.seconds.get(component, 0.0) / total if total else 0.0

    @property
    def bottleneck(self) -> str:
        """The component with the largest share."""
        return max(COMPONENTS, key=self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTime:
    """Where the time of one route goes: of all its requests, and of its slow tail if it has one."""

    route: str
    all: Spent
    tail: Spent | None
    db_calls: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """How one cache was used. `miss_seconds` is the average time of the loader, if known."""

    cache: str
    system: str
    hits: int
    lookups: int
    miss_seconds: float | None

    @property
    def hit_rate(self) -> float:
        """Hits of all lookups, 0 to 1."""
        return self.hits / self.lookups


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All three, the slowest route and the busiest cache first."""

    latencies: list[RouteLatency]
    times: list[RouteTime]
    caches: list[CacheUse]
    workers: int

    @property
    def requests(self) -> int:
        """All requests on the page."""
        return sum(latency.requests for latency in self.latencies)


def answer(page: Page) -> Answers:
    """Compute the three answers; what is not on the page is left out."""
    latencies = sorted(_latencies(page), key=lambda latency: -latency.p99.value)
    times = _times(page, _names([latency.route for latency in latencies]))
    caches = sorted(_caches(page), key=lambda cache: -cache.lookups)
    workers = int(_total(page[WORKERS]))
    return Answers(latencies=latencies, times=times, caches=caches, workers=workers)


def has_failed(labels: Mapping[str, str]) -> bool:
    """Whether requests with these labels failed: 5xx, or an error that is not the client's."""
    error = labels["error_type"]
    return labels["http_response_status_code"].startswith("5") or (
        error not in {"", "client_disconnect", "<overflow>"}
    )


def _latencies(page: Page) -> list[RouteLatency]:
    latencies = []
    buckets = _by_labels(page[f"{DURATION}_bucket"], "http_request_method", "http_route")
    counts = _by_labels(page[f"{DURATION}_count"], "http_request_method", "http_route")
    for (method, route), samples in counts.items():
        of_route = add_buckets(buckets[method, route])
        p50, p95, p99 = (quantile(of_route, q) for q in (0.5, 0.95, 0.99))
        if p50 is None or p95 is None or p99 is None:
            continue  # a series that nothing has been observed in yet
        latency = RouteLatency(
            route=f"{method} {route}",
            requests=int(_total(samples)),
            failed=int(sum(sample.value for sample in samples if has_failed(sample.labels))),
            p50=p50,
            p95=p95,
            p99=p99,
        )
        latencies.append(latency)
    return latencies


def _times(page: Page, names: Mapping[str, str]) -> list[RouteTime]:
    seconds = _by_labels(page[COMPONENT_SECONDS], "http_route")
    requests = _by_labels(page[BAND_REQUESTS], "http_route")
    calls = _by_labels(page[f"{DB_CALLS}_sum"], "http_route")
    times = []
    for template, name in names.items():
        key = (template,)
        everything = _spent(seconds[key], requests[key])
        if everything is None:
            continue
        slow = [sample for sample in requests[key] if sample.labels["band"] == TAIL]
        in_slow = [sample for sample in seconds[key] if sample.labels["band"] == TAIL]
        tail = _spent(in_slow, slow)
        route = RouteTime(
            route=name,
            all=everything,
            tail=tail if tail and tail.requests >= FEWEST_IN_TAIL else None,
            db_calls=_total(calls[key]) / everything.requests if calls[key] else None,
        )
        times.append(route)
    return times


def _spent(seconds: list[Sample], requests: list[Sample]) -> Spent | None:
    count = int(_total(requests))
    if not count:
        return None
    by_component: dict[str, float] = defaultdict(float)
    for sample in seconds:
        by_component[sample.labels["component"]] += sample.value
    return Spent(requests=count, seconds=dict(by_component))


def _caches(page: Page) -> list[CacheUse]:
    caches = []
    load_seconds = _by_labels(page[f"{CACHE_LOAD}_sum"], "cache_system", "cache_name")
    loads = _by_labels(page[f"{CACHE_LOAD}_count"], "cache_system", "cache_name")
    lookups = _by_labels(page[CACHE_REQUESTS], "cache_system", "cache_name")
    for (system, name), samples in lookups.items():
        misses = _total(loads[system, name])
        hits = [sample for sample in samples if sample.labels["cache_result"] == "hit"]
        cache = CacheUse(
            cache=name,
            system=system,
            hits=int(_total(hits)),
            lookups=int(_total(samples)),
            miss_seconds=_total(load_seconds[system, name]) / misses if misses else None,
        )
        if cache.lookups:
            caches.append(cache)
    return caches


def _by_labels(samples: list[Sample], *names: str) -> dict[tuple[str, ...], list[Sample]]:
    """Samples by the values of these labels; other values have none."""
    groups: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[tuple(sample.labels[name] for name in names)].append(sample)
    return groups


def _total(samples: list[Sample]) -> float:
    return sum(sample.value for sample in samples)


def _names(routes: list[str]) -> dict[str, str]:
    """What to call each template in the order of `GET /route`s: `GET, POST /route` if need be.

    Where time goes is told by template alone, so the methods of one share a line.
    """
    methods: dict[str, list[str]] = defaultdict(list)
    for route in routes:
        method, _, template = route.partition(" ")
        methods[template].append(method)
    return {template: f"{', '.join(found)} {template}" for template, found in methods.items()}
