"""Flask-Caching: decorated functions and explicit calls, on memory and on a real Redis."""

from contextlib import contextmanager
from time import perf_counter

import flask
import flask_caching
import pytest
import redis

from perfsdk.integrations import flask_caching as integration
from perfsdk.integrations import redis as redis_integration
from perfsdk.request import CACHE, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract

DURATION = "cache_operation_duration_seconds"
OWNER = flask_caching.Cache


def application(**config):
    """An application, its cache, and its context."""
    app = flask.Flask(__name__)
    cache = OWNER(app, config={"CACHE_TYPE": "SimpleCache", **config})
    return app, cache


class TestContract(IntegrationContract):
    """The contract on an explicit `get`, in the memory of the process."""

    library = "flask_caching"
    metric = DURATION
    labels = {  # noqa: RUF012 - read only
        "cache_system": "flask_caching",
        "cache_name": "default",
        "cache_operation": "get",
    }
    error_type = "TypeError"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"flask_caching"},
        "cache_name": {"default"},
        "cache_operation": {"get", "set"},
        "error_type": {"", "TypeError"},
    }
    component = CACHE
    result = "value"

    def owners(self):
        return [flask_caching, OWNER]

    @contextmanager
    def client(self):
        app, cache = application()
        with app.app_context():
            cache.set("key", "value")
            yield cache

    def succeed(self, client):
        return client.get("key")

    def succeed_inside_with(self, client):
        with client.app.test_request_context():
            return client.get("key")

    def fail(self, client):
        client.get([])

    def vary(self, client, number):
        client.get(f"key:{number}")

    @contextmanager
    def watch(self, client):
        """The keys that the backend was asked for."""
        asked = []
        backend = client.cache
        get = backend.get

        def watched(key):
            asked.append(key)
            return get(key)

        backend.get = watched
        yield asked
        del backend.get


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while Flask-Caching is measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(flask_caching, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture(params=["memory", "redis"])
def cached(request, recording, redis_server):
    """An application in its context, and its cache, with redis-py measured too."""
    config = {}
    if request.param == "redis":
        config = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": redis_server.url}
    patches = Patches()
    redis_integration.patch(redis, patches, recording.recorder)
    app, cache = application(**config)
    with app.app_context():
        cache.clear()
        yield app, cache
    patches.undo()
    systems = {series["cache_system"] for series in recording.series(DURATION)}
    assert {"flask_caching"} == systems  # what is below was silent


def results(recording, name):
    """Hits and misses of a name."""
    return tuple(
        recording.value("cache_requests_total", cache_name=name, cache_result=result)
        for result in ("hit", "miss")
    )


def test_a_cached_view_is_one_lookup_a_request(recording, cached):
    """Named by the function; the second request does not call it."""
    app, cache = cached
    calls = []

    @app.get("/")
    @cache.cached(timeout=60)
    def index():
        calls.append(counted.get() & 1 << CACHE)
        return "page"

    client = app.test_client()
    assert ["page"] * 3 == [client.get("/").text for _ in range(3)]
    name = index.uncached.__qualname__
    assert [0] == calls
    assert (2, 1) == results(recording, name)
    assert 1 == recording.count("cache_load_duration_seconds", cache_name=name)
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")
    assert 3 == recording.count(DURATION, cache_name=name, cache_operation="get")


def test_a_memoized_function_is_one_lookup_a_call(recording, cached):
    """The versions that the library keeps are none."""
    _app, cache = cached

    @cache.memoize(60)
    def double(number):
        return 2 * number

    assert [2, 2, 4] == [double(1), double(1), double(2)]
    name = double.uncached.__qualname__
    assert (1, 2) == results(recording, name)
    assert (0, 0) == results(recording, "default")
    cache.delete_memoized(double, 1)
    assert 2 == double(1)
    assert (1, 3) == results(recording, name)


def test_empty_values_that_are_kept_are_hits(recording, cached):
    """None only where the library is told to keep it."""
    _app, cache = cached
    for value in (0, "", False):

        @cache.memoize(60, cache_none=False)
        def give(kept=value):
            return kept

        give.uncached.__qualname__ = f"give {value!r}"
        give.make_cache_key = None
        assert value == give(value)
        assert value == give(value)
        assert (1, 1) == results(recording, f"give {value!r}"), value

    @cache.memoize(60, cache_none=True)
    def nothing():
        return None

    assert [None, None] == [nothing(), nothing()]
    assert (1, 1) == results(recording, nothing.uncached.__qualname__)


def test_forced_and_stale_values_are_misses_and_a_bypass_is_nothing(recording, cached):
    """As the library decides."""
    _app, cache = cached
    state = {"force": False, "stale": False, "bypass": False}

    @cache.memoize(
        60,
        forced_update=lambda: state["force"],
        is_stale=lambda _value: state["stale"],
        unless=lambda: state["bypass"],
    )
    def give():
        return "value"

    name = give.uncached.__qualname__
    assert "value" == give()
    for change in (None, "force", "stale", "bypass"):
        state.update(dict.fromkeys(state, False))
        if change:
            state[change] = True
        assert "value" == give()
    assert (1, 3) == results(recording, name)


def test_explicit_calls_are_of_the_default_cache(recording, cached):
    """By key; what they write and remove is counted."""
    _app, cache = cached
    cache.set("a", 0, timeout=60)
    assert 0 == cache.get("a")
    assert None is cache.get("absent")
    assert [0, None] == cache.get_many("a", "absent")
    assert {"a": 0, "absent": None} == {"absent": None, **cache.get_dict("a", "absent")}
    assert (3, 3) == results(recording, "default")
    assert False is cache.add("a", 1)
    assert cache.add("b", 1)
    assert cache.has("b")
    cache.set_many({"c": 1, "d": 2})
    cache.delete("a")
    cache.delete_many("b", "c")
    assert 4 == recording.value("cache_writes_total", cache_name="default")
    assert 3 == recording.value("cache_removals_total", reason="explicit")
    assert (3, 3) == results(recording, "default")


def test_what_a_function_raises_is_raised_and_is_a_miss(recording, cached):
    """The same object; nothing is written."""
    _app, cache = cached
    error = LookupError()

    @cache.memoize(60)
    def fail():
        raise error

    with pytest.raises(LookupError) as raised:
        fail()
    assert error is raised.value
    assert (0, 1) == results(recording, fail.uncached.__qualname__)
    assert 0 == recording.value("cache_writes_total")


def test_functions_decorated_before_are_measured_and_undo_restores_the_library(tmp_path):
    """It does not matter which came first."""
    app, cache = application()

    @cache.memoize(60)
    def give():
        return "value"

    before = dict(vars(OWNER))
    patches = Patches()
    with Recording(tmp_path / "later") as recording, app.app_context():
        assert "value" == give()
        integration.patch(flask_caching, patches, recording.recorder)
        assert "value" == give()
        patches.undo()
        assert before == dict(vars(OWNER))
        assert "value" == give()
        assert (1, 0) == results(recording, give.uncached.__qualname__)


def test_the_time_of_the_function_is_not_charged_to_the_cache(recording, cached):
    """In the request's account the calls of the cache are its own."""
    _app, cache = cached

    @cache.memoize(60)
    def slow():
        until = perf_counter() + 0.02
        while perf_counter() < until:
            pass

    account = Account(perf_counter())
    token = current.set(account)
    slow()
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert 0.02 <= breakdown.seconds[0]
    assert 0 < breakdown.calls[CACHE]


def test_a_subclass_that_overrides_methods_counts_once(recording):
    """What it calls of the library's is the same lookup, under the same name."""

    class Own(OWNER):
        def get(self, *args, **kwargs):
            return super().get(*args, **kwargs)

        def set(self, *args, **kwargs):
            return super().set(*args, **kwargs)

    app = flask.Flask(__name__)
    cache = Own(app, config={"CACHE_TYPE": "SimpleCache"})

    @cache.memoize(60)
    def give():
        return "value"

    with app.app_context():
        assert ["value"] * 2 == [give() for _ in range(2)]
        assert None is cache.get("absent")
    assert (1, 1) == results(recording, give.uncached.__qualname__)
    assert (0, 1) == results(recording, "default")
    assert 1 == recording.value("cache_writes_total")
    assert 1 == recording.value("cache_writes_total", cache_pattern="read_through")


def test_a_method_of_the_same_name_that_asks_itself_asks_the_default_cache(recording):
    """A view called `get` is the application's."""
    app, cache = application()

    @cache.memoize(60)
    def get():
        return cache.get("absent")

    with app.app_context():
        assert None is get()
    assert (0, 1) == results(recording, get.uncached.__qualname__)
    assert (0, 1) == results(recording, "default")


@pytest.mark.parametrize("method", ["get", "has"])
@pytest.mark.parametrize("decorator", ["cached", "memoize"])
def test_an_error_of_the_cache_is_neither_hit_nor_miss(recording, decorator, method):
    """The library calls the function, and one operation is counted as a failure."""
    app, cache = application()

    @getattr(cache, decorator)(60, cache_none=True)
    def give():
        return "value"

    def fail(_key):
        raise ConnectionError

    with app.test_request_context():
        setattr(cache.cache, method, fail)
        assert "value" == give()
    name = give.uncached.__qualname__
    assert (0, 0) == results(recording, name)
    assert 1 == recording.count(DURATION, cache_name=name, error_type="ConnectionError")


def test_values_and_keys_by_name_are_counted(recording, cached):
    """As by position; `unlink` removes, whatever the backend makes of it."""
    _app, cache = cached
    cache.set_many(mapping={"a": 1, "b": 2}, timeout=60)
    assert 2 == recording.value("cache_writes_total")
    cache.unlink("a", "b")
    assert None is cache.get("a")
    assert 2 == recording.value("cache_removals_total", reason="explicit")
