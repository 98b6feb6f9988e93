"""cachetools: lookups of functions, methods and objects, their loaders, and what stays as it is."""

import copy
import functools
import gc
import importlib.util
import operator
import os
import pickle
import sys
import threading
from contextlib import contextmanager
from time import perf_counter

import cachetools
import cachetools.func
import cachetools.keys
import pytest
import redis

from perfsdk import guard
from perfsdk.catalog import LABEL_BOUNDS
from perfsdk.integrations import cachetools as integration
from perfsdk.integrations import redis as redis_integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping import decorated, entries
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract
from tests.servers import wait_until

DURATIONS = "cache_operation_duration_seconds"
LOADS = "cache_load_duration_seconds"
REQUESTS = "cache_requests_total"

CLOSURES = importlib.util.find_spec("cachetools._decorator") is None
needs_classes = pytest.mark.skipif(CLOSURES, reason="decorators are closures before version 8")
HAS_CONDITION = int(cachetools.__version__.split(".")[0]) >= 6
needs_condition = pytest.mark.skipif(not HAS_CONDITION, reason="new in version 6")

OBJECTS = {
    "Cache": cachetools.Cache,
    "FIFOCache": cachetools.FIFOCache,
    "LFUCache": cachetools.LFUCache,
    "LRUCache": cachetools.LRUCache,
    "RRCache": cachetools.RRCache,
    "TLRUCache": lambda size: cachetools.TLRUCache(size, lambda _key, _value, now: now + 60),
    "TTLCache": lambda size: cachetools.TTLCache(size, 60),
}


class Shelf(cachetools.LRUCache):
    """A subclass at module level, so that it can be pickled."""


class Client:
    """A function decorated in a cache of its own, and the keys that were loaded."""

    def __init__(self):
        self.loaded = []
        self.cache = cachetools.TTLCache(100, 60)
        self.load = cachetools.cached(self.cache)(self._load)

    def _load(self, key):
        self.loaded.append(key)
        if key == "broken":
            raise ValueError("broken on purpose")
        return f"value of {key}"


class TestCachetools(IntegrationContract):
    """A decorated function: what is observed of a call is its loader, a lookup is only counted."""

    library = "cachetools"
    metric = LOADS
    labels = {  # noqa: RUF012 - as the contract has it
        "cache_system": "cachetools",
        "cache_name": "Client._load",
    }
    error_type = "ValueError"
    bounded = {  # noqa: RUF012 - as the contract has it
        "cache_system": {"cachetools"},
        "cache_name": {"Client._load"},
    }
    component = CACHE
    result = "value of key"
    existing_clients_are_not_measured = "their loaders are not" if CLOSURES else ""

    def owners(self):
        """The module, its classes, and what decorated functions are made of."""
        names = integration.CLASSES + integration.TIMED_CLASSES
        classes = [vars(cachetools)[name] for name in names if name in vars(cachetools)]
        decorators = sys.modules.get("cachetools._decorator")
        mixins = [vars(decorators)[f"{n}Mixin"] for n in integration.DECORATED if decorators]
        return [cachetools, cachetools.func, *classes, *mixins]

    @contextmanager
    def client(self):
        """A decorated function of its own."""
        yield Client()

    def succeed(self, client):
        """A miss at first, then a hit."""
        return client.load("key")

    def succeed_inside_with(self, client):
        """While the cache's clock stands still."""
        with client.cache.timer:
            return client.load("key")

    def fail(self, client):
        """A key that cannot be loaded."""
        client.load("broken")

    def vary(self, client, number):
        """Another key."""
        client.load(number)

    @contextmanager
    def watch(self, client):
        """The keys that were loaded."""
        client.loaded.clear()
        yield client.loaded

    async def test_a_success_is_observed_once(self, recording, patch):
        """A miss and a hit are one load, a miss and a hit."""
        patch(recording.recorder)
        with self.client() as client:
            self.succeed(client)
            self.succeed(client)
        assert 1 == recording.count(LOADS, **self.labels)
        for result in ("hit", "miss"):
            assert 1 == recording.value(REQUESTS, **self.labels, cache_result=result)

    async def test_a_failure_is_observed_once_and_raised_as_it_is(self, recording, patch):
        """The application gets the exception object of its loader, whose time is known."""
        with self.client() as client:
            bare = await self._failure(client)
        patch(recording.recorder)
        problem = ValueError("broken on purpose")

        @cachetools.cached(cachetools.LRUCache(10))
        def load(key):
            raise problem

        with pytest.raises(ValueError, match="on purpose") as caught:
            load(1)
        assert problem is caught.value
        assert type(bare.__context__) is type(problem.__context__)
        assert 1 == recording.count(LOADS, cache_name=qualified(load))

    async def test_time_and_calls_flow_into_the_request(self, recording, patch):
        """A lookup in the memory of the process is no call: the time stays the application's."""
        patch(recording.recorder)
        with self.client() as client:
            account = Account(perf_counter())
            token = current.set(account)
            self.succeed(client)
            current.reset(token)
        assert account.close(perf_counter()) is None


class Measured:
    """A recording of what cachetools does, asked in short."""

    def __init__(self):
        self.recording = Recording()
        self.patches = Patches()
        integration.patch(cachetools, self.patches, self.recording.recorder)

    def lookups(self, name):
        """Hits and misses under a name."""
        values = (
            self.recording.value(REQUESTS, cache_name=name, cache_result=result)
            for result in ("hit", "miss")
        )
        return tuple(map(int, values))

    def names(self):
        """The names under which lookups counted."""
        return {series["cache_name"] for series in self.recording.series(REQUESTS)}

    def loads(self, name):
        """How many loaders were timed."""
        return self.recording.count(LOADS, cache_name=name)

    def removals(self, **labels):
        """How many entries the library removed."""
        return self.recording.value("cache_removals_total", **labels)

    def entries(self, name):
        """How many entries there are and may be, as the sampler writes them."""
        self.recording.recorder.sample()
        return tuple(
            self.recording.value(metric, cache_name=name)
            for metric in ("cache_entries", "cache_max_entries")
        )


@pytest.fixture
def measured():
    """cachetools, measured from here on."""
    measured = Measured()
    yield measured
    measured.patches.undo()
    measured.recording.close()


def qualified(function):
    """The name of a function in a test."""
    return function.__qualname__


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_a_lookup_in_an_object_counts_once(measured, make):
    """`cache[key]` and `get` are one hit or miss each, whatever the classes call below."""
    cache = make(10)
    name = type(cache).__name__
    cache["none"] = None
    cache["zero"] = 0
    assert cache["none"] is None
    assert 0 == cache.get("zero", 1)
    assert (2, 0) == measured.lookups(name)
    with pytest.raises(KeyError):
        cache["absent"]
    assert cache.get("absent") is None
    assert 5 == cache.get("absent", 5)
    assert 6 == cache.get("absent", default=6)
    assert 0 == cache.get(key="zero", default=6)
    assert (3, 4) == measured.lookups(name)
    assert [] == measured.recording.series(DURATIONS)
    assert {name} == measured.names()


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_what_the_library_does_on_its_own_account_is_no_lookup(measured, make):
    """Evicting, expiring, popping, setting defaults and iterating count nothing."""
    cache = make(3)
    for number in range(20):
        cache[number] = number
    assert 3 == len(list(cache.items()))
    assert 3 == len(list(cache.values()))
    key = next(iter(cache))
    assert key == cache.setdefault(key, 0)
    assert key in cache
    assert key == cache.pop(key)
    assert cache.pop("absent", None) is None
    cache.popitem()
    cache.update({"a": 1})
    assert cache == dict(cache.items())
    cache.clear()
    assert set() == measured.names()


def test_expired_entries_are_misses(measured):
    """What a cache does not give any more is a miss."""
    now = [0]
    cache = cachetools.TTLCache(10, 5, timer=lambda: now[0])
    cache["key"] = "value"
    assert "value" == cache["key"]
    now[0] = 5
    assert cache.get("key") is None
    with pytest.raises(KeyError):
        cache["key"]
    assert (1, 2) == measured.lookups("TTLCache")


def test_an_error_is_neither_hit_nor_miss(measured):
    """A key without a hash is an error of the lookup, which counts nothing."""
    cache = cachetools.LRUCache(10)
    for look_up in (cache.__getitem__, cache.get):
        with pytest.raises(TypeError):
            look_up([])
    with pytest.raises(TypeError):
        cachetools.cached(cache)(str)([])
    assert set() == measured.names()


VARIANTS = {
    "plain": {},
    "lock": {"lock": threading.RLock()},
    "info": {"info": True},
    "lock and info": {"lock": threading.RLock(), "info": True},
}
if HAS_CONDITION:
    condition = threading.Condition()
    VARIANTS |= {
        "condition": {"condition": condition},
        "condition and info": {"condition": condition, "info": True},
        "condition, lock and info": {
            "condition": condition,
            "lock": condition,
            "info": True,
        },
    }


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_decorated_function_counts_under_its_name(measured, options, when):
    """Decorated before or after: hits, misses and entries are the function's, once each."""
    if when == "before":
        measured.patches.undo()
    cache = cachetools.LRUCache(10)

    @cachetools.cached(cache, **options)
    def load(key):
        return key * 2

    if when == "before":
        integration.patch(cachetools, measured.patches, measured.recording.recorder)
    assert [2, 2, 4, 2] == [load(1), load(1), load(2), load(1)]
    name = qualified(load)
    assert {name} == measured.names()
    assert (2, 2) == measured.lookups(name)
    assert (2, 10) == measured.entries(name)
    assert (0 if CLOSURES and when == "before" else 2) == measured.loads(name)
    if "info" in options:
        assert (2, 2, 10, 2) == tuple(load.cache_info())
    load.cache_clear()
    assert 2 == load(1)
    assert (2, 3) == measured.lookups(name)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("locked", [False, True])
def test_a_decorated_method_counts_under_its_name(measured, when, locked):
    """All objects together, and their caches add up."""
    if when == "before":
        measured.patches.undo()

    class Shop:
        def __init__(self):
            self.cache = cachetools.LRUCache(10)
            self.lock = threading.RLock()

        @cachetools.cachedmethod(
            operator.attrgetter("cache"), lock=operator.attrgetter("lock") if locked else None
        )
        def price(self, item):
            return item * 2

    first, second = Shop(), Shop()
    assert 2 == first.price(1)
    if when == "before":
        integration.patch(cachetools, measured.patches, measured.recording.recorder)
    expected = (2, 2) if when == "before" else (2, 3)
    assert [2, 2, 4, 2] == [first.price(1), second.price(1), first.price(2), second.price(1)]
    name = "test_a_decorated_method_counts_under_its_name.<locals>.Shop.price"
    assert expected == measured.lookups(name)
    assert {name} == measured.names()
    assert (3, 20) == measured.entries(name)
    del first
    gc.collect()
    assert (1, 10) == measured.entries(name)


@needs_classes
def test_methods_with_info_and_condition_count(measured):
    """Every combination that `cachedmethod` has is measured, and tells the same about itself."""

    class Shop:
        def __init__(self):
            self.cache = cachetools.LRUCache(10)
            self.condition = threading.Condition()

        @cachetools.cachedmethod(
            operator.attrgetter("cache"), condition=operator.attrgetter("condition"), info=True
        )
        def price(self, item):
            return item * 2

    shop = Shop()
    assert [2, 2, 2] == [shop.price(1), shop.price(1), Shop.price(shop, 1)]
    assert (2, 1, 10, 1) == tuple(shop.price.cache_info())
    assert (2, 1) == measured.lookups(Shop.price.__qualname__)


@pytest.mark.parametrize("name", ["fifo_cache", "lfu_cache", "lru_cache", "rr_cache", "ttl_cache"])
def test_decorators_of_cachetools_func_count(measured, name):
    """The decorators made like those of functools are measured too."""

    @getattr(cachetools.func, name)(maxsize=5)
    def load(key):
        return key

    assert [1, 1] == [load(1), load(1)]
    assert (1, 1) == measured.lookups(qualified(load))
    assert (1, 5) == measured.entries(qualified(load))
    assert (1, 1, 5, 1) == tuple(load.cache_info())


@needs_classes
def test_a_decorated_function_counts_whatever_holds_its_values(measured):
    """A dict has no class of ours to change; the loader tells hit from miss."""

    @cachetools.cached({})
    def load(key):
        return key

    assert [1, 1, 2] == [load(1), load(1), load(2)]
    assert (1, 2) == measured.lookups(qualified(load))
    assert 2 == measured.loads(qualified(load))
    assert (0, 0) == measured.entries(qualified(load))


def test_two_functions_in_one_cache_count_apart(measured):
    """The name is the function's, not the cache's."""
    cache = cachetools.LRUCache(10)

    @cachetools.cached(cache, key=functools.partial(cachetools.keys.hashkey, "a"))
    def first(key):
        return key

    @cachetools.cached(cache, key=functools.partial(cachetools.keys.hashkey, "b"))
    def second(key):
        return key

    assert [1, 1, 1] == [first(1), second(1), second(1)]
    assert (0, 1) == measured.lookups(qualified(first))
    assert (1, 1) == measured.lookups(qualified(second))


@needs_classes
def test_a_function_given_another_cache_uses_that(measured):
    """Whatever is assigned to `cache` is asked from then on, and its entries count."""
    first, second = cachetools.LRUCache(10), cachetools.LRUCache(20)

    @cachetools.cached(first)
    def load(key):
        return key

    assert [1, 1] == [load(1), load(1)]
    load.cache = second
    assert [1, 1] == [load(1), load(1)]
    assert [1, 1] == [len(first), len(second)]
    assert (2, 2) == measured.lookups(qualified(load))
    assert (2, 30) == measured.entries(qualified(load))


@needs_classes
def test_a_cache_replaced_while_it_loads_gets_the_value_that_is_late(measured):
    """What is loaded for the cache of before must not get into the new one."""

    class Shop:
        def __init__(self):
            self.cache = cachetools.LRUCache(10)

        @cachetools.cachedmethod(operator.attrgetter("cache"))
        def price(self, item):
            self.cache = cachetools.LRUCache(10)
            return item

    shop = Shop()
    before = shop.cache
    assert 1 == shop.price(1)
    assert [1, 0] == [len(before), len(shop.cache)]
    assert (0, 1) == measured.lookups(Shop.price.__qualname__)


@needs_classes
def test_the_getter_of_a_method_s_cache_is_called_as_ever(measured):
    """Once a call, whether it hits or not."""
    asked = []

    class Shop:
        cache = cachetools.LRUCache(10)

        @cachetools.cachedmethod(lambda self: asked.append(1) or self.cache)
        def price(self, item):
            return item

    shop = Shop()
    assert [1, 1, 1] == [shop.price(1), shop.price(1), shop.price(1)]
    assert 3 == len(asked)
    assert (2, 1) == measured.lookups(Shop.price.__qualname__)


def test_a_decorated_function_decorated_again_counts_apart(measured):
    """The outer one is made of the attributes of the inner, and has a cache of its own."""

    def load(key):
        return key

    inner = cachetools.cached(cachetools.LRUCache(10))(load)
    assert [1, 1] == [inner(1), inner(1)]
    cache = cachetools.LRUCache(10)
    outer = cachetools.cached(cache)(inner)
    assert [1, 1, 1] == [outer(1), outer(1), inner(1)]
    assert 1 == len(cache)
    # Of the name that they share: the outer missed and asked the inner, then hit.
    assert (4, 2) == measured.lookups(qualified(load))


@needs_classes
def test_code_that_is_made_in_another_way_is_refused():
    """A library that does more with its cache than is known is left alone, and says so."""

    class Mixin:
        def __call__(self, key):
            return self.cache.peek(key) or self.__func(key)

    with pytest.raises(LookupError, match="not known"):
        decorated.Decorated("_Mixin__func", None).patch(Mixin, Patches())


def test_a_cache_inside_of_an_object_with_the_same_methods_counts_once(measured):
    """An application's own `__getitem__` and `get` around a cache are its callers."""

    class Shop:
        def __init__(self):
            self.prices = cachetools.TTLCache(10, 60)

        def __getitem__(self, item):
            return self.prices[item]

        def get(self, item):
            return self.prices.get(item)

    shop = Shop()
    shop.prices["a"] = 1
    assert [1, 1, 1, None] == [shop["a"], shop["a"], shop.get("a"), shop.get("b")]
    with pytest.raises(KeyError):
        shop["b"]
    assert (3, 2) == measured.lookups("TTLCache")


def test_a_cache_that_loads_whatever_is_asked_is_a_miss_by_get_too(measured):
    """`get` of a cache that has every key by its own account calls the loader."""

    class Filled(cachetools.LRUCache):
        def __contains__(self, key):
            return True

        def __missing__(self, key):
            self[key] = value = key * 2
            return value

    cache = Filled(10)
    assert ["aa", "aa", "aa"] == [cache.get("a"), cache.get("a"), cache["a"]]
    assert (2, 1) == measured.lookups(Filled.__qualname__)
    assert 1 == measured.loads(Filled.__qualname__)


def test_hits_in_a_forked_process_count_once(measured):
    """A child has a file of its own: over all files no hit is lost, and none counts twice."""
    cache = cachetools.LRUCache(10)
    cache["a"] = 1

    @cachetools.cached(cachetools.LRUCache(10))
    def load(key):
        return key

    assert [1, 1, 1] == [cache["a"], load(1), load(1)]
    if (child := os.fork()) == 0:
        status = 1
        try:
            status = int([1, 1] != [cache["a"], load(1)])
        finally:
            os._exit(status)
    assert (child, 0) == os.waitpid(child, 0)
    assert (2, 0) == measured.lookups("LRUCache")
    assert (2, 1) == measured.lookups(qualified(load))


def test_recursion_counts_each_call(measured):
    """A loader that calls its own function is a lookup within a load, not within a lookup."""

    @cachetools.cached(cachetools.LRUCache(100))
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert 6765 == fibonacci(20)
    assert (18, 21) == measured.lookups(qualified(fibonacci))
    assert 21 == measured.loads(qualified(fibonacci))


def test_a_loader_that_raises_is_a_miss_with_a_cost(measured):
    """The exception object is the loader's own, and the miss took the time it took."""
    problem = RuntimeError("closed")

    @cachetools.cached(cachetools.LRUCache(10))
    def load(key):
        raise problem

    with pytest.raises(RuntimeError) as caught:
        load(1)
    assert problem is caught.value
    assert (0, 1) == measured.lookups(qualified(load))
    assert 1 == measured.loads(qualified(load))


def test_a_value_too_large_to_keep_is_a_miss_each_time(measured):
    """What the cache refuses is loaded again, as ever."""

    @cachetools.cached(cachetools.LRUCache(1, getsizeof=len))
    def load(key):
        return "too large"

    assert ["too large"] * 2 == [load(1), load(1)]
    assert (0, 2) == measured.lookups(qualified(load))
    assert 2 == measured.loads(qualified(load))


def test_missing_is_a_loader(measured):
    """A subclass that fills itself: the first lookup is a miss with a cost, the next a hit."""

    class Filled(cachetools.LRUCache):
        def __missing__(self, key):
            self[key] = value = key * 2
            return value

    cache = Filled(10)
    assert ["aa", "aa", "bb"] == [cache["a"], cache["a"], cache["b"]]
    assert cache.get("c") is None
    name = Filled.__qualname__
    assert (1, 3) == measured.lookups(name)
    assert 2 == measured.loads(name)
    measured.patches.undo()
    assert not hasattr(Filled.__missing__, "__wrapped__")


def test_a_missing_that_only_raises_is_no_loader(measured):
    """A KeyError of the application's own words is a miss, and no load."""

    class Strict(cachetools.LRUCache):
        def __missing__(self, key):
            raise KeyError(f"no {key} here")

    with pytest.raises(KeyError, match="no key here"):
        Strict(10)["key"]
    assert (0, 1) == measured.lookups(Strict.__qualname__)
    assert 0 == measured.loads(Strict.__qualname__)


class Louder(cachetools.LRUCache):
    """An application's cache, which tells what it is asked."""

    def __init__(self, calls):
        super().__init__(2)
        self.calls = calls

    def __getitem__(self, key):
        self.calls.append(("getitem", key))
        return super().__getitem__(key).upper()

    def popitem(self):
        key, value = super().popitem()
        self.calls.append(("popitem", key))
        return key, value


def test_a_subclass_that_overrides_counts_once_and_works(measured):
    """Overrides are called as often as without us, and what they answer is the answer."""

    def use():
        calls = []
        cache = Louder(calls)
        cache.update(a="a", b="b")
        calls += [cache["a"], cache.get("b"), cache.get("c", "none")]
        with pytest.raises(KeyError):
            cache["c"]
        calls.append(cache.pop("a"))
        cache.update(c="c", d="d")
        return calls

    calls = use()
    assert (2, 2) == measured.lookups("Louder")
    measured.patches.undo()
    assert use() == calls


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_caches_keep_their_types_and_can_be_copied(measured, make):
    """Nothing is added to a cache that has been looked into."""
    cache = make(10)
    cache["key"] = "value"
    before = set(vars(cache))
    assert "value" == cache["key"]
    assert before == set(vars(cache))
    assert type(cache) is getattr(cachetools, type(cache).__name__)
    assert isinstance(cache, cachetools.Cache)
    copied = copy.copy(cache)
    assert type(cache) is type(copied)
    assert "value" == copied["key"]


def test_caches_can_be_pickled(measured):
    """A cache and a subclass travel as ever."""
    shelf = Shelf(10)
    shelf["key"] = "value"
    assert "value" == shelf["key"]
    for other in (pickle.loads(pickle.dumps(shelf)), copy.deepcopy(shelf)):
        assert type(other) is Shelf
        assert "value" == other["key"]
    assert (3, 0) == measured.lookups("Shelf")


@cachetools.cached(cachetools.LRUCache(10))
def at_module_level(key, *, other=1):
    """Decorated before any test."""
    return key


def test_a_decorated_function_looks_the_same(measured):
    """Name, documentation, wrapped function and attributes are those without us; it pickles."""
    cache = cachetools.LRUCache(10)

    def load(key, *, other=1):
        """Load."""

    decorated = cachetools.cached(cache)(load)
    assert load is decorated.__wrapped__
    assert (load.__name__, load.__doc__) == (decorated.__name__, decorated.__doc__)
    assert cache is decorated.cache
    assert cachetools.keys.hashkey is decorated.cache_key
    assert decorated.cache_lock is None
    assert 1 == at_module_level(1)
    assert at_module_level is pickle.loads(pickle.dumps(at_module_level))


@needs_classes
def test_undo_takes_the_loaders_out(measured):
    """A function decorated before is afterwards made of the same objects as before."""
    before = dict(vars(at_module_level))
    assert 7 == at_module_level(7)
    assert before != vars(at_module_level)
    measured.patches.undo()
    assert before == vars(at_module_level)
    assert 7 == at_module_level(7)
    assert (0, 1) == measured.lookups("at_module_level")


def test_functions_decorated_meanwhile_are_left_to_themselves_afterwards(measured):
    """After the undo nothing is recorded and everything works."""

    @cachetools.cached(cachetools.LRUCache(10))
    def load(key):
        return key

    assert 1 == load(1)
    measured.patches.undo()
    assert [1, 2] == [load(1), load(2)]
    assert (0, 1) == measured.lookups(qualified(load))
    assert 1 == measured.loads(qualified(load))


@needs_condition
def test_a_stampede_is_held_back_as_ever(measured):
    """One thread loads, the others wait and hit."""
    loading, release, results = threading.Event(), threading.Event(), []

    @cachetools.cached(cachetools.LRUCache(10), condition=threading.Condition(), info=True)
    def load(key):
        loading.set()
        assert release.wait(10)
        return key

    threads = [threading.Thread(target=lambda: results.append(load(1))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert loading.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)
    assert [1] * 5 == results
    assert (4, 1) == tuple(load.cache_info())[:2]
    assert (4, 1) == measured.lookups(qualified(load))
    assert 1 == measured.loads(qualified(load))


@needs_condition
def test_a_call_that_waits_while_it_is_undone_ends_as_ever(measured):
    """Whoever is in a decorated function when the measuring stops sees nothing of it."""
    loading, release, results = threading.Event(), threading.Event(), []

    @cachetools.cached(cachetools.LRUCache(10), condition=threading.Condition())
    def load(key):
        if not loading.is_set():
            loading.set()
            assert release.wait(10)
            raise ValueError("closed")
        return key

    def call():
        try:
            results.append(load(1))
        except ValueError as problem:
            results.append(str(problem))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert loading.wait(10)
    measured.patches.undo()
    release.set()
    for thread in threads:
        thread.join(10)
    assert ["closed", 1, 1] == sorted(results, key=lambda result: result == 1)
    assert [1, 1] == [load(1), load(1)]


def test_many_threads_lose_no_count(measured):
    """Hits of several threads at once all count."""
    cache = cachetools.LRUCache(10)
    cache["key"] = 1

    @cachetools.cached(cachetools.LRUCache(10), lock=threading.RLock())
    def load(key):
        return key

    load(1)

    def look_up():
        for _ in range(2000):
            load(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (8000, 1) == measured.lookups(qualified(load))


def test_a_loader_s_calls_and_time_are_its_own(measured, redis_server):
    """A Redis GET in a loader counts as Redis, and the loader's time is not the cache's."""
    redis_integration.patch(redis, measured.patches, measured.recording.recorder)
    account = Account(perf_counter())
    with redis.Redis.from_url(redis_server.url) as client:
        client.ping()

        @cachetools.cached(cachetools.LRUCache(10))
        def load(key):
            client.delete(key)
            answer = client.get(key)
            deadline = perf_counter() + 0.02
            wait_until(lambda: perf_counter() > deadline)
            return answer

        token = current.set(account)
        assert [None, None] == [load("key"), load("key")]
        current.reset(token)
    breakdown = account.close(perf_counter())
    assert (1, 1) == measured.lookups(qualified(load))
    assert (0, 1) == measured.lookups("default")
    assert 2 == measured.recording.count(
        DURATIONS, cache_system="redis", cache_operation="get"
    ) + measured.recording.count(DURATIONS, cache_system="redis", cache_operation="delete")
    # The two calls of Redis: a lookup here is none.
    assert 2 == breakdown.calls[CACHE]
    assert breakdown.seconds[CACHE] < measured.recording.sum(LOADS)
    assert breakdown.seconds[0] >= 0.02


def test_a_layer_above_counts_alone(measured):
    """Where a framework's cache has counted the call, cachetools stays silent."""
    cache = cachetools.LRUCache(10)

    @cachetools.cached(cache)
    def load(key):
        return key

    token = counted.set(1 << CACHE)
    assert [1, 1] == [load(1), load(1)]
    assert cache.get(2) is None
    counted.reset(token)
    assert set() == measured.names()
    assert 0 == measured.recording.count(LOADS)
    assert 1 == load(1)
    assert (1, 0) == measured.lookups(qualified(load))


def test_entries_are_those_held_now_and_caches_are_not_kept(measured):
    """Caches of one name add up, and one that is gone does not count."""
    first, second = cachetools.LRUCache(10), cachetools.LRUCache(5)
    first.update(a=1, b=2)
    second.update(a=1)
    assert (1, 1) == (first["a"], second["a"])
    assert (3, 15) == measured.entries("LRUCache")
    del first
    gc.collect()
    assert (1, 5) == measured.entries("LRUCache")
    del second
    gc.collect()
    assert (0, 0) == measured.entries("LRUCache")


def test_reading_the_entries_changes_no_cache(measured):
    """The sampler has not the application's lock: it must not expire anything, nor ask it."""
    now, asked = [0], []

    def timer():
        asked.append(now[0])
        return now[0]

    cache = cachetools.TTLCache(10, 5, timer=timer)
    cache["key"] = "value"
    assert "value" == cache["key"]
    now[0] = 100
    asked.clear()
    assert (1, 10) == measured.entries("TTLCache")
    assert [] == asked


@pytest.mark.parametrize(
    "make",
    [
        lambda: cachetools.LRUCache(100, getsizeof=len),
        lambda: cachetools.LRUCache(float("inf")),
    ],
    ids=["sizes", "no bound"],
)
def test_a_limit_that_is_no_number_of_entries_is_absent(measured, make):
    """Sizes of the application's own making, and no limit, are not shown as entries."""
    cache = make()
    cache["key"] = "value"
    assert "value" == cache["key"]
    measured.recording.recorder.sample()
    assert 1 == measured.recording.value("cache_entries")
    assert [] == measured.recording.series("cache_max_entries")


def test_the_number_of_caches_remembered_is_bounded(measured, monkeypatch):
    """Beyond the bound lookups still count, entries do not."""
    monkeypatch.setattr(entries, "MAX_CACHES", 2)
    caches = [cachetools.LRUCache(10) for _ in range(4)]
    for cache in caches:
        cache["key"] = 1
        assert 1 == cache["key"]
    assert (4, 0) == measured.lookups("LRUCache")
    assert (2, 20) == measured.entries("LRUCache")


def test_names_beyond_the_bound_share_one_series(measured):
    """However many functions are decorated, the names stay bounded and no count is lost."""

    def decorated(number):
        def load(key):
            return key

        load.__qualname__ = f"load_{number}"
        return cachetools.cached(cachetools.LRUCache(10))(load)

    bound = LABEL_BOUNDS["cache_name"]
    for number in range(bound + 10):
        load = decorated(number)
        assert [1, 1] == [load(1), load(1)]
    assert bound + 1 == len(measured.names())
    assert (10, 10) == measured.lookups("<overflow>")


@pytest.mark.usefixtures("swallow_errors")
def test_a_sample_that_fails_does_not_stop_the_others():
    """One cache that cannot be read is reported, and the next source is sampled."""
    errors, sampled = [], []
    guard.count_error = errors.append
    with Recording() as recording:

        def broken():
            raise RuntimeError("broken on purpose")

        undo = recording.recorder.on_sample(broken)
        recording.recorder.on_sample(lambda: sampled.append(1))
        recording.recorder.sample()
        undo()
        recording.recorder.sample()
    assert ["recorder.sample"] == errors
    assert [1, 1] == sampled


@pytest.mark.parametrize("name", ["FIFOCache", "LFUCache", "LRUCache", "RRCache", "TTLCache"])
def test_what_gives_way_is_evicted(measured, name):
    """Only what the library removes for room: `popitem` by the application is its own."""
    cache = OBJECTS[name](2)
    assert None is cache.get("a")
    for key in "abcd":
        cache[key] = key
    cache.popitem()
    assert 2 == measured.removals(cache_name=name, reason="evicted")
    assert 2 == measured.removals()


def test_what_ran_out_is_expired(measured):
    """When the library notices it."""
    now = [0.0]
    cache = cachetools.TTLCache(5, 10, timer=lambda: now[0])
    assert None is cache.get("a")
    cache["a"] = cache["b"] = 1
    now[0] = 11.0
    assert 0 == len(cache)
    cache["c"] = 1
    assert 2 == measured.removals(cache_name="TTLCache", reason="expired")
    assert 2 == measured.removals()


def test_a_cleared_cache_is_counted_once(measured):
    """However many entries it had; before it was a method of the library, it is not."""
    cache = cachetools.TTLCache(5, 60)
    assert None is cache.get("a")
    cache["a"] = cache["b"] = 1
    cache.clear()
    expected = 1 if "clear" in vars(cachetools.Cache) else 0
    assert expected == measured.removals(cache_name="TTLCache", reason="cleared")
    assert expected == measured.removals()


def test_what_a_loader_gave_is_one_write(measured):
    """A loader that raised gave nothing."""
    client = Client()
    client.load("a")
    client.load("a")
    name = Client._load.__qualname__
    pattern = {"cache_pattern": "read_through", "cache_name": name}
    assert 1 == measured.recording.value("cache_writes_total", **pattern)
