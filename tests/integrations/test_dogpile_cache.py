"""dogpile.cache: regions in memory, on a real memcached and a real Redis."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from time import perf_counter

import dogpile.cache
import pymemcache
import pytest
import redis
from dogpile.cache.api import NO_VALUE

from perfsdk.integrations import dogpile_cache as integration
from perfsdk.integrations import pymemcache as pymemcache_integration
from perfsdk.integrations import redis as redis_integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract
from tests.servers import HOST

DURATION = "cache_operation_duration_seconds"
REGION = dogpile.cache.CacheRegion


def in_memory(name="pages"):
    """A region in the memory of the process."""
    return dogpile.cache.make_region(name=name).configure("dogpile.cache.memory")


class TestContract(IntegrationContract):
    """The contract on `get`, in the memory of the process."""

    library = "dogpile.cache"
    metric = DURATION
    labels = {  # noqa: RUF012 - read only
        "cache_system": "dogpile",
        "cache_name": "pages",
        "cache_operation": "get",
    }
    error_type = "TypeError"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"dogpile"},
        "cache_name": {"pages"},
        "cache_operation": {"get", "set"},
        "error_type": {"", "TypeError"},
    }
    component = CACHE
    result = "value"

    def owners(self):
        return [dogpile.cache, REGION]

    @contextmanager
    def client(self):
        region = in_memory()
        region.set("key", "value")
        yield region

    def succeed(self, client):
        return client.get("key")

    def succeed_inside_with(self, client):
        with client._log_time("key"):
            return client.get("key")

    def fail(self, client):
        client.get([])

    def vary(self, client, number):
        client.get(f"key:{number}")

    @contextmanager
    def watch(self, client):
        """The keys that the backend was asked for."""
        asked = []
        get = client._get_from_backend

        def watched(key):
            asked.append(key)
            return get(key)

        client._get_from_backend = watched
        yield asked
        del client._get_from_backend


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while dogpile and the clients below are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(dogpile.cache, patches, recording.recorder)
        pymemcache_integration.patch(pymemcache, patches, recording.recorder)
        redis_integration.patch(redis, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture(params=["memory", "memcached", "redis"])
def region(request, recording, memcached, redis_server):
    """A measured region of each kind, empty."""
    region = dogpile.cache.make_region(name="pages")
    if request.param == "memory":
        region.configure("dogpile.cache.memory")
    elif request.param == "memcached":
        memcached.flush()
        url = f"{HOST}:{memcached.port}"
        region.configure("dogpile.cache.pymemcache", 60, arguments={"url": [url]})
    else:
        region.configure("dogpile.cache.redis", 60, arguments={"url": redis_server.url})
        region.backend.writer_client.flushall()
    before = {series["cache_system"] for series in recording.series(DURATION)}
    yield region
    systems = {series["cache_system"] for series in recording.series(DURATION)}
    assert {"dogpile"} == systems - before  # what is below was silent


def results(recording, name="pages"):
    """Hits and misses of a region."""
    return tuple(
        recording.value("cache_requests_total", cache_name=name, cache_result=result)
        for result in ("hit", "miss")
    )


def test_each_lookup_counts_its_keys_once(recording, region):
    """On every backend; the answers are the library's own."""
    region.set("a", None)
    region.set_multi({"b": 0, "c": ""})
    assert None is region.get("a")
    assert NO_VALUE is region.get("absent")
    assert (1, 1) == results(recording)
    assert [0, NO_VALUE, ""] == region.get_multi(key for key in ("b", "absent", "c"))
    assert (3, 2) == results(recording)
    region.delete("a")
    region.delete_multi(["b", "c"])
    assert (3, 2) == results(recording)
    assert 3 == recording.value("cache_writes_total")
    assert 3 == recording.value("cache_removals_total", reason="explicit")


def test_get_or_create_is_one_lookup(recording, region):
    """Although the library asks twice under its lock."""
    layers = []

    def create():
        layers.append(counted.get() & 1 << CACHE)
        return "value"

    assert "value" == region.get_or_create("a", create)
    assert "value" == region.get_or_create("a", create)
    assert [0] == layers
    assert (1, 1) == results(recording)
    assert 1 == recording.count("cache_load_duration_seconds", cache_name="pages")
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 2 == recording.count(DURATION, cache_operation="get")


def test_several_keys_at_once_count_each(recording, region):
    """The creator is called for those that are not there."""
    region.set("a", "A")

    def create(*keys):
        return [key.upper() for key in keys]

    assert ["A", "B", "C"] == region.get_or_create_multi(["a", "b", "c"], create)
    assert (1, 2) == results(recording)
    assert ["A", "B"] == region.get_or_create_multi(iter(["a", "b"]), create)
    assert (3, 2) == results(recording)


def test_a_decorated_function_counts_for_its_region(recording, region):
    """Its own ways to refresh and to ask, too."""

    @region.cache_on_arguments()
    def double(number):
        return 2 * number

    assert [2, 2, 4] == [double(1), double(1), double(2)]
    assert (1, 2) == results(recording)
    double.set(5, 1)
    assert 5 == double.get(1)
    double.invalidate(1)
    assert 2 == double(1)
    assert (2, 3) == results(recording)


def test_what_a_creator_raises_is_raised_and_is_a_miss(recording, region):
    """The same object; nothing is written."""
    error = LookupError()

    def fail():
        raise error

    with pytest.raises(LookupError) as raised:
        region.get_or_create("a", fail)
    assert error is raised.value
    assert (0, 1) == results(recording)
    assert 0 == recording.value("cache_writes_total")
    assert 0 == counted.get()


def test_a_region_without_a_name_is_the_default(recording):
    """And one that is not configured raises what the library raises."""
    region = in_memory(name=None)
    region.get("a")
    assert (0, 1) == results(recording, "default")
    with pytest.raises(dogpile.cache.exception.RegionNotConfigured):
        dogpile.cache.make_region().get("a")


def test_threads_that_wait_for_one_creator_are_hits(recording):
    """As the library gives them its value."""
    region = in_memory()
    created, waiting = Event(), Event()

    def create():
        waiting.set()
        assert created.wait(10)
        return "value"

    threads = [Thread(target=region.get_or_create, args=("a", create)) for _ in range(2)]
    threads[0].start()
    assert waiting.wait(10)
    threads[1].start()
    created.set()
    for thread in threads:
        thread.join()
    assert (1, 1) == results(recording)


def test_the_creator_s_time_is_not_charged_to_the_cache(recording):
    """In the request's account it is the application's."""

    def slow():
        until = perf_counter() + 0.02
        while perf_counter() < until:
            pass

    account = Account(perf_counter())
    token = current.set(account)
    in_memory().get_or_create("a", slow)
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert 0.02 <= breakdown.seconds[0]
    assert 2 == breakdown.calls[CACHE]  # before the creator, and after it


def test_what_may_not_be_kept_is_no_write(recording):
    """As `should_cache_fn` decides, by name or by position."""

    def is_something(value):
        return value is not None

    region = in_memory()
    assert None is region.get_or_create("a", lambda: None, should_cache_fn=is_something)
    assert 1 == region.get_or_create("b", lambda: 1, None, is_something)
    created = region.get_or_create_multi(["c", "d"], lambda *_keys: [None, 2], None, is_something)
    assert [None, 2] == created
    assert (0, 4) == results(recording)
    assert 2 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert [NO_VALUE, 1, NO_VALUE, 2] == region.get_multi(["a", "b", "c", "d"])


def test_a_value_made_in_the_background_is_a_load_and_the_old_one_a_hit(recording):
    """The thread that makes it measures afterwards as before."""
    with ThreadPoolExecutor(1) as pool:
        made = []

        def run(region, key, creator, mutex):
            def make():
                region.set(key, creator())
                mutex.release()

            made.append(pool.submit(make))

        region = dogpile.cache.make_region(name="pages", async_creation_runner=run)
        region.configure("dogpile.cache.memory", 1e-9)
        region.set("a", "old")
        account = Account(perf_counter())
        token = current.set(account)
        assert "old" == region.get_or_create("a", lambda: "new")
        current.reset(token)
        made[0].result(10)
        assert (1, 0) == results(recording)
        assert 1 == recording.count("cache_load_duration_seconds", cache_name="pages")
        assert 0 == pool.submit(counted.get).result(10)
        assert NO_VALUE is pool.submit(region.get, "absent").result(10)
        assert (1, 1) == results(recording)
    breakdown = account.close(perf_counter())
    assert 1 == breakdown.calls[CACHE]


def test_a_runner_that_makes_the_value_at_once_is_part_of_the_lookup(recording):
    """The creator was waited for."""

    def run(region, key, creator, mutex):
        region.set(key, creator())
        mutex.release()

    region = dogpile.cache.make_region(name="pages", async_creation_runner=run)
    region.configure("dogpile.cache.memory", 1e-9)
    region.set("a", "old")
    assert "old" == region.get_or_create("a", lambda: "new")
    assert (0, 1) == results(recording)
    assert 0 == counted.get()


def test_keys_that_cannot_be_keys_raise_what_the_library_raises(recording):
    """They are not looked at by us before."""
    with pytest.raises(TypeError) as raised:
        in_memory().get_or_create_multi([[]], list)
    assert "region.py" == raised.traceback[-1].path.name
