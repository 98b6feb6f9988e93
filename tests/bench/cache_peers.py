"""The caches that are asked for what they have, and those that measure such a hit."""

import functools
from time import perf_counter

from tests.bench.call_peers import (
    BY_HAND,
    OUTSIDE,
    TRACES,
    Peer,
    by_hand,
    traces,
    with_ours,
)
from tests.bench.evidence import in_segments, on_prometheus_page
from tests.bench.figures import OURS

COUNTER = "hand-written counter, prometheus_client"
METRICS = "redis-py's own, OpenTelemetry metrics"
DURATIONS = "cache_operation_duration_seconds"
LOOKUPS = "cache_requests_total"
VALUE = "v" * 32


def make_redis(port):
    from redis import Redis

    client = Redis(host="127.0.0.1", port=port)
    client.set("key", VALUE)
    return lambda: client.get("key")


def make_pymemcache(port):
    from pymemcache import Client

    client = Client(("127.0.0.1", port))
    client.set("key", VALUE, noreply=False)
    return lambda: client.get("key")


def make_cached():
    from cachetools import LRUCache, cached

    @cached(LRUCache(1000))
    def load(key):
        return key

    load(1)
    return lambda: load(1)


def make_item():
    from cachetools import LRUCache

    cache = LRUCache(1000)
    cache["key"] = 1
    return lambda: cache["key"]


def make_get():
    from cachetools import LRUCache

    cache = LRUCache(1000)
    cache["key"] = 1
    return lambda: cache.get("key")


@functools.lru_cache
def in_lru_cache(key):
    """At the level of a module, as perfsdk finds it."""
    return key


def make_lru_cache():
    in_lru_cache(1)
    return lambda: in_lru_cache(1)


LIBRARIES = {
    "redis": make_redis,
    "pymemcache": make_pymemcache,
    "cachetools cached": make_cached,
    "cachetools item": make_item,
    "cachetools get": make_get,
    "lru_cache": make_lru_cache,
}
"""Each makes a function without arguments: one call."""


def install_by_hand(owner, name, system):
    """A method in the way and a histogram by command."""
    from prometheus_client import Histogram

    durations = Histogram("hand_call_duration_seconds", "Durations.", ["operation", "system"])
    wrapped = getattr(owner, name)

    def measured(self, *args, **options):
        started = perf_counter()
        try:
            return wrapped(self, *args, **options)
        finally:
            durations.labels("GET", system).observe(perf_counter() - started)

    setattr(owner, name, measured)
    return lambda app: app


def install_by_hand_redis():
    from redis import Redis

    return install_by_hand(Redis, "execute_command", "redis")


def install_by_hand_pymemcache():
    from pymemcache import Client

    return install_by_hand(Client, "get", "memcached")


def install_counter(owner, name):
    """A method in the way and a counter of what was found and what was not."""
    from prometheus_client import Counter

    lookups = Counter("hand_lookups", "Lookups.", ["result"])
    hits, misses = lookups.labels("hit"), lookups.labels("miss")
    wrapped = getattr(owner, name)

    def counted(self, *args, **options):
        answer = wrapped(self, *args, **options)
        (misses if answer is None else hits).inc()
        return answer

    setattr(owner, name, counted)
    return lambda app: app


def install_counter_redis():
    from redis import Redis

    return install_counter(Redis, "get")


def install_counter_pymemcache():
    from pymemcache import Client

    return install_counter(Client, "get")


def install_counter_item():
    from cachetools import LRUCache

    return install_counter(LRUCache, "__getitem__")


def install_counter_get():
    from cachetools import LRUCache

    return install_counter(LRUCache, "get")


class OwnMetrics:
    """What redis-py has of its own: durations of commands, into OpenTelemetry's SDK."""

    def install(self):
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from redis.observability import MetricGroup, OTelConfig, get_observability_instance

        self._reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider(metric_readers=[self._reader]))
        get_observability_instance().init(OTelConfig(metric_groups=[MetricGroup.COMMAND]))
        return lambda app: app

    def recorded(self):
        return sum(
            point.count
            for resource in self._reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "db.client.operation.duration"
            for point in metric.data.data_points
        )


def trace_redis(provider):
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    RedisInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def trace_pymemcache(provider):
    from opentelemetry.instrumentation.pymemcache import PymemcacheInstrumentor

    PymemcacheInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def sampled():
    """What was counted, with what is only read now and then."""
    from perfsdk import recorder

    if recorder.running is not None:
        recorder.running.sample()
    return in_segments(LOOKUPS)


def counter(install):
    """What somebody writes who wants a hit rate and nothing else."""
    return Peer(install, lambda: on_prometheus_page("hand_lookups_total"))


OWN = OwnMetrics()

PEERS = {
    "redis": {
        **with_ours(DURATIONS),
        COUNTER: counter(install_counter_redis),
        BY_HAND: by_hand(install_by_hand_redis),
        METRICS: Peer(OWN.install, OWN.recorded),
        TRACES: traces(trace_redis),
    },
    "pymemcache": {
        **with_ours(DURATIONS),
        COUNTER: counter(install_counter_pymemcache),
        BY_HAND: by_hand(install_by_hand_pymemcache),
        TRACES: traces(trace_pymemcache),
    },
    "cachetools cached": {**with_ours(LOOKUPS), COUNTER: counter(install_counter_item)},
    "cachetools item": {**with_ours(LOOKUPS), COUNTER: counter(install_counter_item)},
    "cachetools get": {**with_ours(LOOKUPS), COUNTER: counter(install_counter_get)},
    "lru_cache": {
        name: peer._replace(recorded=sampled) if name in (OURS, OUTSIDE) else peer
        for name, peer in with_ours(LOOKUPS).items()
    },
}
"""Peers by name, by the library that is called."""
