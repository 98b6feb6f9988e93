"""A lookup with a loader: one lookup, whose time is without the loader's."""

import asyncio
import inspect
from threading import Thread
from time import perf_counter

import pytest

from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.caches import STAMPEDE, Caches
from perfsdk.wrapping.read_through import BIT, read_through

LOADER_SECONDS = 0.02


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def cache(recording):
    """A cache of the system `dogpile`."""
    return Caches(recording.recorder, "dogpile")["region"]


def results(recording):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result) for result in ("hit", "miss")
    )


def slow(key):
    """A loader that takes its time, and sees whether a layer counts."""
    until = perf_counter() + LOADER_SECONDS
    while perf_counter() < until:
        pass
    return key, counted.get() & BIT


def test_a_lookup_that_does_not_load_is_a_hit(recording, cache):
    """Its layer is left at the end."""
    read = read_through(cache, "a")
    assert BIT == counted.get() & BIT
    read.loading(slow)
    read.end()
    assert 0 == counted.get() & BIT
    assert (1, 0) == results(recording)
    assert 0 == recording.value("cache_writes_total")


def test_a_lookup_that_loads_is_a_miss_and_one_write(recording, cache):
    """The loader's time is what the miss costs, and no part of the lookup."""
    started = perf_counter()
    read = read_through(cache, "a")
    assert ("a", 0) == read.loading(slow)("a")
    assert BIT == counted.get() & BIT
    read.end()
    seconds = perf_counter() - started
    assert (0, 1) == results(recording)
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert LOADER_SECONDS <= recording.sum("cache_load_duration_seconds")
    assert 1 == recording.count("cache_operation_duration_seconds", cache_operation="get")
    assert seconds - LOADER_SECONDS > recording.sum("cache_operation_duration_seconds")


async def test_coroutine_functions_stay_what_they_are(recording, cache):
    """The time ends when the value is there."""

    async def load(key):
        """Document."""
        await asyncio.sleep(0)
        return slow(key)

    read = read_through(cache, "a")
    loading = read.loading(load)
    assert inspect.iscoroutinefunction(loading)
    assert "Document." == loading.__doc__
    assert ("a", 0) == await loading("a")
    read.end()
    assert (0, 1) == results(recording)
    assert LOADER_SECONDS <= recording.sum("cache_load_duration_seconds")


def test_what_the_loader_raises_is_no_error_of_the_cache(recording, cache):
    """It is a miss that was not written; the exception is the same object."""
    error = ValueError()

    def fail():
        raise error

    read = read_through(cache, "a")
    with pytest.raises(ValueError) as raised:
        read.loading(fail)()
    read.end(raised.value)
    assert error is raised.value
    assert (0, 1) == results(recording)
    assert 0 == recording.value("cache_writes_total")
    assert 1 == recording.count("cache_operation_duration_seconds", error_type="")


def test_an_error_of_the_cache_is_neither_hit_nor_miss(recording, cache):
    """It is an operation that failed."""
    read = read_through(cache, "a")
    read.end(ConnectionError())
    assert (0, 0) == results(recording)
    assert 1 == recording.count("cache_operation_duration_seconds", error_type="ConnectionError")


def test_of_several_keys_those_loaded_are_misses(recording, cache):
    """The rest are hits."""
    read = read_through(cache, ["a", "b", "c"], keys=3)
    read.loading(lambda *keys: list(keys), missed=lambda args: args)("b", "c")
    read.end()
    assert (1, 2) == results(recording)
    assert 1 == recording.count("cache_operation_duration_seconds", cache_operation="get_many")


def test_what_is_not_kept_is_no_write(recording, cache):
    """A library may decide so by the value."""
    read = read_through(cache, "a")
    read.loading(slow)("a")
    read.end(stored=False)
    assert 0 == recording.value("cache_writes_total")


def test_under_an_outer_layer_there_is_no_lookup(cache):
    """That one counts."""
    token = counted.set(BIT)
    assert None is read_through(cache, "a")
    counted.reset(token)


def test_the_loader_is_not_charged_to_the_cache(recording, cache):
    """In the request's account its time is the application's."""
    account = Account(perf_counter())
    token = current.set(account)
    read = read_through(cache, "a")
    read.loading(slow)("a")
    read.end()
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert 2 == breakdown.calls[CACHE]  # before the loader, and after it
    assert LOADER_SECONDS <= breakdown.seconds[0]


def test_several_that_load_one_key_at_once_are_a_stampede(cache):
    """As with keys that are missed and written."""
    accounts = [Account(perf_counter()) for _ in range(STAMPEDE)]

    def nested(level):
        if level == len(accounts):
            return
        token = current.set(accounts[level])
        read = read_through(cache, "hot")
        read.loading(lambda: nested(level + 1))()
        read.end()
        current.reset(token)

    nested(0)
    found = [set(account.lookups.findings) for account in accounts]
    assert [set(), set(), {(cache, "stampede")}] == found


def test_keys_that_cannot_be_told_are_one(recording, cache, swallow_errors):
    """What goes wrong in asking is counted, and the loader runs."""
    read = read_through(cache, ["a"], keys=2)
    assert 1 == read.loading(lambda: 1, missed=lambda _: 1 / 0)()
    read.end()
    assert (1, 1) == results(recording)


def test_a_loader_in_another_thread_leaves_that_as_it_was(cache):
    """What the thread asks afterwards is measured as ever."""
    read = read_through(cache, "a")
    loader, seen = read.loading(slow), []

    def work():
        seen.append(loader("a"))
        seen.append(counted.get() & BIT)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    read.end()
    assert [("a", 0), 0] == seen
