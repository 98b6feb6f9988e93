"""Django's caches of classes that are not Django's own: they work as ever, and are counted."""

import subprocess
import sys

import django.core.cache
import pytest
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache

import tests.frameworks.django_site  # noqa: F401 - configures Django for the process
from perfsdk.integrations import django_cache as integration
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.patches import Patches

DURATION = "cache_operation_duration_seconds"


class Loud(LocMemCache):
    """Does something with each value that it finds, which its own default is not."""

    def get(self, key, default=None, version=None):
        value = super().get(key, default, version)
        return value if value is None else value.upper()


class TwoTiers(LocMemCache):
    """Looks elsewhere for what it does not have."""

    def get(self, key, default=None, version=None):
        value = super().get(key, default, version)
        return "elsewhere" if value is None and key == "elsewhere" else value


class Keeping(LocMemCache):
    """Calls no other class for a lookup."""

    def __init__(self, *args):
        super().__init__(*args)
        self.kept = {}

    def get(self, key, default=None, version=None):
        return self.kept.get(key, default)

    def set(self, key, value, timeout=DEFAULT_TIMEOUT, version=None):
        self.kept[key] = value

    def get_or_set(self, key, default, timeout=DEFAULT_TIMEOUT, version=None):
        if self.get(key) is None:
            self.set(key, default() if callable(default) else default)
        return self.kept[key]


class Plain(Keeping):
    """Knows nothing of defaults that are functions."""

    def get_or_set(self, key, default, timeout=DEFAULT_TIMEOUT, version=None):
        return self.kept.setdefault(key, default)


class Awaited(LocMemCache):
    """Has methods of its own to await."""

    async def aget(self, key, default=None, version=None):
        value = await super().aget(key, default, version)
        return value if value is None else value.upper()

    async def aget_or_set(self, key, default, timeout=DEFAULT_TIMEOUT, version=None):
        value = await self.aget(key)
        if value is None:
            value = default() if callable(default) else default
            await self.aset(key, value)
        return value


class Counting(LocMemCache):
    """Asks the class below with a default of its own, as django-prometheus does."""

    def get(self, key, default=None, version=None):
        value = super().get(key, default=None, version=version)
        return default if value is None else value


@pytest.fixture(autouse=True)
def patches(recording):
    """Django's caches are measured."""
    patches = Patches()
    integration.patch(django.core.cache, patches, recording.recorder)
    yield patches
    patches.undo()


@pytest.fixture
def made(request):
    """Makes an empty cache of a class; without an alias it is named by that."""

    def made(kind):
        cache = kind(request.node.name, {})
        cache._cache.clear()
        return cache

    return made


def results(recording, kind):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_name=kind.__name__, cache_result=result)
        for result in ("hit", "miss")
    )


def test_what_it_does_with_a_value_it_does_with_values_alone(made):
    """It never sees a default that the application did not give."""
    cache = made(Loud)
    assert None is cache.get("a")
    assert "DEFAULT" == cache.get("a", "default")
    assert "DEFAULT" == cache.get("a", default="default")
    cache.set("a", "value")
    assert "VALUE" == cache.get("a")
    assert "VALUE" == cache.get("a", "default")


def test_what_the_class_below_finds_is_a_hit(recording, made):
    """A None that is kept, too, with a default or without."""
    cache = made(Loud)
    cache.set("a", "value")
    cache.set("none", None)
    assert "VALUE" == cache.get("a")
    assert None is cache.get("none")
    assert None is cache.get("none", "default")
    assert None is cache.get("absent")
    assert (3, 1) == results(recording, Loud)
    assert 4 == recording.count(DURATION, cache_name="Loud", cache_operation="get")


def test_what_it_finds_elsewhere_is_a_hit(recording, made):
    """The class below has not found it."""
    cache = made(TwoTiers)
    assert "elsewhere" == cache.get("elsewhere")
    assert None is cache.get("absent")
    assert "default" == cache.get("absent", "default")
    assert (1, 2) == results(recording, TwoTiers)


@pytest.mark.parametrize("kind", [Keeping, Plain])
def test_a_default_that_is_no_function_is_kept_as_it_is(made, kind):
    """Nothing of ours is put in its place."""
    cache = made(kind)
    assert 5 == cache.get_or_set("a", 5)
    assert 5 == cache.get_or_set("a", default=6)
    assert {"a": 5} == cache.kept


def test_what_it_asks_and_sets_for_a_default_counts_as_that(recording, made):
    """When the default is no function."""
    cache = made(Keeping)
    assert [5, 5] == [cache.get_or_set("a", value) for value in (5, 6)]
    assert (1, 1) == results(recording, Keeping)
    assert 1 == recording.value("cache_writes_total", cache_name="Keeping")


def test_a_default_that_is_called_is_the_loader_of_one_lookup(recording, made):
    """Also of a method of its own."""
    cache, layers = made(Keeping), []

    def load():
        layers.append(counted.get() & 1 << CACHE)
        return "loaded"

    assert ["loaded"] * 2 == [cache.get_or_set("a", load) for _ in range(2)]
    assert [0] == layers
    assert (1, 1) == results(recording, Keeping)
    assert 1 == recording.count("cache_load_duration_seconds", cache_name="Keeping")
    assert 2 == recording.count(DURATION, cache_name="Keeping")


def test_what_calls_no_class_below_is_found_unless_it_is_the_default(recording, made):
    """A None that is kept is a hit with a default."""
    cache = made(Keeping)
    cache.kept["none"] = None
    default = object()
    assert None is cache.get("none", default)
    assert default is cache.get("absent", default)
    assert None is cache.get("absent")
    assert (1, 2) == results(recording, Keeping)


async def test_methods_of_its_own_that_are_awaited_count_once(recording, made):
    """Although the class below calls plain ones in another thread."""
    cache = made(Awaited)
    assert None is await cache.aget("a")
    assert "b" == await cache.aget_or_set("a", "b")
    assert "B" == await cache.aget("a")
    assert "C" == (await cache.aget_or_set("c", lambda: "c")).upper()
    assert (1, 3) == results(recording, Awaited)


def test_defaults_of_its_own_do_not_hide_what_is_found(recording, made):
    """Of the class below it is known."""
    cache = made(Counting)
    cache.set("none", None)
    assert None is cache.get("none")
    assert "default" == cache.get("absent", "default")
    assert (1, 1) == results(recording, Counting)


def test_django_prometheus_counts_the_same(recording, made, patches):
    """One of its backends, which is measured as one of the application's own."""
    patches.undo()
    backend = pytest.importorskip("django_prometheus.cache.backends.locmem").LocMemCache
    from prometheus_client import REGISTRY

    integration.patch(django.core.cache, patches, recording.recorder)
    cache = made(backend)
    names = ("django_cache_get_hits_total", "django_cache_get_misses_total")
    before = [REGISTRY.get_sample_value(name, {"backend": "locmem"}) or 0 for name in names]
    cache.set("a", 1)
    assert [1, None, 1] == [cache.get(key) for key in ("a", "absent", "a")]
    after = [REGISTRY.get_sample_value(name, {"backend": "locmem"}) for name in names]
    assert [2, 1] == [now - then for now, then in zip(after, before, strict=True)]
    assert (2, 1) == results(recording, backend)


def test_undo_leaves_nothing_on_any_class(patches):
    """All methods are the identical ones again."""
    classes = [BaseCache, LocMemCache, Loud, TwoTiers, Keeping, Awaited, Counting]
    measured = {kind: dict(vars(kind)) for kind in classes}
    patches.undo()
    for kind in classes:
        changed = {name for name, was in measured[kind].items() if vars(kind)[name] is not was}
        assert changed, kind
        assert not any(hasattr(vars(kind)[name], "__wrapped__") for name in changed), kind


def test_a_cache_can_be_made_and_measured_without_settings():
    """In a script that has configured nothing."""
    script = """
import django.core.cache
from django.core.cache.backends.locmem import LocMemCache
from perfsdk.integrations import django_cache
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches

with Recording() as recording:
    django_cache.patch(django.core.cache, Patches(), recording.recorder)
    cache = LocMemCache("alone", {})
    assert cache.get("a", "default") == "default"
    assert recording.value("cache_requests_total", cache_name="LocMemCache") == 1
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert (0, b"") == (done.returncode, done.stderr)
