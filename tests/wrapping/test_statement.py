"""Statements: their totals, and what is found in the calls of one request."""

import pytest

import perfsdk
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.dbapi import Databases
from perfsdk.wrapping.repetition import REPEATED_CALLS, REPEATED_CALLS_AT_ONCE
from perfsdk.wrapping.statement import LARGE_RESULT_ROWS, MANY_ROWS, MAX_REPEATED, WIDE_COLUMNS

SELECT = "SELECT name FROM users WHERE id = ?"


@pytest.fixture
def recording(tmp_path):
    """Where the values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def rows():
    """How many rows the next call returns."""
    return [-1]


@pytest.fixture
def operations(recording, rows):
    """Those of a database whose calls block."""
    databases = Databases(recording.recorder, parameters=2, count_rows=lambda *_: rows[0])
    return databases.operations("sqlite", "a.db", is_leaf=True)


@pytest.fixture
def account():
    """The account of a request that is being served."""
    account = Account(0.0)
    token = current.set(account)
    yield account
    current.reset(token)


@pytest.fixture
def ask(operations, account, monkeypatch):
    """Have a statement called; gives the kinds of findings so far."""
    clock = [0.0]
    monkeypatch.setattr("perfsdk.wrapping.statement.perf_counter", lambda: clock[0])

    def ask(text, parameters=(), *, seconds=0.0, started=None, error=None):
        statement = operations[text]
        begun = clock[0] if started is None else started
        clock[0] = begun + seconds
        statement.end(account, begun, (None, text, parameters), {}, None, error)
        return {kind for _, kind in account.queries.findings}

    return ask


def test_totals_grow(ask, operations, rows):
    """Calls, seconds, errors, rows and sets of parameters."""
    rows[0] = 3
    ask(SELECT, seconds=0.25)
    ask(SELECT, seconds=0.25, error=ValueError())
    statement = operations[SELECT]
    statement.sent(7)
    statement.returned(2)
    totals = (statement.calls, statement.seconds, statement.errors)
    assert (2, 0.5, 1) == totals
    assert (5, 7) == (statement.rows, statement.parameter_sets)
    assert "test_statement.py" in statement.call_site


def test_n_plus_one(ask):
    """So often with other parameters, and not once less."""
    for number in range(REPEATED_CALLS_AT_ONCE - 1):
        assert set() == ask(SELECT, (number,))
    assert {"n_plus_one"} == ask(SELECT, (99,))


def test_n_plus_one_that_takes_long(ask):
    """Fewer calls are enough when they take 50 ms together."""
    for number in range(REPEATED_CALLS - 1):
        assert set() == ask(SELECT, (number,), seconds=0.02)
    assert {"n_plus_one"} == ask(SELECT, (99,), seconds=0.02)


def test_literals_do_not_hide_it(ask):
    """The texts differ, the shape does not."""
    for number in range(REPEATED_CALLS_AT_ONCE):
        found = ask(f"SELECT name FROM users WHERE id = {number}")
    assert {"n_plus_one"} == found


@pytest.mark.parametrize("parameters", [(1, "a"), [1], {"id": 1}, None, ()])
def test_a_duplicate_query(ask, parameters):
    """The same parameters again and again."""
    for _ in range(REPEATED_CALLS_AT_ONCE):
        found = ask(SELECT, parameters)
    assert {"duplicate_query"} == found


def test_calls_at_the_same_time_are_none(ask):
    """As when they are gathered: each began before the one before it ended."""
    for number in range(REPEATED_CALLS_AT_ONCE * 2):
        found = ask(SELECT, (number,), started=0.0, seconds=1e-3)
    assert set() == found


def test_writes_are_none(ask):
    """They cannot be asked for together by a join."""
    for number in range(REPEATED_CALLS_AT_ONCE * 2):
        found = ask("INSERT INTO users VALUES (?)", (number,))
    assert set() == found


def test_what_is_allowed_is_not_found(ask):
    """Inside the block alone."""
    with perfsdk.allow("n_plus_one", "select_star"):
        for number in range(REPEATED_CALLS_AT_ONCE):
            ask(SELECT, (number,))
        assert set() == ask("SELECT * FROM users WHERE id = 1")
    assert {"n_plus_one"} == ask(SELECT, (99,))


def test_much_of_a_table(ask, rows):
    """Only when it is much."""
    rows[0] = MANY_ROWS
    assert set() == ask("SELECT name FROM users")
    rows[0] = MANY_ROWS + 1
    assert set() == ask(SELECT)
    assert {"unbounded_select"} == ask("SELECT name FROM users")
    rows[0] = LARGE_RESULT_ROWS
    assert {"unbounded_select", "large_result"} == ask(SELECT)


def test_slow_calls_and_deep_offsets(ask):
    """By time, and by what a parameter says."""
    assert set() == ask(SELECT, seconds=0.4)
    assert {"slow"} == ask(SELECT, seconds=0.5)
    paged = "SELECT name FROM users WHERE a = ? LIMIT ? OFFSET ?"
    assert {"slow"} == ask(paged, (1, 20, 1000))
    assert {"slow"} == ask(paged, (1,))
    assert {"slow", "deep_offset"} == ask(paged, (1, 20, 1001))


def test_wide_rows(ask, operations, account):
    """As a cursor's description tells."""
    ask(SELECT)
    operations[SELECT].columns(WIDE_COLUMNS - 1)
    assert {} == account.queries.findings
    operations[SELECT].columns(WIDE_COLUMNS)
    assert {"wide_select"} == {kind for _, kind in account.queries.findings}


async def test_blocking_in_an_event_loop(ask):
    """A call of a synchronous driver in the thread of the loop."""
    assert {"blocking_in_loop"} == ask(SELECT)


def test_a_request_s_statements_are_bounded(ask, account):
    """Many different ones do not take memory without end."""
    for number in range(MAX_REPEATED * 2):
        ask(f"SELECT a{number} FROM t WHERE b = 1")
    assert MAX_REPEATED >= len(account.queries.repeated)


def test_after_the_request_nothing_is_found(ask, operations, account):
    """What runs in the background is not its account any more."""
    ask(SELECT)
    account.close(9.0)
    operations["SELECT * FROM users"].end(account, 0.0, (None, "", ()), {}, None, None)
    assert {} == account.queries.findings
    assert 1 == operations["SELECT * FROM users"].calls
