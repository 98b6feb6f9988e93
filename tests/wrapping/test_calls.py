"""Calls: timed, counted once, unchanged, and charged to the request."""

import asyncio
import contextvars
from time import perf_counter
from typing import NamedTuple

import pytest

from perfsdk import guard
from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION
from perfsdk.request import CACHE, DB, FOLD_AT, Account, counted, current
from perfsdk.store.writer import Writer
from perfsdk.testing import Recording
from perfsdk.wrapping.calls import (
    Operation,
    silent,
    timed,
    timed_coroutine,
)

METRIC = DB_CLIENT_OPERATION_DURATION.name
LABELS = ("sqlite", "a.db", "SELECT", "users")


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def durations(recording):
    """The histogram of this test."""
    return recording.recorder.histogram(DB_CLIENT_OPERATION_DURATION)


class Hook(NamedTuple):
    """What an integration says about one kind of call."""

    component: int
    find: object
    inspect: object = None


def operation(durations, component=DB):
    """A `find` that gives the same operation for every call."""
    made = Operation(component, durations, LABELS)
    return lambda instance, args, kwargs: made


def timed_method(hook):
    """The maker for plain methods."""
    return timed(hook.component, hook.find, hook.inspect)


def timed_coroutine_method(hook):
    """The maker for methods that are awaited."""
    return timed_coroutine(hook.component, hook.find, hook.inspect)


@pytest.fixture
def hook(durations):
    """A hook that describes every call in the same way."""
    return Hook(DB, operation(durations))


def returns(self, *args, **kwargs):
    """Give everything back."""
    return self, args, kwargs


async def returns_later(self, *args, **kwargs):
    """The same, awaited."""
    await asyncio.sleep(0)
    return self, args, kwargs


def test_arguments_and_result_pass_unchanged(recording, hook):
    """Also arguments with the names that wrappers like to use."""
    call = timed_method(hook)(returns)
    assert ("x", (1,), {"instance": 2, "self_": 3}) == call("x", 1, instance=2, self_=3)
    assert 1 == recording.count(METRIC, db_system_name="sqlite", db_collection_name="users")


async def test_an_awaited_call_is_observed_when_it_ends(recording, hook):
    """Not when the coroutine is made."""
    coroutine = timed_coroutine_method(hook)(returns_later)("x", 1, wrapped=2)
    assert 0 == recording.count(METRIC)
    assert ("x", (1,), {"wrapped": 2}) == await coroutine
    assert 1 == recording.count(METRIC)


def test_the_duration_is_that_of_the_call(recording, hook):
    """It lies between what the test can measure inside and outside."""
    inside = []

    def work(self):
        started = perf_counter()
        while perf_counter() - started < 0.002:
            pass
        inside.append(perf_counter() - started)

    started = perf_counter()
    timed_method(hook)(work)(None)
    outside = perf_counter() - started
    assert inside[0] <= recording.sum(METRIC) <= outside


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), StopIteration()])
def test_what_is_raised_is_observed_and_passes(recording, hook, error):
    """The same object, with its class as the label, whatever it is."""

    def fail(self):
        raise error

    with pytest.raises(type(error)) as raised:
        timed_method(hook)(fail)(None)
    assert error is raised.value
    assert 1 == recording.count(METRIC, error_type=type(error).__name__)
    assert 0 == counted.get()


def test_a_call_below_a_counted_one_is_silent(recording, hook, durations):
    """One logical call counts once; another component counts its own."""
    inner = timed_method(hook)(returns)
    cache = timed_method(Hook(CACHE, operation(durations, CACHE)))(returns)

    def outer(self):
        inner(self)
        cache(self)
        assert 1 << DB == counted.get()

    timed_method(hook)(outer)(None)
    assert 2 == recording.count(METRIC)
    assert 0 == counted.get()


async def test_an_awaited_call_silences_its_own_task_only(recording, hook):
    """What runs meanwhile in another task is counted."""
    inner = timed_coroutine_method(hook)(returns_later)

    async def outer(self):
        await inner(self)

    call = timed_coroutine_method(hook)(outer)
    await asyncio.gather(call(1), call(2), inner(3))
    assert 3 == recording.count(METRIC)
    assert 0 == counted.get()


def test_a_leaf_does_not_silence_what_is_below(recording, hook, durations):
    """Said of an operation, or of all those of a wrapper."""
    inner = timed_method(hook)(returns)
    for leaf, by_wrapper in ((True, False), (False, True)):
        operation = Operation(DB, durations, LABELS, is_leaf=leaf)
        before = recording.count(METRIC)
        timed(DB, lambda *_, operation=operation: operation, is_leaf=by_wrapper)(inner)(None)
        assert before + 2 == recording.count(METRIC)


def test_what_a_library_does_on_its_own_account_is_silent(recording, hook):
    """Nothing inside counts, whether it succeeds or fails."""
    inner = timed_method(hook)(returns)

    def fail(self):
        inner(self)
        raise ValueError

    assert (1, (2,), {}) == silent(DB)(inner)(1, 2)
    with pytest.raises(ValueError):
        silent(DB)(fail)(None)
    assert 0 == recording.count(METRIC)
    assert 0 == counted.get()


def test_a_call_that_is_not_described_is_not_counted(recording, durations):
    """`describe` gives None; the call is made, and what is below may count."""
    hook = Hook(DB, lambda instance, args, kwargs: None)
    assert (1, (), {}) == timed_method(hook)(returns)(1)
    assert 0 == recording.count(METRIC)


@pytest.mark.usefixtures("swallow_errors")
def test_errors_of_ours_are_kept_from_the_application(recording, durations):
    """In `describe`, in `inspect`: counted by place, and the result is the library's."""
    errors = []
    guard.count_error = errors.append

    def broken(*_):
        raise RuntimeError("broken on purpose")

    assert (1, (), {}) == timed_method(Hook(DB, broken))(returns)(1)
    hook = Hook(DB, operation(durations), broken)
    assert (1, (), {}) == timed_method(hook)(returns)(1)
    assert ["calls.find", "calls.inspect"] == errors


async def test_inspect_sees_calls_that_succeeded(durations):
    """With instance, arguments and result."""
    seen = []
    hook = Hook(DB, operation(durations), lambda *seen_now: seen.append(seen_now))

    def fail(self):
        raise ValueError

    timed_method(hook)(returns)(1, 2, a=3)
    await timed_coroutine_method(hook)(returns_later)(4)
    with pytest.raises(ValueError):
        timed_method(hook)(fail)(1)
    assert [(1, (2,), {"a": 3}, (1, (2,), {"a": 3})), (4, (), {}, (4, (), {}))] == seen


def test_a_request_is_charged_and_long_ones_are_folded(hook):
    """Each call is one call of the component; the account stays small."""
    call = timed_method(hook)(returns)
    account = Account(perf_counter())
    token = current.set(account)
    for _ in range(FOLD_AT):
        call(None)
        assert len(account.events) < FOLD_AT + 2
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert FOLD_AT == breakdown.calls[DB]
    assert 0 < breakdown.seconds[DB]


def test_a_call_that_outlives_its_request_is_observed(recording, hook):
    """The account is closed meanwhile; the histogram counts all the same."""
    account = Account(perf_counter())
    token = current.set(account)
    timed_method(hook)(lambda self: account.close(perf_counter()))(None)
    current.reset(token)
    assert account.events is None
    assert 1 == recording.count(METRIC)


def test_a_coroutine_closed_in_another_context_does_not_raise(recording, hook):
    """As happens to what is collected late: the token of its context is of no use there."""
    coroutine = timed_coroutine_method(hook)(returns_later)(None)
    contextvars.Context().run(coroutine.send, None)
    coroutine.close()
    assert 1 == recording.count(METRIC, error_type="GeneratorExit")
    assert 0 == counted.get()


def test_a_series_that_found_no_room_is_not_kept(tmp_path):
    """Values are recorded as soon as there is room."""
    with Recording(tmp_path / "recording") as recording:
        writer = recording.recorder.writer
        durations = recording.recorder.histogram(DB_CLIENT_OPERATION_DURATION)
        make_series = writer.series
        writer.series = lambda *args, **kwargs: 0
        assert not Operation(DB, durations, LABELS).is_lasting
        call = timed_method(Hook(DB, lambda *_: Operation(DB, durations, LABELS)))(returns)
        call(None)
        writer.series = make_series
        call(None)
        assert 1 == recording.count(METRIC)
        assert Operation(DB, durations, LABELS).is_lasting
    assert isinstance(writer, Writer)


async def test_wrappers_are_coroutine_functions_where_the_wrapped_are(durations):
    """`timed_coroutine` with an operation gives what is awaited, and observes it."""
    operation = Operation(DB, durations, LABELS)
    call = timed_coroutine(DB, lambda *_: operation)(returns_later)
    assert asyncio.iscoroutinefunction(call)
    assert ("x", (), {}) == await call("x")
