"""Caches on top of others count once, on the outer layer, and the lower one alone otherwise."""

from importlib import import_module
from time import perf_counter
from typing import NamedTuple

import aiocache
import dogpile.cache
import flask
import flask_caching
import pytest
import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from dogpile.cache.api import NO_VALUE

from perfsdk.integrations import INTEGRATIONS
from perfsdk.request import CACHE, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import settled
from tests.servers import HOST

DURATION = "cache_operation_duration_seconds"
LOWER = ("redis", "pymemcache")


class Array:
    """A value like those of numpy: it is not true or false, and not equal to anything."""

    __hash__ = None

    def __eq__(self, other):
        raise ValueError("ambiguous")

    def __bool__(self):
        raise ValueError("ambiguous")


class Layer(NamedTuple):
    """A cache library, and what `use` does with it on a server."""

    library: str
    system: str
    below: str
    """The system of the lower layer."""
    use: object
    """Finds three keys and misses three, of which one is loaded and written."""
    operations: dict[str, int]


def use_django(redis_url, _memcached):
    cache = RedisCache(redis_url, {})
    cache.set("a", None, 60)
    assert None is cache.get("a", "default")
    assert "default" == cache.get("absent", "default")
    assert {"a": None} == cache.get_many(["a", "absent"])
    assert ["loaded", "loaded"] == [cache.get_or_set("b", lambda: "loaded", 60) for _ in range(2)]


def use_flask_caching(redis_url, _memcached):
    config = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": redis_url}
    app = flask.Flask(__name__)
    cache = flask_caching.Cache(app, config=config)

    @cache.memoize(60)
    def load():
        return "loaded"

    with app.app_context():
        cache.set("a", 0, timeout=60)
        assert 0 == cache.get("a")
        assert None is cache.get("absent")
        assert [0, None] == cache.get_many("a", "absent")
        assert ["loaded", "loaded"] == [load() for _ in range(2)]


async def use_aiocache(redis_url, _memcached):
    port = int(redis_url.rpartition(":")[2].partition("/")[0])

    @aiocache.cached(cache=aiocache.RedisCache, endpoint=HOST, port=port, ttl=60)
    async def load():
        return "loaded"

    async with aiocache.RedisCache(endpoint=HOST, port=port) as cache, load.cache:
        await cache.set("a", "", ttl=60)
        assert "" == await cache.get("a", "default")
        assert "default" == await cache.get("absent", "default")
        assert ["", None] == await cache.multi_get(["a", "absent"])
        assert ["loaded", "loaded"] == [await load() for _ in range(2)]


def use_dogpile(_redis, memcached):
    region = dogpile.cache.make_region()
    url = f"{HOST}:{memcached.port}"
    region.configure("dogpile.cache.pymemcache", 60, arguments={"url": [url]})
    region.set("a", None)
    assert None is region.get("a")
    assert NO_VALUE is region.get("absent")
    assert [None, NO_VALUE] == region.get_multi(["a", "absent"])
    assert ["loaded"] * 2 == [region.get_or_create("b", lambda: "loaded") for _ in range(2)]


LAYERS = [
    Layer("django.core.cache", "django", "redis", use_django, {"set": 1, "get": 4, "get_many": 1}),
    Layer(
        "flask_caching",
        "flask_caching",
        "redis",
        use_flask_caching,
        {"set": 2, "get": 4, "get_many": 1},  # what is loaded is set by the same method
    ),
    Layer("aiocache", "aiocache", "redis", use_aiocache, {"set": 1, "get": 4, "get_many": 1}),
    Layer(
        "dogpile.cache", "dogpile", "memcached", use_dogpile, {"set": 1, "get": 4, "get_many": 1}
    ),
]
EACH_LAYER = pytest.mark.parametrize("layer", LAYERS, ids=[layer.library for layer in LAYERS])


@pytest.fixture
def patch(recording):
    """Have the integrations of libraries patch for the recording."""
    patches = Patches()

    def patch(*libraries):
        for library in libraries:
            module = import_module(library)
            import_module(INTEGRATIONS[library]).patch(module, patches, recording.recorder)

    yield patch
    patches.undo()


@pytest.fixture
def servers(redis_server, memcached):
    """Where `use` finds a Redis and a memcached, both empty."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    memcached.flush()
    return redis_server.url, memcached


def systems(recording, metric):
    """All that have a series."""
    return {series["cache_system"] for series in recording.series(metric)}


def results(recording):
    """Hits and misses of all systems."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result) for result in ("hit", "miss")
    )


@EACH_LAYER
async def test_each_key_counts_once_on_the_outer_layer(recording, patch, servers, layer):
    """The time in the request and the writes do, too."""
    patch(*LOWER, layer.library)
    account = Account(perf_counter())
    token = current.set(account)
    await settled(layer.use(*servers))
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert (3, 3) == results(recording)
    for metric in (DURATION, "cache_requests_total", "cache_writes_total"):
        assert {layer.system} == systems(recording, metric), metric
    operations = {
        name: recording.count(DURATION, cache_operation=name, error_type="")
        for name in ("set", "get", "get_many")
    }
    assert layer.operations == operations
    assert recording.count(DURATION) == sum(layer.operations.values())
    assert 2 == recording.value("cache_writes_total")
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 1 == recording.count("cache_load_duration_seconds")
    assert breakdown.seconds[CACHE] > 0


@EACH_LAYER
async def test_the_order_of_patching_does_not_matter(recording, patch, servers, layer):
    """The outer layer counts alone when it was patched first."""
    patch(layer.library, *LOWER)
    await settled(layer.use(*servers))
    assert (3, 3) == results(recording)
    assert {layer.system} == systems(recording, DURATION)


@EACH_LAYER
async def test_the_lower_layer_counts_when_the_outer_is_not_measured(
    recording, patch, servers, layer
):
    """So it is the outer layer that keeps it silent."""
    patch(*LOWER)
    await settled(layer.use(*servers))
    assert {layer.below} == systems(recording, DURATION)
    assert all(results(recording))


def test_what_a_loader_asks_of_the_lower_layer_counts_there(recording, patch, servers):
    """It is the application's own call, not a part of the lookup."""
    patch("django.core.cache", *LOWER)
    url, _ = servers
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.set("name", "Ada", 60)
        cache = RedisCache(url, {})
        assert "Ada" == cache.get_or_set("a", lambda: client.get("name"), 60)
        assert "Ada" == client.get("name")
    lookups = {
        (series["cache_system"], series["cache_result"]): recording.value(
            "cache_requests_total", **series
        )
        for series in recording.series("cache_requests_total")
    }
    assert {("django", "miss"): 1, ("redis", "hit"): 2} == lookups


async def test_values_that_cannot_be_compared_are_hits(recording, patch):
    """And come back as they are."""
    patch(*(layer.library for layer in LAYERS))
    value = Array()
    region = dogpile.cache.make_region().configure("dogpile.cache.memory")
    region.set("a", value)
    assert value is region.get("a")
    assert value is region.get_multi(["a"])[0]
    assert value is region.get_or_create("a", Array)
    app = flask.Flask(__name__)
    explicit = flask_caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    with app.app_context():
        explicit.set("a", value)
        assert isinstance(explicit.get("a"), Array)
        assert isinstance(explicit.get_many("a")[0], Array)
    kept = LocMemCache("arrays", {})
    kept.set("a", value)
    assert isinstance(kept.get("a"), Array)
    assert isinstance(kept.get("a", default=value), Array)
    assert isinstance(kept.get_many(["a"])["a"], Array)
    assert isinstance(kept.get_or_set("a", value), Array)
    async with aiocache.SimpleMemoryCache() as memory:
        await memory.set("a", value)
        assert value is await memory.get("a")
        assert value is await memory.get("a", Array())
        assert value is (await memory.multi_get(["a"]))[0]
    assert (12, 0) == results(recording)


async def test_arrays_of_decorated_functions_are_hits(recording, patch):
    """Those of aiocache for one key; for several, the library itself compares."""
    patch("aiocache")
    value = Array()

    @aiocache.cached()
    async def load():
        return value

    assert value is await load()
    assert value is await load()
    assert (1, 1) == results(recording)
