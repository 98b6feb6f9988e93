"""The table of queries is exact, bounded, safe across forks, and costs nothing that is not used."""

import os
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.catalog import (
    MAX_QUERIES,
    METRICS,
    OVERFLOW,
    QUERY_CALLS,
    QUERY_FINDINGS,
    QUERY_LABELS,
    QUERY_SECONDS,
)
from perfsdk.query_table import MAX_ADMITTED, TOP, QueryTable
from perfsdk.store.reader import find_segments
from perfsdk.testing import Recording
from tests.store.metrics import read
from tests.store.processes import in_child

FIGURES = {
    "calls": "perfsdk_query_calls_total",
    "seconds": "perfsdk_query_seconds_total",
    "errors": "perfsdk_query_errors_total",
    "rows": "perfsdk_query_rows_total",
    "parameter_sets": "perfsdk_query_parameter_sets_total",
}
OVERFLOWING = {"query_summary": OVERFLOW, "call_site": "", "db_namespace": ""}


@dataclass(eq=False)
class Statement:
    """A statement as the wrappers of databases have it."""

    summary: str
    call_site: str = "shop.py:1 in shop"
    system: str = "postgresql"
    namespace: str = "shop"
    calls: int = 0
    seconds: float = 0.0
    errors: int = 0
    rows: int = 0
    parameter_sets: int = 0

    def ran(self, seconds, *, calls=1, **more):
        """Add calls and whatever else they cost."""
        self.calls += calls
        self.seconds += seconds
        for name, value in more.items():
            setattr(self, name, getattr(self, name) + value)


@pytest.fixture
def recording(perfsdk_dir):
    """A recorder, and what it wrote."""
    with Recording(perfsdk_dir) as made:
        yield made


@pytest.fixture
def statements():
    """What the source of the table gives."""
    return []


@pytest.fixture
def table(recording, statements):
    """A table of these statements."""
    made = QueryTable(recording.recorder)
    made.source = lambda: iter(statements)
    return made


@pytest.fixture
def figures(recording):
    """What was written: `figures(query_summary="...")` gives the five totals of such rows."""

    def written(**labels):
        return {key: recording.value(name, **labels) for key, name in FIGURES.items()}

    return written


def alike(count, seconds=1.0):
    """So many statements of one call; each later one took a little longer."""
    times = [seconds + n / 1024 for n in range(count)]
    return [Statement(f"SELECT {time}", calls=1, seconds=time) for time in times]


def segments_of(directory):
    """{pid: {(metric, summary): value}} of the table of every process, zeros left out."""
    found = {}
    for path in find_segments(directory):
        reader = read(path)
        found[reader.header.pid] = {
            (series.metric.name, series.labels[2]): reader.values[series.cell]
            for series in reader.series
            if series.metric.page == "queries" and reader.values[series.cell]
        }
        reader.close()
    return found


def test_figures_are_added_at_every_sample(recording, statements, table, figures):
    """Each sample of the recorder writes what was added since, neither less nor more."""
    orders = Statement("SELECT ? FROM orders")
    statements.append(orders)
    orders.ran(0.5, rows=3)
    recording.recorder.sample()
    expected = {"calls": 1, "seconds": 0.5, "errors": 0, "rows": 3, "parameter_sets": 0}
    assert expected == figures()
    orders.ran(0.25, calls=2, errors=1, parameter_sets=40)
    table.sample()
    table.sample()
    expected = {"calls": 3, "seconds": 0.75, "errors": 1, "rows": 3, "parameter_sets": 40}
    assert expected == figures(query_summary="SELECT ? FROM orders")
    expected = ["postgresql", "shop", "SELECT ? FROM orders", "shop.py:1 in shop"]
    assert [dict(zip(QUERY_LABELS, expected, strict=True))] == recording.series(QUERY_CALLS.name)


def test_what_stays_0_makes_no_series(recording, statements, table):
    """A statement that was never called takes no space, nor does a figure that it has not."""
    statements += [Statement("SELECT never"), Statement("SELECT once", calls=1, seconds=1.0)]
    table.sample()
    found = {name: len(recording.series(name)) for name in FIGURES.values()}
    assert [1, 1, 0, 0, 0] == list(found.values())


def test_statements_of_one_row_add_up(statements, table, figures):
    """Two libraries may run one statement from one line: it is one row of both."""
    statements += [Statement("SELECT 1", calls=n, seconds=float(n)) for n in (1, 2)]
    statements.append(statements[0])  # given twice, it is still one
    table.sample()
    statements[0].ran(1.0)
    table.sample()
    assert (4, 4.0) == (figures()["calls"], figures()["seconds"])


def test_the_most_expensive_have_rows_and_the_others_one(recording, statements, table, figures):
    """The first 100 by time are exact, the rest is summed for each kind of database."""
    statements += alike(TOP + 7)
    statements += [Statement("SELECT x", system="sqlite", calls=2, seconds=0.5, rows=4)]
    table.sample()
    assert TOP + 2 == len(recording.series(QUERY_SECONDS.name))
    assert 1.0 + 50 / 1024 == figures(query_summary=f"SELECT {1.0 + 50 / 1024}")["seconds"]
    assert 7 == figures(db_system_name="postgresql", **OVERFLOWING)["calls"]
    expected = {"calls": 2, "seconds": 0.5, "errors": 0, "rows": 4, "parameter_sets": 0}
    assert expected == figures(db_system_name="sqlite", **OVERFLOWING)
    assert sum(s.seconds for s in statements) == pytest.approx(figures()["seconds"])


def test_who_becomes_expensive_gets_its_whole_total(statements, table, figures):
    """The time from before is in its row; the row of the others grows again when it is made up."""
    statements += alike(TOP)
    late = Statement("SELECT late", calls=5, seconds=0.5, rows=10)
    other = Statement("SELECT other", calls=1, seconds=0.25)
    statements += [late, other]
    table.sample()
    assert (6, 0.75) == (figures(**OVERFLOWING)["calls"], figures(**OVERFLOWING)["seconds"])
    late.ran(9.0)
    table.sample()
    expected = {"calls": 6, "seconds": 9.5, "errors": 0, "rows": 10, "parameter_sets": 0}
    assert expected == figures(query_summary="SELECT late")
    other.ran(0.25, calls=4)
    table.sample()
    assert (6, 0.75) == (figures(**OVERFLOWING)["calls"], figures(**OVERFLOWING)["seconds"])
    other.ran(0.5, calls=4)
    table.sample()
    assert (9, 1.0) == (figures(**OVERFLOWING)["calls"], figures(**OVERFLOWING)["seconds"])


def test_the_number_of_rows_is_bounded(recording, statements, table, figures):
    """However the ranks change, no family gets more than its bound, and the recorder drops none."""
    for _ in range(4):
        statements += alike(TOP, seconds=2.0 * len(statements) + 1)
        table.sample()
    assert MAX_ADMITTED + 1 == len(recording.series(QUERY_CALLS.name))
    assert MAX_ADMITTED < MAX_QUERIES == QUERY_CALLS.max_series
    assert 4 * TOP - MAX_ADMITTED == figures(**OVERFLOWING)["calls"]
    assert 4 * TOP == figures()["calls"]
    assert [] == recording.series("perfsdk_dropped_series_total")


def test_a_statement_that_goes_leaves_what_it_cost(statements, table, figures):
    """What is given no more was counted to its last call, with a row or without."""
    statements += alike(TOP)
    small = Statement("SELECT small", calls=1, seconds=0.125)
    statements.append(small)
    table.sample()
    with_row = statements.pop(3)
    statements.remove(small)
    with_row.ran(1.0)
    small.ran(0.125)
    table.sample()
    assert with_row.seconds == figures(query_summary=with_row.summary)["seconds"]
    assert 0.25 == figures(**OVERFLOWING)["seconds"]
    with_row.ran(1.0)
    table.sample()
    assert TOP + 3 == figures()["calls"]


def test_one_that_begins_again_is_added(statements, table, figures):
    """Measured anew, the same statement starts at 0: its row goes on from where it was."""
    statements.append(Statement("SELECT 1", calls=3, seconds=3.0))
    table.sample()
    statements[0] = Statement("SELECT 1", calls=2, seconds=2.0)
    table.sample()
    assert (5, 5.0) == (figures()["calls"], figures()["seconds"])


STEP = st.tuples(st.integers(0, 7), st.integers(1, 5), st.integers(0, 64))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(STEP, max_size=6), min_size=1, max_size=8))
def test_rows_equal_the_statements_whatever_happens(rounds):
    """Rows are exact after every sample, and the others are never less than what they stand for."""
    with pytest.MonkeyPatch.context() as patch, Recording() as recording:
        patch.setattr("perfsdk.query_table.TOP", 3)
        patch.setattr("perfsdk.query_table.MAX_ADMITTED", 5)
        table = QueryTable(recording.recorder)
        statements = [Statement(f"SELECT {n}") for n in range(8)]
        table.source = lambda: statements
        for steps in rounds:
            for number, calls, eighths in steps:
                statements[number].ran(eighths / 8, calls=calls)
            table.sample()
            shown = {row["query_summary"] for row in recording.series(QUERY_CALLS.name)}
            assert len(shown - {OVERFLOW}) <= 5
            for statement in statements:
                if statement.summary in shown:
                    row = {"query_summary": statement.summary}
                    assert statement.calls == recording.value(QUERY_CALLS.name, **row)
                    assert statement.seconds == recording.value(QUERY_SECONDS.name, **row)
            hidden = [s for s in statements if s.summary not in shown]
            others = recording.value(QUERY_CALLS.name, query_summary=OVERFLOW)
            assert sum(s.calls for s in hidden) <= others <= sum(s.calls for s in statements)


def test_a_child_writes_its_own_alone(perfsdk_dir, statements, table):
    """After a fork neither process writes, or takes away, what the other's statements cost."""
    statements += [Statement("SELECT shared"), Statement("SELECT never")]
    statements[0].ran(1.0)
    table.sample()
    statements[0].ran(0.5)  # not sampled when the fork comes: it stays the parent's

    def child():
        statements[0].ran(0.25)
        statements.append(Statement("SELECT child", calls=1, seconds=8.0))
        table.sample()
        return os.getpid()

    pid = in_child(child)
    table.sample()
    found = segments_of(perfsdk_dir)
    calls, seconds = QUERY_CALLS.name, QUERY_SECONDS.name
    expected = {
        (calls, "SELECT shared"): 1.0,
        (seconds, "SELECT shared"): 0.25,
        (calls, "SELECT child"): 1.0,
        (seconds, "SELECT child"): 8.0,
    }
    assert expected == found[pid]
    expected = {(calls, "SELECT shared"): 2.0, (seconds, "SELECT shared"): 1.5}
    assert expected == found[os.getpid()]


def test_a_child_of_which_nothing_is_called_makes_no_file(perfsdk_dir, statements, table):
    """A sample in it finds nothing new; rows of the others are no exception."""
    statements += alike(TOP + 20)
    table.sample()
    assert None is in_child(table.sample)
    assert [os.getpid()] == list(segments_of(perfsdk_dir))


def test_a_fork_in_the_middle_of_a_sample_waits_for_it(statements, table):
    """A sample that runs in another thread leaves no lock in the child, and no half of its work."""
    statements += alike(3)
    reading, go_on = threading.Event(), threading.Event()

    def slowly():
        reading.set()
        assert go_on.wait(20)
        return iter(statements)

    table.source = slowly
    thread = threading.Thread(target=table.sample)
    thread.start()
    assert reading.wait(20)
    threading.Timer(0.05, go_on.set).start()

    def child():
        statements[0].ran(0.5)
        table.sample()
        return table._known[id(statements[0])].counted[0]

    assert 2.0 == in_child(child)
    thread.join()


def test_a_source_that_fails_in_a_child_loses_nothing_of_the_parent(
    perfsdk_dir, statements, table, swallow_errors
):
    """What was known before is the parent's all the same."""
    statements.append(Statement("SELECT 1", calls=5, seconds=5.0))
    table.sample()

    def fails():
        table.source = lambda: iter(statements)
        raise RuntimeError

    table.source = fails

    def child():
        statements[0].ran(0.5)
        table.sample()
        return os.getpid()

    pid = in_child(child)
    found = segments_of(perfsdk_dir)[pid]
    assert 1.0 == found[QUERY_CALLS.name, "SELECT 1"]


def test_statements_that_go_on_while_they_are_sampled(recording, statements, table):
    """Threads that call statements and samples of several threads lose and double no call."""
    statements += [Statement(f"SELECT {n}") for n in range(4)]
    done = threading.Event()

    def sample():
        while not done.is_set():
            table.sample()

    samplers = [threading.Thread(target=sample) for _ in range(2)]
    callers = [
        threading.Thread(target=lambda s=s: [s.ran(0.25) for _ in range(5000)]) for s in statements
    ]
    for thread in (*samplers, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    done.set()
    for thread in samplers:
        thread.join()
    table.sample()
    for statement in statements:
        row = {"query_summary": statement.summary}
        assert 5000 == recording.value(QUERY_CALLS.name, **row)
        assert 1250.0 == recording.value(QUERY_SECONDS.name, **row)


def test_findings_are_counted_by_statement_kind_and_route(recording, table):
    """Each request counts once in its series, at once."""
    statement = Statement("SELECT * FROM orders")
    for route in ("/orders", "/orders", "/home"):
        table.found(statement, "select_star", route)
    found = {"query_summary": "SELECT * FROM orders", "kind": "select_star"}
    assert 2 == recording.value(QUERY_FINDINGS.name, http_route="/orders", **found)
    assert 3 == recording.value(QUERY_FINDINGS.name, **found)


def test_findings_are_bounded(recording, table):
    """Past the bound they are counted under one series."""
    for number in range(MAX_QUERIES + 50):
        table.found(Statement(f"SELECT {number}"), "slow", "/orders")
    assert MAX_QUERIES + 1 == len(recording.series(QUERY_FINDINGS.name))
    assert 50 == recording.value(QUERY_FINDINGS.name, kind=OVERFLOW)


def test_long_statements_are_kept_longer_than_other_labels(recording, statements, table):
    """500 characters of a statement and of its line reach the segment."""
    statements.append(Statement("é" * 600, call_site="x" * 600, calls=1, seconds=1.0))
    table.sample()
    table.sample()
    (row,) = recording.series(QUERY_CALLS.name)
    assert ("é" * 500, "x" * 500) == (row["query_summary"], row["call_site"])


def test_every_statement_of_the_catalog_is_of_the_page_of_queries():
    """Nothing that has a statement as a label is on /metrics, whoever adds a metric."""
    with_statement = [m for m in METRICS if {"query_summary", "call_site"} & set(m.labels)]
    assert with_statement
    assert {"queries"} == {metric.page for metric in with_statement}
    assert with_statement == [metric for metric in METRICS if metric.page != "metrics"]
