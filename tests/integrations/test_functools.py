"""functools.lru_cache: what is read of it equals `cache_info()`, and no call is changed."""

import functools
import os
import sys
from importlib import import_module
from textwrap import dedent

import pytest

from perfsdk.integrations import functools as integration
from perfsdk.integrations.functools import SAMPLES_BETWEEN_SEARCHES
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches

SOURCE = dedent('''
    """Rates of a shop."""

    import functools
    import json.decoder


    @functools.lru_cache(maxsize=2)
    def rate(currency):
        return currency.lower()


    @functools.cache
    def country(code):
        if code.startswith("!"):
            raise LookupError(code)
        return code


    class Prices:
        @functools.lru_cache
        def price(self, item):
            return item

        @staticmethod
        @functools.lru_cache
        def tax(item):
            return item

        @property
        @functools.lru_cache
        def currency(self):
            return "EUR"
''')


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module of an application."""
    (tmp_path / "perfsdk_test_shop.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("perfsdk_test_shop")
    del sys.modules["perfsdk_test_shop"]


@pytest.fixture
def patches(recording):
    """The library is read."""
    patches = Patches()
    integration.patch(functools, patches, recording.recorder)
    yield patches
    patches.undo()


def figures(recording, name):
    """Hits, misses and entries."""
    labels = {"cache_system": "functools", "cache_name": name}
    return (
        recording.value("cache_requests_total", cache_result="hit", **labels),
        recording.value("cache_requests_total", cache_result="miss", **labels),
        recording.value("cache_entries", **labels),
    )


def test_what_is_read_equals_cache_info(recording, shop, patches):
    """Of functions, methods, static methods and properties; what was before counts too."""
    for currency in ("EUR", "EUR", "USD"):
        shop.rate(currency)
    recording.recorder.sample()
    prices = shop.Prices()
    for _ in range(2):
        shop.rate("GBP")
        prices.price(1)
        shop.Prices.tax(1)
        assert "EUR" == prices.currency
    recording.recorder.sample()
    recording.recorder.sample()
    functions = {
        "rate": shop.rate,
        "Prices.price": shop.Prices.price,
        "Prices.tax": shop.Prices.tax,
        "Prices.currency": vars(shop.Prices)["currency"].fget,
    }
    for name, function in functions.items():
        info = function.cache_info()
        assert (info.hits, info.misses, info.currsize) == figures(recording, name), name
    assert (2, 3, 2) == figures(recording, "rate")
    assert 2 == recording.value("cache_max_entries", cache_name="rate")
    assert 1 == recording.value("cache_removals_total", cache_name="rate", reason="evicted")


def test_a_cache_without_a_bound_has_no_maximum_and_evicts_nothing(recording, shop, patches):
    """Neither is there a miss that it kept nothing of mistaken for an eviction."""
    shop.country("DE")
    with pytest.raises(LookupError):
        shop.country("!")
    recording.recorder.sample()
    assert (0, 2, 1) == figures(recording, "country")
    shown = {series["cache_name"] for series in recording.series("cache_max_entries")}
    assert "country" not in shown
    assert 0 == recording.value("cache_removals_total", cache_name="country")


def test_a_cleared_cache_goes_on_counting(recording, shop, patches):
    """`cache_clear()` sets its figures back; ours never go down."""
    shop.rate("EUR")
    shop.rate("EUR")
    recording.recorder.sample()
    shop.rate.cache_clear()
    shop.rate("EUR")
    recording.recorder.sample()
    assert (1, 2, 1) == figures(recording, "rate")
    assert 1 == recording.value("cache_removals_total", cache_name="rate", reason="cleared")


def test_libraries_are_left_out(recording, shop, patches):
    """Only modules of the application are searched, and only what they define themselves."""
    shop.linecache_of_a_library = import_module("re")._compile
    recording.recorder.sample()
    names = {series["cache_name"] for series in recording.series("cache_entries")}
    assert {"rate", "country", "Prices.price", "Prices.tax", "Prices.currency"} <= names
    assert "_compile_template" not in names


def test_what_loads_itself_is_not_loaded(recording, shop, patches, tmp_path, monkeypatch):
    """Neither lazy modules nor proxies are asked for anything."""

    class Lazy(type(shop)):
        def __getattribute__(self, name):
            raise AssertionError(name)

    class Proxy:
        @property
        def __class__(self):
            raise AssertionError

    monkeypatch.setitem(sys.modules, "perfsdk_test_lazy", Lazy("perfsdk_test_lazy"))
    shop.proxy = Proxy()
    shop.rate("EUR")
    recording.recorder.sample()
    assert (0, 1, 1) == figures(recording, "rate")


def test_a_function_made_later_is_found(recording, shop, patches):
    """The modules are searched again, now and then."""
    recording.recorder.sample()

    @functools.lru_cache
    def later(number):
        return number

    later.__module__ = shop.__name__
    later.__qualname__ = "later"
    shop.later = later
    later(1)
    for _ in range(SAMPLES_BETWEEN_SEARCHES + 1):
        recording.recorder.sample()
    assert (0, 1, 1) == figures(recording, "later")


def test_a_function_that_is_no_more_has_no_entries(recording, shop, patches):
    """No function is kept alive for it."""
    shop.rate("EUR")
    recording.recorder.sample()
    del shop.rate
    recording.recorder.sample()
    assert (0, 1, 0) == figures(recording, "rate")


def test_nothing_is_changed(recording, shop):
    """Functions are the same objects, and so is the library."""
    before, functions = dict(vars(functools)), dict(vars(shop))
    patches = Patches()
    integration.patch(functools, patches, recording.recorder)
    recording.recorder.sample()
    assert before == dict(vars(functools))
    assert functions == dict(vars(shop))
    patches.undo()
    shop.rate("EUR")
    recording.recorder.sample()
    assert (0, 0, 0) == figures(recording, "rate")


def test_a_child_counts_what_it_does_itself(recording, shop, patches):
    """What its parent had counted is in `cache_info()` of both."""
    shop.rate("EUR")
    recording.recorder.sample()
    shop.rate("EUR")
    if (child := os.fork()) == 0:
        try:
            shop.rate("EUR")
            recording.recorder.sample()
            os._exit(0)
        finally:
            os._exit(1)
    assert 0 == os.waitpid(child, 0)[1]
    recording.recorder.sample()
    assert (2, 1, 2) == figures(recording, "rate")  # 1 entry in each of two processes
