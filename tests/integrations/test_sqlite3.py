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
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import IntegrationContract

METRIC = DB_CLIENT_OPERATION_DURATION.name


class TestContract(IntegrationContract):
    """The contract on a database in memory."""

    library = "sqlite3"
    metric = METRIC
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
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
            connection.execute("INSERT INTO users VALUES (1, 'Ada')")
            yield connection

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
