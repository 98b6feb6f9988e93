"""PyMySQL: the contract on a real MariaDB, all classes of cursors, procedures and batches."""

import importlib
import sys
from contextlib import closing, contextmanager
from time import perf_counter

import pymysql
import pymysql.cursors
import pytest

from perfsdk.integrations import INTEGRATIONS
from perfsdk.integrations import pymysql as integration
from perfsdk.libraries import Libraries
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.dbapi import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, DatabaseContract, counts

SYSTEM = {"db_system_name": "mariadb", "db_namespace": "shop"}


def connect(server, **options):
    """A connection with an empty table of its own."""
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, database="shop", **options
    )
    connection.autocommit(True)
    connection.cursor().execute("CREATE TEMPORARY TABLE items (id integer NOT NULL, name text)")
    return connection


class TestContract(DatabaseContract):
    """The contract on a temporary table."""

    library = "pymysql"
    labels = {**SYSTEM, "db_operation_name": "SELECT", "db_collection_name": "items"}  # noqa: RUF012 - read only
    failure_labels = {**labels, "db_operation_name": "INSERT"}  # noqa: RUF012 - read only
    error_type = "IntegrityError"
    bounded = {  # noqa: RUF012 - read only
        "db_system_name": {"mariadb"},
        "db_namespace": {"shop"},
        "db_operation_name": {"CREATE", "INSERT", "SELECT"},
        "db_collection_name": {"items", ""},
        "error_type": {"", "IntegrityError"},
    }
    result = ((0,),)

    @pytest.fixture(autouse=True)
    def _server(self, mariadb):
        self.server = mariadb

    def owners(self):
        return [pymysql, pymysql.cursors.Cursor, pymysql.cursors.SSCursor, pymysql.Connection]

    def client(self):
        return closing(connect(self.server))

    def execute(self, client, statement):
        cursor = client.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None

    def execute_many(self, client, number):
        sets = [(n, f"name {n}") for n in range(number)]
        client.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)

    def succeed(self, client):
        return self.execute(client, "SELECT count(*) FROM items")

    def succeed_inside_with(self, client):
        with client.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM items")
            return cursor.fetchall()

    def fail(self, client):
        client.cursor().execute("INSERT INTO items VALUES (NULL, 'a')")

    def vary(self, client, number):
        client.cursor().execute("SELECT name FROM items WHERE id = %s", (number,))

    @contextmanager
    def watch(self, client):
        """The statements that the server was sent."""
        sent = []
        send = client._execute_command

        def watched(command, sql):
            sent.append((command, sql))
            return send(command, sql)

        client._execute_command = watched
        yield sent
        del client._execute_command


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while PyMySQL is measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(pymysql, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
def recorder_alone(tmp_path):
    """Where values go, while nothing is measured."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.fixture
def connection(mariadb, recording):
    """A measured connection with three items."""
    with closing(connect(mariadb)) as connection:
        sets = [(n, f"name {n}") for n in range(3)]
        connection.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)
        yield connection


@pytest.mark.parametrize("name", ["Cursor", "DictCursor"])
def test_rows_of_buffered_cursors_are_there_at_once(connection, recording, name):
    """Whether and how they are fetched."""
    with connection.cursor(getattr(pymysql.cursors, name)) as cursor:
        assert 2 == cursor.execute("SELECT id, name FROM items WHERE id > %s", (0,))
    assert 2 == recording.sum(ROWS, db_operation_name="SELECT")
    assert 1 == counts(recording)["SELECT", "items"]


@pytest.mark.parametrize("name", ["SSCursor", "SSDictCursor"])
def test_rows_in_the_server_are_fetched_by_operations_of_their_own(connection, recording, name):
    """Several at once; one at a time is no operation."""
    with connection.cursor(getattr(pymysql.cursors, name)) as cursor:
        cursor.execute("SELECT id, name FROM items")
        assert 0 == recording.count(ROWS)
        assert cursor.fetchone()
        assert 1 == len(cursor.fetchmany(1))
        assert 1 == len(cursor.fetchall())
    assert 2 == counts(recording)["FETCH", ""]
    assert 2 == recording.sum(ROWS, db_operation_name="FETCH")
    assert 1 == counts(recording)["SELECT", "items"]


def test_a_batch_is_one_operation_however_many_statements_it_becomes(connection, recording):
    """An UPDATE runs once for each set, and an INSERT over the length of a statement too."""
    cursor = connection.cursor()
    account = Account(perf_counter())
    token = current.set(account)
    updates = [("b", n) for n in range(3)]
    assert 3 == cursor.executemany("UPDATE items SET name = %s WHERE id = %s", updates)
    cursor.max_stmt_length = 60
    inserts = [(n, "c") for n in range(9)]
    assert 9 == cursor.executemany("INSERT INTO items VALUES (%s, %s)", inserts)
    assert None is cursor.executemany("INSERT INTO items VALUES (%s, %s)", [])
    current.reset(token)
    assert 1 == counts(recording)["UPDATE", "items"]
    assert 3 == counts(recording)["INSERT", "items"]  # one in the fixture
    assert 12 == account.queries.parameter_sets
    assert 0 == recording.count(ROWS)


def test_a_procedure_is_one_call(connection, recording):
    """The statement that sets its parameters belongs to it."""
    connection.select_db("sys")
    cursor = connection.cursor()
    assert ("mysql", "user", "") == cursor.callproc("table_exists", ("mysql", "user", ""))
    assert 1 == counts(recording)["CALL", ""]
    assert ("SET", "") not in counts(recording)
    assert 0 == recording.count(ROWS, db_operation_name="CALL")


def test_what_the_connection_does_itself_is_no_operation(connection, recording):
    """Transactions, pings and the choice of a database; the same as statements are."""
    before = counts(recording)
    connection.begin()
    connection.commit()
    connection.rollback()
    connection.ping()
    connection.select_db("shop")
    connection.autocommit(False)
    assert before == counts(recording)
    connection.cursor().execute("COMMIT")
    assert 1 == counts(recording)["COMMIT", ""]


def test_a_connection_as_a_context_manager_stays_what_it_is(mariadb, recording):
    """It closes at the end of its block, as the library has it."""
    with connect(mariadb) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert not connection.open
    with pytest.raises(pymysql.err.ProgrammingError, match="Cursor closed"):
        cursor.execute("SELECT 1")


def test_a_subclass_of_the_application_counts_once(connection, recording):
    """One that overrides and calls up."""

    class Loud(pymysql.cursors.DictCursor):
        def execute(self, query, args=None):
            return super().execute(query, args)

    with connection.cursor(Loud) as cursor:
        cursor.execute("SELECT id FROM items")
    assert 1 == counts(recording)["SELECT", "items"]


def test_statements_may_be_bytes(connection, recording):
    """As the library takes them."""
    connection.cursor().execute(b"SELECT id FROM items")
    assert 1 == counts(recording)["SELECT", "items"]


def test_a_statement_that_is_none_raises_what_the_library_raises(connection, recording):
    """Neither a number nor nothing is one."""
    for wrong in (None, 7):
        with pytest.raises((TypeError, AttributeError)):
            connection.cursor().execute(wrong)
    with pytest.raises(TypeError):
        connection.cursor().execute()


def test_connections_leave_no_trace_after_undo(mariadb, tmp_path):
    """One that outlives the patch is not measured, and another patch measures it again."""
    with closing(connect(mariadb)) as connection:
        for name in ("first", "second"):
            patches = Patches()
            with Recording(tmp_path / name) as recording:
                integration.patch(pymysql, patches, recording.recorder)
                connection.cursor().execute("SELECT id FROM items")
                patches.undo()
                connection.cursor().execute("SELECT id FROM items")
                assert 1 == recording.count(DURATION)


def test_wide_and_repeated_selects_are_found(connection, recording):
    """What one request shows."""
    columns = ", ".join(f"{n} AS c{n}" for n in range(40))
    account = Account(perf_counter())
    token = current.set(account)
    cursor = connection.cursor()
    cursor.execute(f"SELECT {columns} FROM items")
    for number in range(20):
        cursor.execute("SELECT name FROM items WHERE id = %s", (number,))
    current.reset(token)
    kinds = {kind for _, kind in account.queries.findings}
    assert {"wide_select", "n_plus_one"} <= kinds
    assert all("test_pymysql.py" in site for site in account.queries.findings.values())


@pytest.mark.parametrize("when", ["before", "after"])
def test_under_the_name_of_mysqlclient_it_is_patched_once(recorder_alone, monkeypatch, when):
    """The integration of mysqlclient leaves PyMySQL alone that stands in for it."""
    for name in ("MySQLdb", "_mysql", "MySQLdb.constants"):
        monkeypatch.setitem(sys.modules, name, None)  # restored at the end
        del sys.modules[name]
    original = pymysql.cursors.Cursor.execute
    libraries = Libraries(recorder_alone.recorder)
    if when == "before":
        pymysql.install_as_MySQLdb()
    libraries.start(disabled=set(INTEGRATIONS) - {"MySQLdb", "pymysql"})
    if when == "after":
        pymysql.install_as_MySQLdb()
    assert pymysql is importlib.import_module("MySQLdb")
    libraries.write()
    assert original is pymysql.cursors.Cursor.execute.__wrapped__
    libraries.stop()
    assert original is pymysql.cursors.Cursor.execute
    statuses = recorder_alone.series("perfsdk_integration_info")
    assert {"pymysql"} == {
        labels["library"] for labels in statuses if labels["status"] != "disabled"
    }


def test_no_literal_of_a_batch_is_kept(connection, recording):
    """Statements that the driver composes are never looked at."""
    sets = [(n, "hunter2") for n in range(3)]
    connection.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)
    shown = " ".join(statement.summary for statement in statements_of(recording.recorder))
    assert "hunter2" not in shown
    assert "INSERT INTO items" in shown
