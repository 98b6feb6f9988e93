"""An error of ours is logged once, counted each time, and never reaches the application."""

import logging
import threading

import pytest

from perfsdk import guard


@pytest.fixture
def counted(monkeypatch):
    """The places that were counted."""
    places = []
    monkeypatch.setattr(guard, "count_error", places.append)
    return places


def fail(where, error=ValueError):
    """Fail as one of our functions would."""
    try:
        raise error("inside")
    except Exception:
        guard.failed(where)


@pytest.mark.usefixtures("swallow_errors")
def test_an_error_is_logged_once_and_counted_each_time(counted, caplog):
    """The first of each place is in the log with what it means; all are counted."""
    for where in ("here", "there", "here", "here"):
        fail(where)
    assert ["here", "there", "here", "here"] == counted
    assert 2 == len(caplog.records)
    assert ["WARNING"] * 2 == [record.levelname for record in caplog.records]
    assert ["perfsdk"] * 2 == [record.name for record in caplog.records]
    assert "here failed; the application is not affected" in caplog.messages[0]
    assert not any("\n" in message for message in caplog.messages)


@pytest.mark.usefixtures("swallow_errors")
def test_without_a_recorder_errors_are_only_logged(caplog):
    """Before anything is instrumented there is nobody to count."""
    fail("early")
    assert 1 == len(caplog.records)


@pytest.mark.usefixtures("swallow_errors")
def test_a_failing_counter_does_not_reach_the_application(monkeypatch):
    """What counts errors may have one itself, and may report it here: no endless recursion."""
    calls = []

    def count(where):
        calls.append(where)
        if len(calls) > 50:
            raise AssertionError("endless")
        raise RuntimeError(where)

    monkeypatch.setattr(guard, "count_error", count)
    fail("here")
    assert ["here"] == calls


class BrokenHandler(logging.Handler):
    """A log handler that raises, as some of other people's do."""

    def emit(self, record):
        raise RuntimeError("broken handler")


@pytest.fixture
def broken_handler():
    """The application's logging is broken."""
    handler = BrokenHandler()
    guard.logger.addHandler(handler)
    yield
    guard.logger.removeHandler(handler)


@pytest.mark.usefixtures("swallow_errors", "broken_handler", "counted")
def test_a_failing_log_handler_does_not_reach_the_application():
    """Neither when an error is reported nor when something is said once."""
    fail("here")
    guard.log_once("key", "perfsdk: something")


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, StopIteration])
@pytest.mark.usefixtures("swallow_errors")
def test_errors_of_any_kind_are_kept(error, counted):
    """Also those that the interpreter raises."""
    fail("here", error)
    assert ["here"] == counted


def test_under_test_the_same_error_is_raised(monkeypatch, counted):
    """Nothing hides in our own tests: the exception being handled goes on, not another one."""
    monkeypatch.setattr(guard, "reraise", True)
    original = ValueError("inside")

    def fail_with_original():
        try:
            raise original
        except ValueError:
            guard.failed("here")

    with pytest.raises(ValueError) as caught:
        fail_with_original()
    assert original is caught.value
    assert [] == counted


def test_a_warning_is_said_once_for_a_key(caplog):
    """The key decides, not the message; arguments are formatted."""
    guard.log_once("full", "perfsdk: %s is full of %s", "cache", "keys")
    guard.log_once("full", "perfsdk: something else")
    guard.log_once("other", "perfsdk: 100 % full")
    assert ["perfsdk: cache is full of keys", "perfsdk: 100 % full"] == caplog.messages


@pytest.mark.usefixtures("swallow_errors")
def test_reset_forgets(counted, caplog):
    """After `reset` nobody counts, and everything can be said again."""
    fail("here")
    guard.reset()
    assert guard.count_error is None
    fail("here")
    assert ["here"] == counted
    assert 2 == len(caplog.records)


@pytest.mark.usefixtures("swallow_errors")
def test_threads_may_fail_together(counted):
    """Every failure of every thread is counted."""
    start = threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(200):
            fail("together")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1600 == len(counted)
