"""sqlite3: the contract, the classes of the application, and what is left alone."""

import functools
import inspect
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from time import perf_counter

import aiosqlite
import pytest

from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION
from perfsdk.integrations import sqlite3 as integration
from perfsdk.request import DB, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import ROWS, DatabaseContract

METRIC = DB_CLIENT_OPERATION_DURATION.name


class TestContract(DatabaseContract):
    """The contract on a database in memory."""

    library = "sqlite3"
    labels = {  # noqa: RUF012 - read only
        "db_system_name": "sqlite",
        "db_namespace": ":memory:",
        "db_operation_name": "SELECT",
        "db_collection_name": "users",
    }
    failure_labels = {**labels, "db_operation_name": "INSERT"}  # noqa: RUF012 - read only
    error_type = "IntegrityError"
    bounded = {  # noqa: RUF012 - read only
        "db_system_name": {"sqlite"},
        "db_namespace": {":memory:"},
        "db_operation_name": {"CREATE", "INSERT", "SELECT"},
        "db_collection_name": {"users", ""},
        "error_type": {"", "IntegrityError"},
    }
    result = [(1, "Ada")]  # noqa: RUF012 - read only
    existing_clients_are_not_measured = "the library's class cannot be changed"

    def owners(self):
        return [sqlite3, sqlite3.dbapi2, sqlite3.Connection, sqlite3.Cursor]

    @contextmanager
    def client(self):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE items (id INTEGER, name TEXT)")
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
            connection.execute("INSERT INTO users VALUES (1, 'Ada')")
            yield connection

    def execute(self, client, statement):
        return client.execute(statement).fetchall()

    def execute_many(self, client, number):
        sets = [(n, f"name {n}") for n in range(number)]
        client.executemany("INSERT INTO items VALUES (?, ?)", sets)

    def succeed(self, client):
        return client.execute("SELECT * FROM users WHERE id = ?", (1,)).fetchall()

    def succeed_inside_with(self, client):
        with client, closing(client.cursor()) as cursor:
            return cursor.execute("SELECT * FROM users").fetchall()

    def fail(self, client):
        client.cursor().execute("INSERT INTO users VALUES (1, 'Bob')")

    def vary(self, client, number):
        client.execute(f"INSERT INTO users VALUES ({number + 10}, 'name {number}')")
        client.execute(f"SELECT 'from table{number}' FROM users WHERE id = {number}")

    @contextmanager
    def watch(self, client):
        seen = []
        client.set_trace_callback(seen.append)
        yield seen
        client.set_trace_callback(None)


@pytest.fixture
def recording(tmp_path):
    """Where the values go while sqlite3 is patched."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(sqlite3, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
def connection(recording):
    """A measured connection to a database in memory, with a table `t`."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        yield connection


def test_both_names_of_connect_are_one_function(recording):
    """`sqlite3.connect` stays identical to `sqlite3.dbapi2.connect`."""
    assert sqlite3.connect is sqlite3.dbapi2.connect


@pytest.mark.parametrize("through", ["connection", "cursor"])
def test_every_way_to_execute_is_one_operation(recording, connection, through):
    """execute, executemany and executescript, on the connection or on a cursor, count once."""
    target = connection if through == "connection" else connection.cursor()
    target.execute("INSERT INTO t VALUES (1)")
    assert 1 == recording.count(METRIC, db_operation_name="INSERT")
    target.executemany("INSERT INTO t VALUES (?)", [(2,), (3,), (4,)])
    assert 2 == recording.count(METRIC, db_operation_name="INSERT", db_collection_name="t")
    target.executescript("DELETE FROM t; INSERT INTO t VALUES (5);")
    assert 1 == recording.count(METRIC, db_operation_name="SCRIPT", db_collection_name="")
    assert [(5,)] == connection.execute("SELECT a FROM t").fetchall()
    assert 1 + 2 + 1 + 1 == recording.count(METRIC)


def test_the_cursor_that_execute_gives_is_measured_too(recording, connection):
    """A cursor may be used again, wherever it comes from."""
    cursor = connection.execute("SELECT 1")
    cursor.execute("SELECT 2")
    assert 2 == recording.count(METRIC, db_operation_name="SELECT")


def test_rows_are_counted_where_they_are_fetched(recording, connection):
    """By fetchone, fetchmany and fetchall; the end of rows is no answer of its own."""
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
    cursor = connection.execute("SELECT a FROM t")
    assert (0,) == cursor.fetchone()
    assert (1,) == cursor.fetchone()
    assert [(2,), (3,)] == cursor.fetchmany(2)
    assert [(4,)] == cursor.fetchmany(size=1)
    assert 5 == len(cursor.fetchall())
    assert ([], [], None) == (cursor.fetchall(), cursor.fetchmany(), cursor.fetchone())
    assert (5, 10.0) == (recording.count(ROWS), recording.sum(ROWS))
    labels = {"db_system_name": "sqlite", "db_operation_name": "SELECT", "db_collection_name": "t"}
    assert [labels] == recording.series(ROWS)


def test_no_rows_are_an_observation_for_what_returns_rows(recording, connection):
    """A SELECT without result returned 0 rows; an INSERT returned nothing, but for RETURNING."""
    cursor = connection.execute("SELECT a FROM t")
    assert (None, None) == (cursor.fetchone(), cursor.fetchone())
    assert [] == connection.execute("INSERT INTO t VALUES (1)").fetchall()
    assert (1, 0.0) == (recording.count(ROWS), recording.sum(ROWS))
    cursor.execute("INSERT INTO t VALUES (2), (3) RETURNING a")
    assert [(2,), (3,)] == cursor.fetchall()
    assert 2 == recording.sum(ROWS, db_operation_name="INSERT")
    cursor.execute("SELECT a FROM t WHERE a > 5")
    assert [] == cursor.fetchall()
    assert 2 == recording.count(ROWS, db_operation_name="SELECT")


def test_many_columns_are_told(recording, connection):
    """A SELECT of 30 columns is wide; of 29 it is not, and neither is what returns nothing."""
    for columns, found in ((29, False), (30, True)):
        account = Account(perf_counter())
        token = current.set(account)
        names = ", ".join(f"c{n}" for n in range(columns))
        connection.execute(f"CREATE TABLE wide{columns} ({names})").fetchall()
        assert not account.queries.findings
        connection.execute(f"SELECT {names} FROM wide{columns}").fetchall()
        current.reset(token)
        assert found == ("wide_select" in {kind for _, kind in account.queries.findings})


def test_rows_that_a_loop_takes_are_absent(recording, connection):
    """They are not counted, since that would double their cost; nothing is in the way of it."""
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
    cursor = connection.execute("SELECT a FROM t")
    assert list(range(10)) == [row[0] for row in cursor]
    assert sqlite3.Cursor.__next__ is type(cursor).__next__
    assert 0 == recording.count(ROWS)


def test_rows_of_a_class_of_the_application_are_counted(recording, connection):
    """Its fetch methods run, and what they call of the library's is counted once."""

    class Upper(sqlite3.Cursor):
        def fetchone(self):
            row = super().fetchone()
            return row and tuple(str(value).upper() for value in row)

    cursor = connection.cursor(Upper)
    cursor.execute("SELECT 'ada'")
    assert ("ADA",) == cursor.fetchone()
    assert (1, 1.0) == (recording.count(ROWS), recording.sum(ROWS))


@pytest.mark.parametrize("kind", [list, iter, dict.fromkeys, lambda sets: (s for s in sets)])
@pytest.mark.parametrize("through", ["connection", "cursor"])
def test_the_sets_of_a_batch_are_counted(recording, connection, through, kind):
    """Whether they have a length or come from an iterator; as many as the library took."""
    target = connection if through == "connection" else connection.cursor()
    sets = [(n,) for n in range(5)]
    account = Account(perf_counter())
    token = current.set(account)
    target.executemany("INSERT INTO t VALUES (?)", kind(sets))
    current.reset(token)
    assert sets == connection.execute("SELECT a FROM t").fetchall()
    assert 5 == account.queries.parameter_sets
    statements = {s.summary: s for s in statements_of(recording.recorder)}
    assert 5 == statements["INSERT INTO t VALUES (?)"].parameter_sets


def test_a_batch_that_cannot_be_is_refused_by_the_library(recording, connection):
    """What is no collection of sets raises as ever, and so does what the iterator raises."""
    bare = sqlite3.Connection(":memory:")
    bare.execute("CREATE TABLE t (a)")
    for given in (5, None, [5], iter([5]), "ab"):
        errors = []
        for target in (bare, connection):
            with pytest.raises((TypeError, sqlite3.Error)) as caught:
                target.executemany("INSERT INTO t VALUES (?, ?)", given)
            errors.append((type(caught.value), str(caught.value)))
        assert errors[0] == errors[1]
    bare.close()

    def failing():
        yield (1,)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        connection.executemany("INSERT INTO t VALUES (?)", failing())
    assert 1 == recording.count(METRIC, error_type="LookupError")


def test_the_namespace_is_the_base_name_of_the_file(recording, tmp_path):
    """No directories, no query of a URI."""
    for database, uri in (
        (tmp_path / "a.db", False),
        (str(tmp_path / "b.db"), False),
        (f"file:{tmp_path}/c.db?mode=rwc", True),
        ("", False),
        ("file:x?mode=memory", True),
    ):
        with closing(sqlite3.connect(database, uri=uri)) as connection:
            connection.execute("SELECT 1")
    found = sorted(labels["db_namespace"] for labels in recording.series(METRIC))
    assert [":memory:", "a.db", "b.db", "c.db"] == found


def test_begin_of_the_application_counts_and_that_of_the_module_does_not(recording, connection):
    """The transaction control that sqlite3 adds is no operation of the application."""
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    with connection:
        connection.execute("INSERT INTO t VALUES (2)")
    connection.rollback()
    assert 1 + 2 == recording.count(METRIC)
    connection.execute("BEGIN")
    assert 1 == recording.count(METRIC, db_operation_name="BEGIN")


def test_a_class_given_as_factory_is_extended(recording):
    """It is an instance of that class, its methods run, and statements count once."""

    class Mine(sqlite3.Connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.execute("PRAGMA foreign_keys = ON")

        def execute(self, sql, *args):
            self.last = sql
            return super().execute(sql, *args)

        def cursor(self):
            return super().cursor(MyCursor)

    class MyCursor(sqlite3.Cursor):
        def one(self):
            return self.execute("SELECT 1").fetchone()

    for _ in range(2):
        with closing(sqlite3.connect(":memory:", factory=Mine)) as connection:
            assert isinstance(connection, Mine)
            assert connection.execute("SELECT 2").fetchone() == (2,)
            assert connection.last == "SELECT 2"
            cursor = connection.cursor()
            assert isinstance(cursor, MyCursor)
            assert (1,) == cursor.one()
            kinds = (type(connection), type(cursor))
    assert 2 == recording.count(METRIC, db_operation_name="PRAGMA")
    assert 4 == recording.count(METRIC, db_operation_name="SELECT")
    with closing(sqlite3.connect(":memory:", 5.0, 0, "", True, Mine)) as connection:
        assert kinds == (type(connection), type(connection.cursor())), "made once"


def test_a_class_with_slots_is_extended(recording):
    """What is extended may have a layout of its own."""

    class Slotted(sqlite3.Connection):
        __slots__ = ("tag",)

    with closing(sqlite3.connect(":memory:", factory=Slotted)) as connection:
        connection.tag = "x"
        connection.execute("SELECT 1")
    assert 1 == recording.count(METRIC)


def test_a_class_that_cannot_be_extended_is_left_alone(recording):
    """The application gets what it asked for, unmeasured."""

    class Closed(sqlite3.Connection):
        def __init_subclass__(cls):
            raise TypeError("no subclasses")

    for _ in range(2):
        with closing(sqlite3.connect(":memory:", factory=Closed)) as connection:
            assert Closed is type(connection)
            connection.execute("SELECT 1")
    assert [] == recording.series(METRIC)


def test_other_callables_given_as_factory_are_left_alone(recording):
    """A function that makes connections or cursors does what it did."""
    made = []

    def make(*args, **kwargs):
        kwargs.pop("factory", None)
        made.append(sqlite3.Connection(*args, **kwargs))
        return made[-1]

    with closing(sqlite3.connect(":memory:", factory=make)) as connection:
        assert [connection] == made
        assert sqlite3.Connection is type(connection)
    with closing(sqlite3.connect(":memory:")) as connection:
        cursor = connection.cursor(functools.partial(sqlite3.Cursor))
        assert sqlite3.Cursor is type(cursor)
        cursor = connection.cursor(factory=sqlite3.Cursor)
        assert isinstance(cursor, sqlite3.Cursor)
        cursor.execute("SELECT 1")
    assert 1 == recording.count(METRIC)


def test_classes_look_like_the_library_s(recording, connection):
    """Type checks hold and a repr tells nothing of us."""
    for made, original in ((connection, sqlite3.Connection), (connection.cursor(), sqlite3.Cursor)):
        assert isinstance(made, original)
        names = ("__name__", "__qualname__", "__module__", "__doc__")
        for name in names:
            assert getattr(original, name) == getattr(type(made), name)
        assert repr(made).startswith(f"<sqlite3.{original.__name__} object at ")
        for name in ("__init__", "execute", "executemany", "executescript"):
            bound, wrapped = getattr(type(made), name), getattr(original, name)
            assert wrapped is inspect.unwrap(bound)


def test_what_checks_for_real_connections_works(recording, connection, tmp_path):
    """Backup, blobs, dumps, row factories, functions and the context manager are untouched."""
    connection.execute("INSERT INTO t VALUES (x'0102')")
    connection.commit()  # else a backup waits for the end of the transaction
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        connection.backup(copy)
        assert [(b"\1\2",)] == copy.execute("SELECT a FROM t").fetchall()
    with connection.blobopen("t", "a", 1) as blob:
        assert b"\1\2" == blob.read()
    assert "CREATE TABLE t (a);" in list(connection.iterdump())
    connection.row_factory = sqlite3.Row
    assert b"\1\2" == connection.execute("SELECT a FROM t").fetchone()["a"]
    assert b"\1\2" == next(connection.cursor().execute("SELECT a FROM t"))["a"]
    connection.create_function("double", 1, lambda x: 2 * x)
    assert 4 == connection.execute("SELECT double(2) AS d").fetchone()["d"]
    with suppress(ZeroDivisionError), connection:
        connection.execute("INSERT INTO t VALUES (3)")
        _ = 1 / 0
    assert 1 == len(connection.execute("SELECT * FROM t").fetchall())


def test_wrong_calls_are_refused_by_the_library_and_not_counted(recording, connection):
    """What is no statement is no operation."""
    before = recording.count(METRIC)
    for arguments in ((), (1,), ([],), (None,)):
        with pytest.raises(TypeError):
            connection.execute(*arguments)
    with pytest.raises(TypeError):
        connection.cursor(1, 2)
    with pytest.raises(TypeError):
        sqlite3.connect(3.5)
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")
    after = recording.count(METRIC)
    assert before == after - recording.count(METRIC, error_type="TypeError")


def test_an_empty_statement_does_not_raise(recording, connection):
    """It is an operation like any other."""
    connection.execute("")
    connection.execute("-- nothing")
    assert 2 == recording.count(METRIC, db_operation_name="OTHER")


def test_an_outer_layer_that_counts_silences_the_driver(recording, connection):
    """While the bit of the component is set, the driver says nothing."""
    before = recording.count(METRIC)
    token = counted.set(1 << DB)
    connection.execute("SELECT 1")
    counted.reset(token)
    assert before == recording.count(METRIC)


def test_a_statement_run_by_a_callback_is_an_operation_too(recording, connection):
    """The application's function called by a statement may execute one of its own."""
    before = recording.count(METRIC)

    def callback():
        with closing(sqlite3.connect(":memory:")) as other:
            return other.execute("SELECT 7").fetchone()[0]

    connection.create_function("ask", 0, callback)
    assert (7,) == connection.execute("SELECT ask()").fetchone()
    assert before + 2 == recording.count(METRIC)


def test_threads_have_calls_of_their_own(recording, tmp_path):
    """A call in one thread does not silence another, and no observation is lost."""

    def work():
        with closing(sqlite3.connect(tmp_path / "x.db", timeout=60)) as connection:
            for _ in range(200):
                connection.execute("SELECT 1")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 800 == recording.count(METRIC, db_namespace="x.db")


async def test_connections_of_aiosqlite_are_left_alone(recording, tmp_path):
    """They are the library's own class, and their statements count nothing."""
    async with aiosqlite.connect(tmp_path / "a.db") as connection:
        assert sqlite3.Connection is type(connection._conn)
        async with connection.execute("SELECT 1") as cursor:
            assert (1,) == await cursor.fetchone()
    assert [] == recording.series(METRIC)


def test_a_request_with_many_statements_is_charged_for_each(recording, connection):
    """Calls are counted beyond what an account keeps before it is folded."""
    account = Account(perf_counter())
    token = current.set(account)
    for _ in range(300):
        connection.execute("SELECT 1")
    current.reset(token)
    breakdown = account.close(perf_counter())
    assert 300 == breakdown.calls[DB]
    assert 0 < breakdown.seconds[DB]
