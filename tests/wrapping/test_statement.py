"""Statements: their totals, and what is found in the calls of one request."""

from collections import defaultdict
from time import perf_counter

import pytest

import perfsdk
from perfsdk import guard
from perfsdk.request import Account, Queries, current
from perfsdk.testing import Recording
from perfsdk.wrapping.dbapi import Databases
from perfsdk.wrapping.repetition import REPEATED_CALLS, REPEATED_CALLS_AT_ONCE
from perfsdk.wrapping.statement import (
    LARGE_RESULT_ROWS,
    MANY_ROWS,
    MAX_FINDINGS,
    MAX_REPEATED,
    WIDE_COLUMNS,
)

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

    def ask(text, parameters=(), *, seconds=0.0, started=None, error=None, **named):
        statement = operations[text]
        begun = clock[0] if started is None else started
        clock[0] = begun + seconds
        args = (None, text) if named else (None, text, parameters)
        args = (None,) if text in named.values() else args
        statement.end(account, begun, args, named, None, error)
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


def test_successes_errors_and_rows_are_observed(recording, ask, rows):
    """An error under its class; rows only of what succeeded."""
    rows[0] = 3
    ask(SELECT, seconds=0.25)
    ask(SELECT, seconds=0.5, error=LookupError())
    duration = "db_client_operation_duration_seconds"
    assert 0.25 == recording.sum(duration, error_type="", db_collection_name="users")
    assert 0.5 == recording.sum(duration, error_type="LookupError", db_operation_name="SELECT")
    assert 3 == recording.sum("db_client_response_returned_rows", db_collection_name="users")


def test_rows_affected_are_not_rows(ask, operations, rows):
    """Of what returns none, nobody asks how many; of RETURNING they are counted."""
    rows[0] = 3
    columns = ", ".join(f"column_{number}" for number in range(99))
    for text, expected in (
        ("INSERT INTO users VALUES (?)", 0),
        ("WITH x AS (SELECT 1) INSERT INTO users SELECT 1 FROM x", 0),
        (f"INSERT INTO users ({columns}) VALUES (?) RETURNING id", 3),
    ):
        ask(text)
        assert expected == operations[text].rows


def test_without_a_request_only_totals_grow(operations, rows):
    """As in a script."""
    rows[0] = LARGE_RESULT_ROWS
    statement = operations["SELECT * FROM users"]
    statement.end(None, 0.0, (None, "", ()), {}, None, None)
    statement.returned(1)
    statement.sent(2)
    statement.columns(WIDE_COLUMNS)
    assert (1, LARGE_RESULT_ROWS + 1, 2) == (
        statement.calls,
        statement.rows,
        statement.parameter_sets,
    )


def test_a_finding_names_the_line(ask, account):
    """That of the application, not of the library."""
    ask("SELECT * FROM users WHERE id = 1")
    assert ["tests/wrapping/test_statement.py"] == [
        site.partition(":")[0] for site in account.queries.findings.values()
    ]


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


@pytest.mark.parametrize("name", ["params", "vars", "args", "parameters"])
def test_parameters_by_name(ask, name):
    """They are the same or not, whatever the driver calls them."""
    for _ in range(REPEATED_CALLS_AT_ONCE):
        found = ask(SELECT, **{name: (7,)})
    assert {"duplicate_query"} == found
    paged = "SELECT name FROM users WHERE a = 1 LIMIT 9 OFFSET ?"
    assert {"duplicate_query", "deep_offset"} == ask(paged, **{name: (1001,)})


@pytest.mark.parametrize("name", ["query", "sql"])
def test_a_statement_by_name(ask, name):
    """Without parameters, and with them by name too."""
    fixed = "SELECT count(*) FROM users"
    for _ in range(REPEATED_CALLS_AT_ONCE):
        found = ask(fixed, **{name: fixed})
    assert {"duplicate_query"} == found
    for number in range(REPEATED_CALLS_AT_ONCE):
        found = ask(SELECT, **{name: SELECT, "params": (number,)})
    assert {"duplicate_query", "n_plus_one"} == found


@pytest.mark.parametrize("parameters", [([1],), (object,), iter([1]), tuple(range(101))])
def test_what_cannot_be_compared_is_no_duplicate(ask, parameters):
    """Nothing of the application's is called or taken from it to find out."""
    for _ in range(REPEATED_CALLS_AT_ONCE):
        found = ask(SELECT, parameters)
    assert {"n_plus_one"} == found


def test_calls_at_the_same_time_are_none(ask):
    """As when they are gathered: each began before the one before it ended."""
    for number in range(REPEATED_CALLS_AT_ONCE * 2):
        found = ask(SELECT, (number,), started=0.0, seconds=1e-3)
    assert set() == found


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO users VALUES (?)",
        "INSERT INTO users VALUES (?) RETURNING id",
        "UPDATE users SET name = 'a' WHERE id = ?",
        "WITH x AS (SELECT 1) INSERT INTO users SELECT 1 FROM x",
    ],
)
def test_writes_are_none(ask, text):
    """They cannot be asked for together by a join."""
    for number in range(REPEATED_CALLS_AT_ONCE * 2):
        found = ask(text, (number,))
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT * FROM users WHERE id = ?", "select_star"),
        ("DELETE FROM users", "unfiltered_write"),
        ("SELECT name FROM users LIMIT 20 OFFSET 1001", "deep_offset"),
    ],
)
def test_what_the_text_shows(ask, account, text, kind):
    """At the first call, once a request."""
    for _ in range(3):
        assert {kind} == ask(text)
    assert 1 == len(account.queries.findings)


@pytest.mark.parametrize(
    ("page", "deep", "not_deep"),
    [
        ("LIMIT ? OFFSET ?", (20, 1001), (1001, 20)),
        ("LIMIT ?, ?", (1001, 20), (20, 1001)),
        ("LIMIT :a OFFSET :b", {"a": 20, "b": 1001}, {"a": 1001, "b": 20}),
        ("LIMIT %(a)s OFFSET %(b)s", {"a": 20, "b": 1001}, {"b": "1001"}),
        ("LIMIT $2 OFFSET $1", (1001, 20), (20, 1001)),
    ],
)
def test_deep_offsets_by_parameter(ask, page, deep, not_deep):
    """By position or by name, in each notation."""
    text = "SELECT name FROM users " + page
    for parameters in (not_deep, (), {}, None, 7):
        assert set() == ask(text, parameters)
    assert {"deep_offset"} == ask(text, deep)


def test_parameters_are_left_as_they_are(ask):
    """Also those that make what is sought in them."""
    parameters = defaultdict(lambda: 9999)
    assert set() == ask("SELECT name FROM users LIMIT 9 OFFSET :skipped", parameters)
    assert {} == parameters


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


async def test_awaited_calls_do_not_block(recording, account):
    """Those of an asynchronous driver."""
    databases = Databases(recording.recorder, parameters=2)
    operations = databases.operations("sqlite", "a.db", is_leaf=True, blocks=False)
    operations[SELECT].end(account, perf_counter(), (None, SELECT, ()), {}, None, None)
    assert {} == account.queries.findings


def test_a_request_s_statements_are_bounded(ask, account):
    """Many different ones do not take memory without end."""
    for number in range(MAX_REPEATED * 2):
        ask(f"SELECT a{number} FROM t WHERE b = 1")
    assert MAX_REPEATED >= len(account.queries.repeated)


def test_a_request_s_findings_are_bounded(operations, account):
    """However many statements there are, as of many databases."""
    account.queries = Queries()
    account.queries.findings = dict.fromkeys(range(MAX_FINDINGS - 1), "")
    for number in range(3):
        text = f"SELECT * FROM t{number}"
        operations[text].end(account, 0.0, (None, text, ()), {}, None, None)
    assert MAX_FINDINGS == len(account.queries.findings)


def test_after_the_request_nothing_is_found(ask, operations, account, rows):
    """What runs in the background is not its account any more."""
    rows[0] = LARGE_RESULT_ROWS
    account.queries = Queries()
    account.close(9.0)
    for _ in range(REPEATED_CALLS_AT_ONCE):
        assert set() == ask("SELECT * FROM users", seconds=1.0)
    statement = operations["SELECT * FROM users"]
    statement.returned(LARGE_RESULT_ROWS)
    statement.columns(WIDE_COLUMNS)
    assert {} == account.queries.findings
    assert {} == account.queries.repeated
    assert account.events is None
    assert REPEATED_CALLS_AT_ONCE == statement.calls


@pytest.mark.usefixtures("swallow_errors")
def test_errors_of_ours_are_kept_from_the_application(recording, account):
    """Such as of counting rows; the duration is there all the same."""

    def broken(*_):
        raise RuntimeError("broken on purpose")

    errors = []
    guard.count_error = errors.append
    databases = Databases(recording.recorder, parameters=2, count_rows=broken)
    statement = databases.operations("sqlite", "a.db", is_leaf=True)[SELECT]
    statement.end(account, 0.0, (None, SELECT, ()), {}, None, None)
    assert ["statement.end"] == errors
    assert 1 == recording.count("db_client_operation_duration_seconds")
