"""The components of a request add up to its duration, whatever ran at once."""

import threading
from contextvars import copy_context
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.catalog import COMPONENTS
from perfsdk.request import (
    APP,
    CACHE,
    DB,
    FOLD_AT,
    HTTP_CLIENT,
    POOL_WAIT,
    Account,
    counted,
    current,
)

STARTED, ENDED = 100.0, 200.0
TICKS = 1000

COMPONENT = st.sampled_from([DB, CACHE, HTTP_CLIENT, POOL_WAIT])
MOMENT = st.integers(0, TICKS)


@st.composite
def calls(draw):
    """Calls as (component, start, end) in ticks; an end of None: still open."""
    made = []
    for _ in range(draw(st.integers(0, 20))):
        start = draw(MOMENT)
        end = draw(st.one_of(st.none(), st.integers(start, TICKS)))
        made.append((draw(COMPONENT), start, end))
    return made


def at(tick):
    """A tick on the clock of the request."""
    return STARTED + (ENDED - STARTED) * tick / TICKS


def events_of(made):
    """The events of the calls in the order in which one thread would see them."""
    events = []
    for component, start, end in made:
        events.append((at(start), 0, component))
        if end is not None:
            # After every beginning at the same moment, its own above all.
            events.append((at(end), 1, -component))
    return [(time, component) for time, _, component in sorted(events, key=lambda e: e[:2])]


def expected_seconds(made):
    """Each tick is shared equally by the components that work in it."""
    seconds = [0.0] * len(COMPONENTS)
    moments = sorted({0, TICKS} | {m for _, *pair in made for m in pair if m is not None})
    for begin, end in pairwise(moments):
        working = {
            component
            for component, start, stop in made
            if start <= begin and (stop is None or stop >= end)
        }
        for component in working or {APP}:
            seconds[component] += (at(end) - at(begin)) / (len(working) or 1)
    return seconds


def spend(account, events):
    """Append events as wrapped calls do."""
    for event in events:
        account.events.append(event)
        if event[1] < 0 and len(account.events) >= FOLD_AT:
            account.fold()


def breakdown_of(events, ended=ENDED):
    """What a request with these events spent."""
    account = Account(STARTED)
    spend(account, events)
    return account.close(ended)


@settings(max_examples=50)
@given(calls())
def test_components_add_up_to_the_duration(made):
    """They equal a model that goes through the request moment by moment, and their sum it."""
    breakdown = breakdown_of(events_of(made))
    if not made:
        assert breakdown is None
        return
    assert expected_seconds(made) == pytest.approx(breakdown.seconds, abs=1e-9)
    assert ENDED - STARTED == pytest.approx(sum(breakdown.seconds), abs=1e-9)
    counts = [sum(component == c for component, *_ in made) for c in range(len(COMPONENTS))]
    assert counts == breakdown.calls


@settings(max_examples=50)
@given(calls(), st.randoms())
def test_events_of_threads_may_arrive_out_of_order(made, generator):
    """The end of a call comes after its beginning; all else may be mixed."""
    pairs = [events_of([call]) for call in made]
    mixed = []
    while pairs:
        pair = generator.choice(pairs)
        mixed.append(pair.pop(0))
        pairs = [pair for pair in pairs if pair]
    breakdown = breakdown_of(mixed)
    if made:
        assert expected_seconds(made) == pytest.approx(breakdown.seconds, abs=1e-9)


@settings(max_examples=50)
@given(calls(), st.integers(1, 30))
def test_folding_changes_nothing(made, every):
    """A long request is summed up now and then; the result is the same."""
    events = events_of(made)
    account = Account(STARTED)
    for number, event in enumerate(events, 1):
        account.events.append(event)
        if number % every == 0:
            account.fold()
            assert [] == account.events
    folded = account.close(ENDED)
    if made:
        assert folded.seconds == pytest.approx(breakdown_of(events).seconds, abs=1e-9)
        assert [sum(c == n for n, *_ in made) for c in range(5)] == folded.calls


@settings(max_examples=50)
@given(calls(), MOMENT)
def test_what_happens_after_the_end_is_not_the_requests_time(made, tick):
    """Calls that go on, or begin, after the last byte add nothing to its duration."""
    before = [(c, s, e) for c, s, e in made if s <= tick]
    breakdown = breakdown_of(events_of(before), at(tick))
    if before:
        assert at(tick) - STARTED == pytest.approx(sum(breakdown.seconds), abs=1e-9)
        assert min(breakdown.seconds) >= 0


def test_a_call_of_no_time_is_over():
    """Where the clock is coarse a call may end when it began; it is charged nothing."""
    breakdown = breakdown_of([(150.0, DB), (150.0, -DB), (160.0, CACHE), (170.0, -CACHE)])
    assert [90.0, 0.0, 10.0, 0.0, 0.0] == pytest.approx(breakdown.seconds)
    assert [0, 1, 1, 0, 0] == breakdown.calls


def test_calls_that_are_open_at_the_end_are_charged_to_the_end():
    """A stream that is cut off in the middle of a query."""
    breakdown = breakdown_of([(190.0, DB)])
    assert [90.0, 10.0, 0.0, 0.0, 0.0] == breakdown.seconds


def test_two_calls_of_one_component_are_its_time_once():
    """Concurrency within a component is not counted double; that of two is shared."""
    events = [(110.0, DB), (110.0, DB), (120.0, -DB), (130.0, CACHE), (140.0, -DB), (140.0, -CACHE)]
    breakdown = breakdown_of(events)
    assert [70.0, 25.0, 5.0, 0.0, 0.0] == breakdown.seconds
    assert [0, 2, 1, 0, 0] == breakdown.calls


def test_an_end_without_a_beginning_is_ignored():
    """Of a call that began before the request."""
    breakdown = breakdown_of([(110.0, -DB), (120.0, DB), (130.0, -DB)])
    assert [90.0, 10.0, 0.0, 0.0, 0.0] == breakdown.seconds


def test_a_long_request_keeps_few_events():
    """100,000 calls need the memory of 256."""
    account = Account(STARTED)
    most = 0
    step = (ENDED - STARTED) / 200_000
    for number in range(100_000):
        begin = STARTED + 2 * number * step
        spend(account, [(begin, DB), (begin + step, -DB)])
        most = max(most, len(account.events))
    assert most <= FOLD_AT
    breakdown = account.close(ENDED)
    assert 100_000 == breakdown.calls[DB]
    assert [50.0, 50.0] == pytest.approx(breakdown.seconds[:2])


def test_a_request_without_calls_has_no_breakdown():
    """All its time is the application's."""
    assert Account(STARTED).close(ENDED) is None


def test_after_the_end_nothing_is_added():
    """What closed an account was the last: `events` is None, folding does nothing."""
    account = Account(STARTED)
    account.events.append((150.0, DB))
    breakdown = account.close(ENDED)
    seconds = list(breakdown.seconds)
    assert account.events is None
    account.fold()
    assert seconds == breakdown.seconds


def test_threads_fold_together():
    """Every call of 8 threads is counted, however their folding meets."""
    account = Account(STARTED)
    start = threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(2000):
            spend(account, [(150.0, DB), (150.0, -DB)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    breakdown = account.close(ENDED)
    assert 16_000 == breakdown.calls[DB]
    assert [100.0, 0.0] == breakdown.seconds[:2]


def test_the_context_has_no_account_by_default():
    """Code outside of requests finds none, and counts in every layer."""
    assert [None, 0] == copy_context().run(lambda: [current.get(), counted.get()])
