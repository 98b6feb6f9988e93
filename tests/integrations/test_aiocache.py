"""aiocache: explicit calls and decorated functions, in memory and on a real Redis and memcached."""

import asyncio
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

import aiocache
import pytest
import redis
from aiocache.base import SENTINEL
from aiocache.plugins import HitMissRatioPlugin, TimingPlugin

from perfsdk.integrations import aiocache as integration
from perfsdk.integrations import redis as redis_integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import AsyncIntegrationContract
from tests.servers import HOST

DURATION = "cache_operation_duration_seconds"
BASE = aiocache.base.BaseCache
SIMPLE = aiocache.SimpleMemoryCache


class TestContract(AsyncIntegrationContract):
    """The contract on `get`, in the memory of the process."""

    library = "aiocache"
    metric = DURATION
    labels = {  # noqa: RUF012 - read only
        "cache_system": "aiocache",
        "cache_name": "default",
        "cache_operation": "get",
    }
    error_type = "TypeError"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"aiocache"},
        "cache_name": {"default"},
        "cache_operation": {"get", "set"},
        "error_type": {"", "TypeError"},
    }
    component = CACHE
    result = "value"

    def owners(self):
        return [aiocache, BASE, aiocache.cached, aiocache.cached_stampede, aiocache.multi_cached]

    @asynccontextmanager
    async def client(self):
        async with SIMPLE() as cache:
            await cache.set("key", "value")
            yield cache

    async def succeed(self, client):
        return await client.get("key")

    async def succeed_inside_with(self, client):
        async with client.get_connection() as connection:
            return await connection.get("key")

    async def fail(self, client):
        await client.get([])

    async def vary(self, client, number):
        await client.get(f"key:{number}")

    async def hang(self, client):
        async def never(*_args, **_kwargs):
            await asyncio.Event().wait()

        client._get = never
        await client.get("key")

    @contextmanager
    def watch(self, client):
        """The keys that the backend was asked for."""
        asked = []
        get = client._get

        async def watched(key, *args, **kwargs):
            asked.append(key)
            return await get(key, *args, **kwargs)

        client._get = watched
        yield asked
        del client._get


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while aiocache and redis-py are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(aiocache, patches, recording.recorder)
        redis_integration.patch(redis, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture(params=["memory", "redis", "memcached"])
async def cache(request, recording, redis_server, memcached):
    """A measured cache of each kind, empty."""
    if request.param == "memory":
        cache = SIMPLE()
    elif request.param == "redis":
        serializer = aiocache.serializers.PickleSerializer()
        cache = aiocache.RedisCache(endpoint=HOST, port=redis_server.port, serializer=serializer)
    else:
        serializer = aiocache.serializers.PickleSerializer()
        cache = aiocache.MemcachedCache(endpoint=HOST, port=memcached.port, serializer=serializer)
    async with cache:
        await cache.clear()
        yield cache
    systems = {series["cache_system"] for series in recording.series(DURATION)}
    assert {"aiocache"} == systems  # what is below was silent


def results(recording, name="default"):
    """Hits and misses of a name."""
    return tuple(
        recording.value("cache_requests_total", cache_name=name, cache_result=result)
        for result in ("hit", "miss")
    )


async def test_each_lookup_counts_its_keys_once(recording, cache):
    """On every backend; the answers are the library's own."""
    await cache.set("a", 0, ttl=60)
    await cache.multi_set([["b", ""], ["c", 2]], ttl=60)
    assert 0 == await cache.get("a")
    assert "default" == await cache.get("absent", "default")
    assert None is await cache.get("absent", default=None)
    assert ["", None, 2] == await cache.multi_get(["b", "absent", "c"])
    assert (3, 3) == results(recording)
    assert await cache.exists("a")
    assert 1 == await cache.delete("a")
    assert 0 == await cache.delete("a")
    assert (3, 3) == results(recording)
    assert 3 == recording.value("cache_writes_total")
    assert 1 == recording.value("cache_removals_total", reason="explicit")


async def test_a_cache_is_named_by_its_namespace(recording):
    """Without one it is the default."""
    async with SIMPLE(namespace="users") as cache:
        await cache.get("a")
    assert (0, 1) == results(recording, "users")


@pytest.mark.parametrize("decorator", [aiocache.cached, aiocache.cached_stampede])
async def test_a_decorated_function_is_one_lookup_a_call(recording, decorator):
    """Named by the function, which is its loader."""
    layers = []

    @decorator(cache=SIMPLE, ttl=60)
    async def load(number):
        layers.append(counted.get() & 1 << CACHE)
        return 2 * number

    assert [2, 2, 4] == [await load(1), await load(1), await load(2)]
    name = load.__qualname__
    assert [0, 0] == layers
    assert (1, 2) == results(recording, name)
    assert (0, 0) == results(recording)
    assert 2 == recording.count("cache_load_duration_seconds", cache_name=name)
    assert 2 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 3 == recording.count(DURATION, cache_name=name, cache_operation="get")


async def test_a_call_that_may_not_read_is_a_miss(recording):
    """The function is called."""

    @aiocache.cached(cache=SIMPLE)
    async def load():
        return "value"

    assert "value" == await load()
    assert "value" == await load(cache_read=False)
    assert (0, 2) == results(recording, load.__qualname__)


async def test_a_key_builder_gets_what_looks_like_the_function(recording):
    """Its names and signature are the function's."""
    seen = []

    def key_builder(function, *args, **_kwargs):
        seen.append((function.__name__, function.__wrapped__))
        return str(args)

    async def load(number):
        return number

    decorated = aiocache.cached(cache=SIMPLE, key_builder=key_builder)(load)
    assert 1 == await decorated(1)
    assert [("load", load)] == seen


async def test_what_a_function_raises_is_raised_and_is_a_miss(recording):
    """The same object; nothing is written."""
    error = LookupError()

    @aiocache.cached(cache=SIMPLE)
    async def fail():
        raise error

    with pytest.raises(LookupError) as raised:
        await fail()
    assert error is raised.value
    assert (0, 1) == results(recording, fail.__qualname__)
    assert 0 == recording.value("cache_writes_total")


@pytest.mark.parametrize("by_name", [True, False])
async def test_several_keys_of_a_decorated_function_count_each(recording, by_name):
    """Named by the function, which is timed once for all keys that it loads."""
    layers = []

    @aiocache.multi_cached("keys", cache=SIMPLE, namespace="several")
    async def load(keys):
        layers.append(counted.get() & 1 << CACHE)
        return {key: key.upper() for key in keys}

    name = load.__qualname__
    for keys in (["a", "b"], ["a", "c"], ["a"]):
        expected = {key: key.upper() for key in keys}
        assert expected == await (load(keys=keys) if by_name else load(keys))
    assert [0, 0] == layers
    assert (2, 3) == results(recording, name)
    assert (0, 0) == results(recording, "several")
    assert 2 == recording.count("cache_load_duration_seconds", cache_name=name)
    assert 3 == recording.count(DURATION, cache_name=name, cache_operation="get_many")
    assert 2 == recording.count(DURATION, cache_name=name, cache_operation="set_many")
    # The library sets what was found, too.
    assert 4 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 4 == recording.value("cache_writes_total")


async def test_what_a_function_of_several_keys_raises_is_raised_after_its_misses(recording):
    """Nothing is left of it in what is asked next."""
    error = LookupError()

    @aiocache.multi_cached("keys", cache=SIMPLE, namespace="several")
    async def fail(keys):
        raise error

    with pytest.raises(LookupError) as raised:
        await fail(keys=["a", "b"])
    assert error is raised.value
    assert (0, 2) == results(recording, fail.__qualname__)
    async with SIMPLE(namespace="several") as cache:
        assert [None] == await cache.multi_get(["a"])
    assert (0, 1) == results(recording, "several")


@pytest.mark.parametrize("decorator", [aiocache.cached, aiocache.cached_stampede])
async def test_an_error_of_the_cache_is_neither_hit_nor_miss(recording, decorator):
    """Although the library calls the function, as if nothing had been found."""

    class Broken(SIMPLE):
        async def _get(self, *args, **kwargs):
            raise ConnectionError

    @decorator(cache=Broken)
    async def load():
        return "value"

    assert "value" == await load()
    name = load.__qualname__
    assert (0, 0) == results(recording, name)
    assert 1 == recording.count(DURATION, cache_name=name, error_type="ConnectionError")
    assert 1 == recording.count("cache_load_duration_seconds", cache_name=name)


async def test_an_error_in_what_a_function_asks_is_not_the_error_of_its_cache(recording):
    """The function handles it."""

    class Broken(SIMPLE):
        async def _get(self, *args, **kwargs):
            raise ConnectionError

    @aiocache.cached(cache=SIMPLE)
    async def load():
        with pytest.raises(ConnectionError):
            await Broken(namespace="broken").get("a")
        return "value"

    assert "value" == await load()
    assert (0, 1) == results(recording, load.__qualname__)
    assert 1 == recording.count(DURATION, cache_name="broken", error_type="ConnectionError")


async def test_what_is_not_kept_is_no_write(recording):
    """As the application says in either way; what is kept later is one."""

    @aiocache.cached(cache=SIMPLE, skip_cache_func=lambda value: value is None, key="a")
    async def load(value):
        return value

    assert None is await load(None)
    assert 1 == await load(1, cache_write=False)
    assert 0 == recording.value("cache_writes_total")
    before = asyncio.all_tasks()
    assert 2 == await load(2, aiocache_wait_for_write=False)
    await asyncio.gather(*(asyncio.all_tasks() - before))
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 2 == await load(3)
    assert (1, 3) == results(recording, load.__qualname__)


@pytest.mark.parametrize("plugin", [HitMissRatioPlugin, TimingPlugin])
async def test_plugins_see_the_application_s_arguments_and_results(recording, plugin):
    """One that counts hits itself counts the same."""
    async with SIMPLE(plugins=[plugin()]) as cache:
        await cache.set("a", 0)
        assert 0 == await cache.get("a")
        assert None is await cache.get("absent")
        assert "default" == await cache.get("absent", default="default")
        assert [0, None] == await cache.multi_get(["a", "absent"])
        assert (2, 3) == results(recording)
        if plugin is HitMissRatioPlugin:
            assert (3, 5) == (cache.hit_miss_ratio["hits"], cache.hit_miss_ratio["total"])


async def test_a_value_that_equals_the_default_is_a_hit(recording, cache):
    """By position or by name."""
    await cache.set("a", 0, ttl=60)
    assert 0 == await cache.get("a", 0)
    assert 0 == await cache.get("a", default=0)
    assert 0 == await cache.get("absent", 0)
    assert (2, 1) == results(recording)


async def test_a_cache_that_is_disabled_finds_nothing(recording, monkeypatch):
    """Its answers are the library's, also in place of the default."""
    async with SIMPLE() as cache:
        await cache.set("a", 1)
        monkeypatch.setenv("AIOCACHE_DISABLE", "1")
        assert None is await cache.get("a", "default")
    assert (0, 1) == results(recording)


async def test_keys_that_can_be_taken_once_are_all_counted(recording):
    """And reach the library all the same."""
    async with SIMPLE() as cache:
        await cache.multi_set((key, key.upper()) for key in "ab")
        assert ["A", None, "B"] == await cache.multi_get(key for key in "acb")
    assert 2 == recording.value("cache_writes_total")
    assert (2, 1) == results(recording)


@pytest.mark.parametrize(
    ("default", "given", "lasting"),
    [
        (60, {}, False),
        (60, {"ttl": SENTINEL}, False),
        (60, {"ttl": None}, True),
        (60, {"ttl": 0}, True),
        (None, {}, True),
        (None, {"ttl": SENTINEL}, True),
        (None, {"ttl": 5}, False),
    ],
)
async def test_times_to_live_are_those_of_the_library(recording, default, given, lasting):
    """Not given is the default of the cache; none, or 0, is for ever."""
    account = Account(perf_counter())
    token = current.set(account)
    async with SIMPLE(ttl=default) as cache:
        await cache.set("a", 1, **given)
        assert lasting == bool(account.lookups and account.lookups.lasting)
        await cache.delete("a")
    current.reset(token)


async def test_calls_at_once_keep_their_time_in_their_request(recording):
    """The loader's time is the application's own."""

    @aiocache.cached(cache=SIMPLE)
    async def load(number):
        await asyncio.sleep(0.01)
        return number

    account = Account(perf_counter())
    token = current.set(account)
    assert [0, 1, 2] == await asyncio.gather(*(load(number) for number in range(3)))
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert 0.01 <= breakdown.seconds[0]
    assert (0, 3) == results(recording, load.__qualname__)
