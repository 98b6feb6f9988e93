"""async_lru: hits, misses and loads of decorated functions, and nothing else changes."""

import asyncio
import gc

import async_lru
import pytest

from perfsdk.integrations import async_lru as integration
from perfsdk.request import CACHE, counted
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches

LABELS = {"cache_system": "async_lru", "cache_name": "rate"}
OWNER = async_lru._LRUCacheWrapper


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def patches(recording):
    """The library is measured."""
    patches = Patches()
    integration.patch(async_lru, patches, recording.recorder)
    yield patches
    patches.undo()


def decorated(**options):
    """A cached coroutine function; those that begin with `!` raise."""

    async def rate(currency):
        await asyncio.sleep(0)
        if currency.startswith("!"):
            raise LookupError(currency)
        return currency.lower()

    rate.__qualname__ = "rate"
    return async_lru.alru_cache(**options)(rate)


def results(recording):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result, **LABELS)
        for result in ("hit", "miss")
    )


async def test_they_equal_the_library_s_own_figures(recording, patches):
    """Also for calls at once, of which the later join the first."""
    rate = decorated(maxsize=2)
    assert ["eur", "eur", "usd"] == await asyncio.gather(rate("EUR"), rate("EUR"), rate("USD"))
    assert "gbp" == await rate("GBP")
    assert "usd" == await rate("USD")
    info = rate.cache_info()
    assert (info.hits, info.misses) == results(recording) == (2, 3)


async def test_what_a_miss_costs_is_timed(recording, patches):
    """The loads are as many as the misses; one that raises took its time too."""
    rate = decorated()
    await rate("EUR")
    await rate("EUR")
    with pytest.raises(LookupError, match="!"):
        await rate("!")
    assert 2 == recording.count("cache_load_duration_seconds", **LABELS)
    assert 0 < recording.sum("cache_load_duration_seconds", **LABELS)


def removals(recording):
    """How many were removed, by reason."""
    return {
        series["reason"]: recording.value("cache_removals_total", **series)
        for series in recording.series("cache_removals_total")
    }


async def test_what_gives_way_is_evicted(recording, patches):
    """Only what is removed for room; what is removed on purpose says so."""
    rate = decorated(maxsize=2)
    for currency in ("EUR", "USD", "EUR"):
        await rate(currency)
    assert {} == removals(recording)
    await rate("GBP")
    assert {"evicted": 1} == removals(recording)
    assert rate.cache_invalidate("GBP")
    assert not rate.cache_invalidate("GBP")
    await rate("GBP")
    assert {"evicted": 1, "explicit": 1} == removals(recording)
    rate.cache_clear()
    assert {"evicted": 1, "explicit": 1, "cleared": 1} == removals(recording)
    assert 0 == rate.cache_info().currsize


async def test_a_cancelled_call_stays_cancelled(recording, patches):
    """And its load ends."""
    rate = decorated()
    task = asyncio.ensure_future(rate("EUR"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert (0, 1) == results(recording)
    assert "eur" == await rate("EUR")


async def test_entries_are_sampled(recording, patches):
    """With what they may be; of a function that is no more there are none."""
    rate = decorated(maxsize=5)
    await rate("EUR")
    recording.recorder.sample()
    assert 1 == recording.value("cache_entries", **LABELS)
    assert 5 == recording.value("cache_max_entries", **LABELS)
    del rate
    gc.collect()
    recording.recorder.sample()
    assert 0 == recording.value("cache_entries", **LABELS)


async def test_methods_count_for_all_instances(recording, patches):
    """As `cache_info()` of the class has it."""

    class Rates:
        @async_lru.alru_cache
        async def rate(self, currency):
            return currency

    one, other = Rates(), Rates()
    assert "EUR" == await one.rate("EUR")
    assert "EUR" == await other.rate("EUR")
    assert "EUR" == await one.rate("EUR")
    names = {series["cache_name"] for series in recording.series("cache_requests_total")}
    assert {Rates.rate.__qualname__} == names
    info = Rates.rate.cache_info()
    assert (1, 2) == (info.hits, info.misses)
    assert 3 == recording.value("cache_requests_total")


async def test_functions_decorated_before_are_measured_and_undo_restores_the_library(recording):
    """It does not matter which came first; afterwards the class has the identical objects."""
    before = dict(vars(OWNER))
    rate = decorated()
    await rate("EUR")
    patches = Patches()
    integration.patch(async_lru, patches, recording.recorder)
    await rate("EUR")
    assert (1, 0) == results(recording)
    patches.undo()
    assert before == dict(vars(OWNER))
    await rate("EUR")
    assert (1, 0) == results(recording)


async def test_an_outer_layer_counts(recording, patches):
    """Inside of another measured cache it is silent."""
    rate = decorated()
    token = counted.set(1 << CACHE)
    assert "eur" == await rate("EUR")
    counted.reset(token)
    assert (0, 0) == results(recording)
    assert 0 == recording.count("cache_load_duration_seconds")


async def test_it_never_raises(recording, patches, monkeypatch, swallow_errors):
    """Whatever breaks inside, the function answers."""
    monkeypatch.setattr(integration, "Name", None)
    rate = decorated()
    assert "eur" == await rate("EUR")
    assert "eur" == await rate("EUR")
    assert 1 == rate.cache_info().hits
