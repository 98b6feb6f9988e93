"""A cache of the application's own counts what it is told, and harms nothing when it is not."""

import asyncio
import inspect
import logging

import pytest

import perfsdk
from perfsdk import guard, recorder
from perfsdk.request import CACHE, counted
from perfsdk.testing import Recording

LABELS = {"cache_system": "application", "cache_name": "sessions"}


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """Where the values go while an instrumentation runs."""
    with Recording(tmp_path / "recording") as recording:
        monkeypatch.setattr(recorder, "running", recording.recorder)
        yield recording


@pytest.fixture
def sessions():
    """The cache, made before anything runs."""
    return perfsdk.cache("sessions")


def results(recording):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result, **LABELS)
        for result in ("hit", "miss")
    )


def test_what_it_is_told_is_counted(sessions, recording):
    """Keys, writes and removals, each under the name."""
    sessions.hit()
    sessions.hit(2)
    sessions.miss()
    sessions.wrote("write_behind", 3)
    sessions.removed("expired")
    assert (3, 1) == results(recording)
    assert 3 == recording.value("cache_writes_total", cache_pattern="write_behind", **LABELS)
    assert 1 == recording.value("cache_removals_total", reason="expired", **LABELS)


def test_a_load_is_timed_and_is_a_write(sessions, recording):
    """Around lines, and as a decorator of plain and coroutine functions."""

    @sessions.load()
    def read(number):
        """Document."""
        return number

    @sessions.load()
    async def read_async(number):
        await asyncio.sleep(0)
        return number

    with sessions.load("1"):
        pass
    assert 2 == read(2)
    assert "Document." == read.__doc__
    assert inspect.iscoroutinefunction(read_async)
    assert 3 == asyncio.run(read_async(3))
    assert 3 == recording.count("cache_load_duration_seconds", **LABELS)
    assert 3 == recording.value("cache_writes_total", cache_pattern="read_through", **LABELS)
    assert (0, 0) == results(recording)


def test_a_load_that_fails_is_no_write(sessions, recording):
    """It took its time all the same, and the exception is the application's."""
    with pytest.raises(KeyError), sessions.load():
        raise KeyError
    assert 1 == recording.count("cache_load_duration_seconds", **LABELS)
    assert 0 == recording.value("cache_writes_total")


def test_a_decorated_lookup_is_a_hit_unless_it_loads(sessions, recording):
    """Nothing else has to be said."""
    kept = {}

    @sessions
    def session(key):
        if key not in kept:
            with sessions.load(key):
                assert 0 == counted.get()
                kept[key] = key.upper()
        return kept[key]

    assert ["A", "A", "B", "A"] == [session(key) for key in "aaba"]
    assert (2, 2) == results(recording)
    assert 4 == recording.count("cache_operation_duration_seconds", cache_operation="get", **LABELS)
    assert 2 == recording.count("cache_load_duration_seconds", **LABELS)


def test_a_decorated_coroutine_function_stays_one(sessions, recording):
    """Lookups of two tasks at once are two."""

    @sessions
    async def session(key):
        if key == "absent":
            with sessions.load():
                await asyncio.sleep(0)
        return key

    async def ask():
        return await asyncio.gather(session("a"), session("absent"))

    assert inspect.iscoroutinefunction(session)
    assert ["a", "absent"] == asyncio.run(ask())
    assert (1, 1) == results(recording)


def test_what_a_lookup_raises_is_raised(sessions, recording):
    """The same object; it is neither hit nor miss."""
    error = OSError()

    @sessions
    def session(_key):
        raise error

    with pytest.raises(OSError) as raised:
        session("a")
    assert error is raised.value
    assert (0, 0) == results(recording)
    assert 0 == counted.get()


def test_a_generator_function_looks_up_nothing(sessions):
    """It is refused, since its call does nothing yet."""
    with pytest.raises(TypeError, match="generator function"):

        @sessions
        def session():
            yield


def test_an_outer_layer_counts(sessions, recording):
    """A cache of the application's own inside of another measured one is silent."""
    token = counted.set(1 << CACHE)
    sessions.hit()
    sessions(len)("abc")
    counted.reset(token)
    assert (0, 0) == results(recording)


def test_another_of_the_same_kind_inside_a_loader_counts(sessions, recording):
    """The loader is the application's own: what it asks is measured."""
    users = perfsdk.cache("users")
    with sessions.load():
        users.hit()
    assert 1 == recording.value("cache_requests_total", cache_name="users")


def test_without_an_instrumentation_nothing_happens(sessions):
    """Functions run as they are."""
    sessions.hit()
    sessions.miss()
    sessions.wrote()
    sessions.removed()
    with sessions.load(1):
        pass
    assert 3 == sessions(len)("abc")


def test_it_counts_for_whoever_runs_now(sessions, recording, tmp_path, monkeypatch):
    """After the next `instrument` it is the next recorder."""
    sessions.hit()
    with Recording(tmp_path / "other") as other:
        monkeypatch.setattr(recorder, "running", other.recorder)
        sessions.hit()
        assert (1, 0) == results(other)
    assert (1, 0) == results(recording)


def test_a_word_that_is_none_of_the_known_is_said_once(sessions, recording, caplog):
    """It is counted as what is not known, and raises nothing."""
    with caplog.at_level(logging.WARNING, guard.logger.name):
        for _ in range(2):
            sessions.wrote("sideways")
            sessions.removed("lost")
    assert 2 == len(caplog.records)
    assert "'sideways' is not one of aside, " in caplog.text
    assert 2 == recording.value("cache_writes_total", cache_pattern="unknown")
    assert 2 == recording.value("cache_removals_total", reason="explicit")


def test_it_never_raises(sessions, recording, monkeypatch, swallow_errors):
    """What breaks inside is counted."""
    monkeypatch.setattr("perfsdk.by_hand.Caches", None)
    sessions.hit()
    with sessions.load():
        pass
    assert 3 == sessions(len)("abc")
