"""Django's caches: the contract, all backends, aliases, layers, and what stays as it is."""

import asyncio
from contextlib import contextmanager
from time import perf_counter

import django.core.cache
import django.db
import pytest
from django.core.cache import InvalidCacheKey, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.template import Context, Engine
from django.test import override_settings

import tests.frameworks.django_site  # noqa: F401 - configures Django for the process
from perfsdk.integrations import django_cache as integration
from perfsdk.integrations import django_orm as orm_integration
from perfsdk.integrations import redis as redis_integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract
from tests.integrations.django_books import databases
from tests.servers import HOST, free_port

DURATION = "cache_operation_duration_seconds"
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


class Refusing(LocMemCache):
    """A backend of the application's own, which refuses some keys."""

    def get(self, key, default=None, version=None):
        if key == "refused":
            raise InvalidCacheKey(key)
        return super().get(key, default, version)


REFUSING = {"BACKEND": f"{__name__}.Refusing", "LOCATION": "refusing"}


@contextmanager
def configured(**settings):
    """Caches by their aliases until the end of the block, all empty."""
    with override_settings(CACHES={"default": LOCMEM, **settings}):
        for alias in caches:
            caches[alias].clear()
        yield caches


class TestContract(IntegrationContract):
    """The contract on `get` of a backend of the application's own."""

    library = "django.core.cache"
    metric = DURATION
    labels = {"cache_system": "django", "cache_name": "pages", "cache_operation": "get"}  # noqa: RUF012 - read only
    error_type = "InvalidCacheKey"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"django"},
        "cache_name": {"pages", "default"},
        "cache_operation": {"get", "set", "clear"},
        "error_type": {"", "InvalidCacheKey"},
    }
    component = CACHE
    result = "value"

    def owners(self):
        return [django.core.cache, BaseCache, LocMemCache, Refusing]

    @contextmanager
    def client(self):
        with configured(pages=REFUSING):
            cache = caches["pages"]
            cache.set("key", "value")
            yield cache

    def succeed(self, client):
        return client.get("key")

    def succeed_inside_with(self, client):
        with client._lock:
            pass
        return client.get("key")

    def fail(self, client):
        client.get("refused")

    def vary(self, client, number):
        client.get(f"key:{number}")

    @contextmanager
    def watch(self, client):
        """The keys that the backend was asked for."""
        asked = []
        validate = client.make_and_validate_key

        def watched(key, version=None):
            asked.append(key)
            return validate(key, version)

        client.make_and_validate_key = watched
        yield asked
        del client.make_and_validate_key


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while Django's caches are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(django.core.cache, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
def backends(tmp_path, redis_server, memcached):
    """Settings of every backend that Django has here, and of django-redis."""
    return {
        "locmem": LOCMEM,
        "file": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path / "cache"),
        },
        "redis": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_server.url,
        },
        "django_redis": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": redis_server.url,
        },
        "memcached": {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": f"{HOST}:{memcached.port}",
        },
    }


BACKENDS = pytest.mark.parametrize("name", ["locmem", "file", "redis", "django_redis", "memcached"])


def results(recording, name):
    """Hits and misses of an alias."""
    return tuple(
        recording.value("cache_requests_total", cache_name=name, cache_result=result)
        for result in ("hit", "miss")
    )


def operations(recording, name):
    """How often each operation of an alias ran."""
    return {
        series["cache_operation"]: recording.count(DURATION, **series)
        for series in recording.series(DURATION)
        if series["cache_name"] == name
    }


@BACKENDS
def test_each_lookup_counts_its_keys_once(recording, backends, name):
    """On every backend; the answers are Django's own."""
    with configured(**{name: backends[name]}):
        cache = caches[name]
        default = object()
        cache.set("a", None)
        cache.set("b", 0, 60)
        assert None is cache.get("a", default)
        assert 0 == cache.get("b")
        assert default is cache.get("absent", default)
        assert default is cache.get("absent", default=default, version=2)
        assert None is cache.get("absent")
        assert (2, 3) == results(recording, name)
        assert {"b": 0} == cache.get_many(key for key in ("b", "absent"))
        assert {} == cache.get_many([])
        assert (3, 4) == results(recording, name)
    expected = {"clear": 1, "set": 2, "get": 5, "get_many": 2}
    assert expected == operations(recording, name)


@BACKENDS
def test_get_or_set_is_one_lookup(recording, backends, name):
    """Its callable is the loader; a value at hand costs nothing to load."""
    with configured(**{name: backends[name]}):
        cache = caches[name]
        calls = []

        def load():
            calls.append(counted.get() & 1 << CACHE)
            return "loaded"

        assert "loaded" == cache.get_or_set("a", load, 60)
        assert "loaded" == cache.get_or_set("a", load, 60)
        assert 5 == cache.get_or_set("b", 5)
        assert 5 == cache.get_or_set("b", default=6)
    assert [0] == calls
    assert (2, 2) == results(recording, name)
    assert {"clear": 1, "get": 4} == operations(recording, name)
    assert 1 == recording.count("cache_load_duration_seconds", cache_name=name)
    assert 2 == recording.value("cache_writes_total", cache_pattern="read_through")


@BACKENDS
def test_other_calls_are_no_lookups(recording, backends, name):
    """What they write and remove is counted."""
    with configured(**{name: backends[name]}):
        cache = caches[name]
        assert not cache.set_many({"a": 1, "b": 2}, 60)
        assert False is cache.add("a", 3)
        assert True is cache.add("c", 3)
        assert 4 == cache.incr("c")
        assert 3 == cache.decr("c")
        assert True is cache.touch("c", 60)
        assert True is cache.has_key("c")
        assert "c" in cache
        assert True is cache.delete("c")
        assert False is cache.delete("c")
        cache.delete_many(["a", "b"])
    assert (0, 0) == results(recording, name)
    expected = {"clear": 1, "set_many": 1, "set": 2, "incr": 2, "touch": 1, "other": 2, "delete": 3}
    assert expected == operations(recording, name)
    assert 3 == recording.value("cache_writes_total", cache_name=name)
    assert 3 == recording.value("cache_removals_total", cache_name=name, reason="explicit")


@BACKENDS
async def test_asynchronous_calls_count_once(recording, backends, name):
    """Although Django makes several plain ones of some, in other threads."""
    with configured(**{name: backends[name]}):
        cache = caches[name]
        await cache.aset("a", 1)
        assert 1 == await cache.aget("a")
        assert "default" == await cache.aget("absent", "default")
        assert {"a": 1} == await cache.aget_many(["a", "absent"])
        assert 2 == await cache.aget_or_set("b", lambda: 2)
        assert 2 == await cache.aincr("a")
        await cache.aset_many({"c": 1, "d": 2})
        await cache.adelete_many(["c", "d"])
        assert await cache.ahas_key("a")
    assert (2, 3) == results(recording, name)
    expected = {"set": 1, "get": 3, "get_many": 1, "incr": 1, "set_many": 1, "delete": 1}
    expected |= {"other": 1, "clear": 1}
    assert expected == operations(recording, name)


async def test_time_of_asynchronous_calls_is_the_request_s(recording):
    """The account goes with the context into the thread."""
    with configured():
        account = Account(perf_counter())
        token = current.set(account)
        await asyncio.gather(*(caches["default"].aget(f"key:{n}") for n in range(3)))
        current.reset(token)
    assert 3 == account.close(perf_counter()).calls[CACHE]


@BACKENDS
def test_what_is_below_is_silent(recording, backends, name):
    """Also where the library below is measured."""
    import redis

    patches = Patches()
    redis_integration.patch(redis, patches, recording.recorder)
    try:
        with configured(**{name: backends[name]}):
            caches[name].set("a", 1)
            assert 1 == caches[name].get("a")
            assert 2 == caches[name].get_or_set("b", lambda: 2)
    finally:
        patches.undo()
    systems = {series["cache_system"] for series in recording.series(DURATION)}
    assert {"django"} == systems
    assert (1, 1) == results(recording, name)


def test_a_cache_in_a_database_counts_and_its_queries_do_too(recording, tmp_path):
    """A query is one of the database, no second lookup; the table is made by Django's command."""
    from django.core.management import call_command

    queries = "db_client_operation_duration_seconds"
    patches = Patches()
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "cache.db")}
    table = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cached"}
    with databases(default=settings), override_settings(CACHES={"default": LOCMEM, "table": table}):
        call_command("createcachetable", verbosity=0)
        caches["table"].set("a", None)
        orm_integration.patch(django.db, patches, recording.recorder)
        try:
            assert None is caches["table"].get("a", 1)
            assert {"a": None} == caches["table"].get_many(["a", "b"])
        finally:
            patches.undo()
    assert (2, 1) == results(recording, "table")
    assert {"set": 1, "get": 1, "get_many": 1} == operations(recording, "table")
    assert 2 == recording.count(queries, db_operation_name="SELECT")
    assert 2 == recording.count(queries)


def test_a_cache_that_keeps_nothing_has_misses_alone(recording):
    """As Django's dummy for development."""
    with configured(dummy={"BACKEND": "django.core.cache.backends.dummy.DummyCache"}):
        cache = caches["dummy"]
        cache.set("a", 1)
        assert "default" == cache.get("a", "default")
        assert {} == cache.get_many(["a", "b"])
        assert ["loaded"] * 2 == [cache.get_or_set("a", lambda: "loaded") for _ in range(2)]
    assert (0, 5) == results(recording, "dummy")


def test_keys_that_are_asked_for_twice_count_twice(recording):
    """Whether they are found or not."""
    with configured():
        caches["default"].set("a", 1)
        assert {"a": 1} == caches["default"].get_many(["a", "a", "absent", "absent"])
    assert (2, 2) == results(recording, "default")


def test_sessions_count_under_their_cache(recording):
    """One that is read, and one that is not there."""
    from django.contrib.sessions.backends.cache import SessionStore

    alias = override_settings(SESSION_CACHE_ALIAS="sessions")
    with configured(sessions={**LOCMEM, "LOCATION": "sessions"}), alias:
        session = SessionStore()
        session["name"] = "Ada"
        session.save()
        assert "Ada" == SessionStore(session.session_key)["name"]
        assert None is SessionStore("absent" * 6).get("name")
    assert (1, 1) == results(recording, "sessions")
    assert (0, 0) == results(recording, "default")


def test_fragments_of_templates_count_under_their_cache(recording):
    """The second time the fragment is found."""
    engine = Engine(libraries={"cache": "django.templatetags.cache"})
    template = engine.from_string(
        '{% load cache %}{% cache 60 part using="parts" %}{{ n }}{% endcache %}'
    )
    with configured(parts={**LOCMEM, "LOCATION": "parts"}):
        assert ["1", "1"] == [template.render(Context({"n": n})) for n in (1, 2)]
    assert (1, 1) == results(recording, "parts")
    assert 1 == recording.value("cache_writes_total", cache_name="parts")


@pytest.mark.parametrize("lasting", [True, False])
def test_what_gets_an_end_later_is_no_longer_lasting(recording, lasting):
    """Unless it is touched to last for ever."""
    account = Account(perf_counter())
    token = current.set(account)
    with configured():
        caches["default"].set("a", 1, None)
        assert account.lookups.lasting
        assert caches["default"].touch("a", None if lasting else 60)
        assert lasting == bool(account.lookups.lasting)
    current.reset(token)


async def test_errors_that_are_ignored_are_neither_hits_nor_misses(recording):
    """Nor is anything written or removed; what Django answers is what it does without us."""
    nobody = f"redis://{HOST}:{free_port()}/0"
    options = {"IGNORE_EXCEPTIONS": True}
    lost = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": nobody, "OPTIONS": options}
    with configured(lost=lost):
        cache = caches["lost"]
        assert None is cache.set("a", 1)
        assert None is cache.set_many({"a": 1})
        assert "default" == cache.get("a", "default")
        assert "default" == await cache.aget("a", "default")
        assert {} == cache.get_many(["a", "b"])
        assert {} == await cache.aget_many(["a", "b"])
        assert "loaded" == cache.get_or_set("a", lambda: "loaded")
        assert "loaded" == await cache.aget_or_set("a", lambda: "loaded")
        cache.delete_many(["a"])
    assert (0, 0) == results(recording, "lost")
    assert 2 == recording.count(DURATION, cache_name="lost", error_type="ConnectionInterrupted")
    assert 2 == recording.count("cache_load_duration_seconds", cache_name="lost")
    assert 0 == recording.value("cache_writes_total", cache_name="lost")
    assert 0 == recording.value("cache_removals_total", cache_name="lost")


def test_a_miss_after_an_error_that_was_ignored_is_a_miss(recording, redis_server):
    """An error is forgotten when the next call begins."""
    options = {"IGNORE_EXCEPTIONS": True}
    settings = {"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": options}
    lost = {**settings, "LOCATION": f"redis://{HOST}:{free_port()}/0"}
    with configured(lost=lost, there={**settings, "LOCATION": redis_server.url}):
        assert None is caches["lost"].set("a", 1)
        assert None is caches["there"].get("a")
        assert {} == caches["there"].get_many(["a"])
        assert 1 == caches["there"].get_or_set("a", 1)
    assert (0, 3) == results(recording, "there")
    assert 1 == recording.value("cache_writes_total", cache_name="there")


def test_times_to_live_are_those_of_django(recording):
    """Not given is the default of the cache, None is for ever, 0 is over at once."""
    forever = {**LOCMEM, "TIMEOUT": None}
    with configured(forever=forever):
        for name, arguments, found in (
            ("default", (), False),
            ("default", (None,), True),
            ("default", (0,), False),
            ("forever", (), True),
            ("forever", (60,), False),
        ):
            account = Account(perf_counter())
            token = current.set(account)
            caches[name].set("key", "value", *arguments)
            current.reset(token)
            lasting = account.lookups.lasting if account.lookups else {}
            assert found == bool(lasting), (name, arguments)


def test_errors_are_raised_as_they_are_and_are_no_misses(recording):
    """Those of the loader, too."""
    error = LookupError()

    def fail():
        raise error

    with configured(pages=REFUSING):
        with pytest.raises(InvalidCacheKey):
            caches["pages"].get("refused")
        assert (0, 0) == results(recording, "pages")
        with pytest.raises(LookupError) as raised:
            caches["pages"].get_or_set("a", fail)
        with pytest.raises(ValueError, match="not found"):
            caches["pages"].incr("absent")
    assert error is raised.value
    assert (0, 1) == results(recording, "pages")


def test_an_outer_layer_counts_alone(recording):
    """And defaults stay the application's."""
    with configured():
        token = counted.set(1 << CACHE)
        assert "default" == caches["default"].get("absent", "default")
        assert 1 == caches["default"].get_or_set("a", 1)
        counted.reset(token)
    assert (0, 0) == results(recording, "default")


def test_caches_made_before_are_named_by_their_alias(tmp_path):
    """And one that is in no settings by its class."""
    with configured(pages=REFUSING):
        cache, alone = caches["pages"], Refusing("alone", {})
        patches = Patches()
        with Recording(tmp_path / "later") as recording:
            integration.patch(django.core.cache, patches, recording.recorder)
            assert None is cache.get("a")
            assert None is alone.get("a")
            patches.undo()
            assert (0, 1) == results(recording, "pages")
            assert (0, 1) == results(recording, "Refusing")


def test_a_class_made_later_is_measured(recording, monkeypatch):
    """When a cache of it is made."""

    class Later(LocMemCache):
        def get(self, key, default=None, version=None):
            return "later" if key == "a" else super().get(key, default, version)

    monkeypatch.setitem(globals(), "Later", Later)
    with configured(later={"BACKEND": f"{__name__}.Later", "LOCATION": "later"}):
        assert "later" == caches["later"].get("a")
        assert None is caches["later"].get("b")
    assert (1, 1) == results(recording, "later")


def test_a_cache_without_a_clear_is_left_as_it_is(recording):
    """What a backend does not have raises as ever, and is an operation that failed."""
    cache = BaseCache({})
    with pytest.raises(NotImplementedError):
        cache.get("a")
    assert 1 == recording.count(DURATION, error_type="NotImplementedError")
