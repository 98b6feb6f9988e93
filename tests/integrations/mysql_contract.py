"""What drivers of MySQL and MariaDB promise that block and have PyMySQL's cursors."""

from contextlib import closing
from importlib import import_module
from pathlib import Path
from time import perf_counter

import pytest

from perfsdk.integrations import INTEGRATIONS
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, CursorContract, counts

SYSTEM = {"db_system_name": "mariadb", "db_namespace": "shop"}


class Items:
    """The labels of statements about the table `items` of a contract."""

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


class Driver:
    """A driver that a subclass names by its `library`."""

    library: str

    @property
    def driver(self):
        """Its module."""
        return import_module(self.library)

    @property
    def integration(self):
        """Ours."""
        return import_module(INTEGRATIONS[self.library])

    def connect(self, server):
        """A connection with an empty table of its own."""
        connection = self.driver.connect(
            host=server.host, port=server.port, user=server.user, database="shop"
        )
        connection.autocommit(True)
        connection.cursor().execute("CREATE TEMPORARY TABLE items (id integer NOT NULL, name text)")
        return connection


class MysqlContract(Items, Driver, CursorContract):
    """The contract on a temporary table."""

    def client(self):
        return closing(self.connect(self.server))

    def succeed_inside_with(self, client):
        with client.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM items")
            return cursor.fetchall()

    def vary(self, client, number):
        client.cursor().execute("SELECT name FROM items WHERE id = %s", (number,))


class MysqlCursors(Driver):
    """All classes of cursors, procedures and batches."""

    cursor_closed = ""
    """What the library says of a cursor that is closed."""
    binary = (bytes,)
    """Types of statements besides text."""
    wrong_statement = (TypeError, AttributeError)
    """What it raises for a statement that is none."""

    @pytest.fixture
    def recording(self, tmp_path):
        """Where the values go, while the driver is measured."""
        patches = Patches()
        with Recording(tmp_path / "recording") as recording:
            self.integration.patch(self.driver, patches, recording.recorder)
            yield recording
            patches.undo()

    @pytest.fixture
    def connection(self, mariadb, recording):
        """A measured connection with three items."""
        with closing(self.connect(mariadb)) as connection:
            sets = [(n, f"name {n}") for n in range(3)]
            connection.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)
            yield connection

    @pytest.mark.parametrize("name", ["Cursor", "DictCursor"])
    def test_rows_of_buffered_cursors_are_there_at_once(self, connection, recording, name):
        """Whether and how they are fetched."""
        with connection.cursor(getattr(self.driver.cursors, name)) as cursor:
            assert 2 == cursor.execute("SELECT id, name FROM items WHERE id > %s", (0,))
        assert 2 == recording.sum(ROWS, db_operation_name="SELECT")
        assert 1 == counts(recording)["SELECT", "items"]

    @pytest.mark.parametrize("name", ["SSCursor", "SSDictCursor"])
    def test_rows_in_the_server_are_fetched_by_operations_of_their_own(
        self, connection, recording, name
    ):
        """Several at once; one at a time is no operation."""
        with connection.cursor(getattr(self.driver.cursors, name)) as cursor:
            cursor.execute("SELECT id, name FROM items")
            assert 0 == recording.count(ROWS)
            assert cursor.fetchone()
            assert 1 == len(cursor.fetchmany(1))
            assert 1 == len(cursor.fetchall())
        assert 2 == counts(recording)["FETCH", ""]
        assert 2 == recording.sum(ROWS, db_operation_name="FETCH")
        assert 1 == counts(recording)["SELECT", "items"]

    def test_a_batch_is_one_operation_however_many_statements_it_becomes(
        self, connection, recording
    ):
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

    def test_a_procedure_is_one_call(self, connection, recording):
        """The statement that sets its parameters belongs to it."""
        connection.select_db("sys")
        cursor = connection.cursor()
        assert ("mysql", "user", "") == cursor.callproc("table_exists", ("mysql", "user", ""))
        assert 1 == counts(recording)["CALL", ""]
        assert ("SET", "") not in counts(recording)
        assert 0 == recording.count(ROWS, db_operation_name="CALL")

    def test_what_the_connection_does_itself_is_no_operation(self, connection, recording):
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

    def test_a_connection_as_a_context_manager_stays_what_it_is(self, mariadb, recording):
        """It closes at the end of its block, as the library has it."""
        with self.connect(mariadb) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert not connection.open
        with pytest.raises(self.driver.ProgrammingError, match=self.cursor_closed):
            cursor.execute("SELECT 1")

    def test_a_subclass_of_the_application_counts_once(self, connection, recording):
        """One that overrides and calls up."""

        class Loud(self.driver.cursors.DictCursor):
            def execute(self, query, args=None):
                return super().execute(query, args)

        with connection.cursor(Loud) as cursor:
            cursor.execute("SELECT id FROM items")
        assert 1 == counts(recording)["SELECT", "items"]

    def test_statements_may_be_bytes(self, connection, recording):
        """As the library takes them."""
        for kind in self.binary:
            connection.cursor().execute(kind(b"SELECT id FROM items"))
        assert len(self.binary) == counts(recording)["SELECT", "items"]

    def test_a_statement_that_is_none_raises_what_the_library_raises(self, connection, recording):
        """Neither a number nor nothing is one."""
        for wrong in (None, 7):
            with pytest.raises(self.wrong_statement):
                connection.cursor().execute(wrong)
        with pytest.raises(TypeError):
            connection.cursor().execute()

    def test_connections_leave_no_trace_after_undo(self, mariadb, tmp_path):
        """One that outlives the patch is not measured, and another patch measures it again."""
        with closing(self.connect(mariadb)) as connection:
            for name in ("first", "second"):
                patches = Patches()
                with Recording(tmp_path / name) as recording:
                    self.integration.patch(self.driver, patches, recording.recorder)
                    connection.cursor().execute("SELECT id FROM items")
                    patches.undo()
                    connection.cursor().execute("SELECT id FROM items")
                    assert 1 == recording.count(DURATION)

    def test_wide_and_repeated_selects_are_found(self, connection, recording):
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
        assert all(Path(__file__).name in site for site in account.queries.findings.values())

    def test_no_literal_of_a_batch_is_kept(self, connection, recording):
        """Statements that the driver composes are never looked at."""
        sets = [(n, "hunter2") for n in range(3)]
        connection.cursor().executemany("INSERT INTO items VALUES (%s, %s)", sets)
        shown = " ".join(statement.summary for statement in statements_of(recording.recorder))
        assert "hunter2" not in shown
        assert "INSERT INTO items" in shown
