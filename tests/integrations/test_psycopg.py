"""psycopg 3: every way to ask is counted once, and what the library does for itself is not."""

import asyncio
import contextlib

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from perfsdk.integrations import psycopg as integration
from perfsdk.request import DB, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import (
    DURATION,
    ROWS,
    AsyncDatabaseContract,
    DatabaseContract,
    counts,
)

TABLE = "CREATE TEMP TABLE items (id int PRIMARY KEY, name text)"
SELECT = "SELECT name FROM items WHERE id = %s"
SYSTEM = {"db_system_name": "postgresql", "db_namespace": "shop"}
LABELS = {**SYSTEM, "db_operation_name": "SELECT", "db_collection_name": "items"}
BOUNDED = {
    "db_system_name": {"postgresql"},
    "db_namespace": {"shop"},
    "db_operation_name": {"CREATE", "DELETE", "INSERT", "SELECT"},
    "db_collection_name": {"", "items"},
    "error_type": {"", "UniqueViolation"},
}


def owners():
    """Every class that is changed."""
    names = ("Cursor", "ServerCursor", "AsyncCursor", "AsyncServerCursor", "Copy", "AsyncCopy")
    classes = [getattr(psycopg, name) for name in names]
    return {owner for cls in classes for owner in cls.__mro__ if owner is not object}


class TestContract(DatabaseContract):
    """The contract for synchronous connections."""

    library = "psycopg"
    labels = LABELS
    failure_labels = {**SYSTEM, "db_operation_name": "INSERT", "db_collection_name": "items"}  # noqa: RUF012 - read only
    error_type = "UniqueViolation"
    bounded = BOUNDED
    result = [("one",)]  # noqa: RUF012 - read only

    @pytest.fixture(autouse=True)
    def _server(self, postgresql):
        self.server = postgresql

    def owners(self):
        """Classes of cursors and of COPY."""
        return owners()

    @contextlib.contextmanager
    def client(self):
        """A connection with a table of its own."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute("INSERT INTO items VALUES (100, 'one')")
            connection.execute("DELETE FROM items WHERE id < 100")
            yield connection

    def execute(self, client, statement):
        """By a cursor; rows of a SELECT are those inserted by tests."""
        cursor = client.cursor()
        if statement.startswith("SELECT id, name"):
            statement += " WHERE id < 100"
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None

    def execute_many(self, client, number):
        """By a cursor."""
        query = "INSERT INTO items VALUES (%s, %s)"
        client.cursor().executemany(query, [(n, "x") for n in range(number)])

    def succeed(self, client):
        """A SELECT by key."""
        return client.execute(SELECT, (100,)).fetchall()

    def succeed_inside_with(self, client):
        """The same in a cursor's block."""
        with client.transaction(), client.cursor() as cursor:
            return cursor.execute(SELECT, (100,)).fetchall()

    def fail(self, client):
        """An INSERT of a key that is there."""
        client.execute("INSERT INTO items VALUES (100, 'again')")

    def vary(self, client, number):
        """Other literals and parameters."""
        client.execute(f"SELECT name FROM items WHERE id = {number}").fetchall()
        client.execute(SELECT, (number,)).fetchall()

    @contextlib.contextmanager
    def watch(self, client):
        """What the server's statistics count of the connection."""
        seen = []
        with psycopg.connect(self.server.dsn, autocommit=True) as observer:
            observer.execute("SELECT pg_stat_statements_reset()")
            yield seen
            seen += observer.execute(
                "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%items%' ORDER BY 1"
            ).fetchall()


class TestAsyncContract(AsyncDatabaseContract):
    """The contract for asynchronous connections."""

    library = "psycopg"
    labels = LABELS
    failure_labels = TestContract.failure_labels
    error_type = "UniqueViolation"
    bounded = BOUNDED
    result = [("one",)]  # noqa: RUF012 - read only
    owners = TestContract.owners
    watch = TestContract.watch
    _server = TestContract._server

    @contextlib.asynccontextmanager
    async def client(self):
        """A connection with a table of its own."""
        connection = await psycopg.AsyncConnection.connect(self.server.dsn, autocommit=True)
        async with connection:
            await connection.execute(TABLE)
            await connection.execute("INSERT INTO items VALUES (100, 'one')")
            await connection.execute("DELETE FROM items WHERE id < 100")
            yield connection

    async def execute(self, client, statement):
        """By a cursor."""
        if statement.startswith("SELECT id, name"):
            statement += " WHERE id < 100"
        cursor = await client.execute(statement)
        return await cursor.fetchall() if cursor.description else None

    async def execute_many(self, client, number):
        """By a cursor."""
        query = "INSERT INTO items VALUES (%s, %s)"
        await client.cursor().executemany(query, [(n, "x") for n in range(number)])

    async def succeed(self, client):
        """A SELECT by key."""
        return await (await client.execute(SELECT, (100,))).fetchall()

    async def succeed_inside_with(self, client):
        """The same in a cursor's block."""
        async with client.transaction(), client.cursor() as cursor:
            return await (await cursor.execute(SELECT, (100,))).fetchall()

    async def fail(self, client):
        """An INSERT of a key that is there."""
        await client.execute("INSERT INTO items VALUES (100, 'again')")

    async def vary(self, client, number):
        """Other literals and parameters."""
        await client.execute(f"SELECT name FROM items WHERE id = {number}")
        await client.execute(SELECT, (number,))

    async def hang(self, client):
        """A statement that takes longer than anyone waits."""
        await client.execute("SELECT pg_sleep(60)")


@pytest.fixture
def patched(recording):
    """psycopg measured, into `recording`."""
    patches = Patches()
    integration.patch(psycopg, patches, recording.recorder)
    yield recording
    patches.undo()


@pytest.fixture
def connection(postgresql, patched):
    """A connection with a table of 25 rows; what made it is not in the test's counts."""
    with psycopg.connect(postgresql.dsn) as connection:
        token = integration.counted.set(1 << DB)
        connection.execute(TABLE)
        connection.execute("INSERT INTO items SELECT n, 'x' FROM generate_series(1, 25) n")
        integration.counted.reset(token)
        yield connection


def test_the_library_s_own_account_is_no_operation(connection, patched):
    """Connecting, BEGIN, COMMIT, ROLLBACK and the savepoints of blocks are its own."""
    with connection.transaction(), connection.transaction():
        connection.execute("SELECT 1")
    connection.rollback()
    connection.commit()
    connection.execute("SAVEPOINT a")
    assert {("SELECT", ""): 1, ("SAVEPOINT", ""): 1} == counts(patched)


def test_a_server_side_cursor_is_fetched_apart(connection, patched):
    """DECLARE is the SELECT; each round trip is a FETCH with the rows that it brought."""
    with connection.cursor(name="named") as cursor:
        cursor.itersize = 10
        cursor.execute("SELECT id FROM items ORDER BY id")
        assert 25 == len(list(cursor))
        cursor.scroll(0, mode="absolute")
        assert (1,) == cursor.fetchone()
        assert 4 == len(cursor.fetchmany(4))
        assert 20 == len(cursor.fetchall())
    assert {("SELECT", "items"): 1, ("FETCH", "items"): 6} == counts(patched)
    assert 50 == patched.sum(ROWS, db_operation_name="FETCH", db_collection_name="items")
    assert 0 == patched.count(ROWS, db_operation_name="SELECT")


def test_copy_is_one_operation(connection, patched):
    """From its begin to its end, with the class of what it ended by."""
    with connection.cursor().copy("COPY items FROM STDIN") as copy:
        copy.write_row((26, "y"))
    with connection.cursor().copy("COPY (SELECT id FROM items) TO STDOUT") as copy:
        assert 26 == len(list(copy.rows()))
    twice = connection.cursor().copy("COPY items FROM STDIN")
    with pytest.raises(psycopg.errors.UniqueViolation), twice as copy:
        copy.write_row((26, "y"))
    assert 3 == patched.count(DURATION, db_operation_name="COPY")
    failed = patched.count(DURATION, db_operation_name="COPY", error_type="UniqueViolation")
    assert 1 == failed


def test_a_stream_is_one_operation(connection, patched):
    """Rows come as they would, and it can be left early."""
    assert 25 == len(list(connection.cursor().stream("SELECT id FROM items WHERE id > %s", (0,))))
    for row in connection.cursor().stream("SELECT id FROM items"):
        assert (1,) == row
        break
    assert {("SELECT", "items"): 2} == counts(patched)


def test_a_pipeline(connection, patched):
    """Each statement is one; rows are absent, since they come later."""
    with connection.pipeline():
        first = connection.execute("SELECT id FROM items WHERE id = 1")
        second = connection.execute("SELECT id FROM items WHERE id = 2")
    assert ([(1,)], [(2,)]) == (first.fetchall(), second.fetchall())
    assert {("SELECT", "items"): 2} == counts(patched)


@pytest.mark.parametrize(
    "query",
    [
        b"SELECT id FROM items",
        sql.SQL("SELECT id FROM items"),
        sql.SQL("SELECT {} FROM {} WHERE id > {}").format(
            sql.Identifier("id"), sql.Identifier("items"), sql.Literal(0)
        ),
        sql.SQL("SELECT id FROM ") + sql.Identifier("items"),
    ],
)
def test_queries_in_other_forms(connection, patched, query):
    """Bytes and composed queries tell their table, and nothing of them is lost."""
    assert 25 == len(connection.execute(query).fetchall())
    assert {("SELECT", "items"): 1} == counts(patched)


@pytest.mark.parametrize(
    "factory", [psycopg.ClientCursor, psycopg.RawCursor, psycopg.RawServerCursor]
)
def test_other_classes_of_cursors(postgresql, connection, patched, factory):
    """They are measured as the usual ones, and keep what is special to them."""
    arguments = {"name": "a"} if factory is psycopg.RawServerCursor else {}
    cursor = factory(connection, **arguments)
    cursor.row_factory = dict_row
    marker = "%s" if factory is psycopg.ClientCursor else "$1"
    cursor.execute(f"SELECT id FROM items WHERE id = {marker}", (3,))
    assert [{"id": 3}] == cursor.fetchall()
    assert 1 == patched.count(DURATION, db_operation_name="SELECT")


async def test_an_asynchronous_server_side_cursor(postgresql, patched):
    """FETCH apart, too, in one request's account."""
    account = Account(0.0)
    async with await psycopg.AsyncConnection.connect(postgresql.dsn) as connection:
        token = current.set(account)
        async with connection.cursor(name="named") as cursor:
            await cursor.execute("SELECT generate_series(1, 250)")
            assert 250 == len([row async for row in cursor])
        async for _ in connection.cursor().stream("SELECT generate_series(1, 3)"):
            pass
        async with connection.cursor().copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert [b"1\n"] == [bytes(part) async for part in copy]
        current.reset(token)
    assert {("SELECT", ""): 2, ("FETCH", ""): 3, ("COPY", ""): 1} == counts(patched)
    assert 6 == sum(account.close(1e9).calls)


async def test_a_cancelled_stream_is_left(postgresql, patched):
    """The cancellation arrives, and the connection can be closed."""
    async with await psycopg.AsyncConnection.connect(postgresql.dsn) as connection:

        async def ask():
            async for _ in connection.cursor().stream("SELECT pg_sleep(60)"):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(), 0.2)
    assert 1 == patched.count(DURATION, error_type="CancelledError")


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (
            "WITH x AS (SELECT) INSERT INTO items SELECT n, E'\\t' FROM generate_series(30, 39) n",
            [],
        ),
        ("WITH x AS (SELECT 1) UPDATE items SET name = E'\\t' WHERE id < 9 RETURNING id", [8]),
        ("SELECT id INTO TEMP others FROM items", []),
        ("UPDATE items SET name = 'x' FROM (SELECT 1 AS returning) x", []),
        ("SELECT id FROM items WHERE id < 4; UPDATE items SET name = 'y'", [3]),
        ("SELECT id FROM items WHERE id < 4; SELECT id FROM items WHERE id = 4", [4]),
        ("EXPLAIN SELECT 1", [1]),
        ("SELECT id FROM items WHERE id < 0", [0]),
    ],
)
async def test_rows_affected_are_not_returned(postgresql, connection, patched, query, rows):
    """What comes back decides, also where the text does not tell or is not read."""
    connection.execute(query)
    async with await psycopg.AsyncConnection.connect(postgresql.dsn) as awaited:
        token = integration.counted.set(1 << DB)
        await awaited.execute(TABLE)
        await awaited.execute("INSERT INTO items SELECT n, 'x' FROM generate_series(1, 25) n")
        integration.counted.reset(token)
        await awaited.execute(query)
    assert 2 * len(rows) == patched.count(ROWS)
    assert 2 * sum(rows) == patched.sum(ROWS)


def test_a_batch_returns_the_rows_that_are_kept(connection, patched):
    """Without `returning`, what came back is thrown away, and what was affected is no answer."""
    cursor = connection.cursor()
    insert = "INSERT INTO items VALUES (%s, 'x') RETURNING id"
    cursor.executemany(insert, [(30,), (31,), (32,)])
    assert 0 == patched.count(ROWS)
    cursor.executemany(insert, [(40,), (41,)], returning=True)
    assert [(40,)] == cursor.fetchall()
    assert cursor.nextset()
    assert [(41,)] == cursor.fetchall()
    assert (1, 2.0) == (patched.count(ROWS), patched.sum(ROWS))
    cursor.executemany("UPDATE items SET name = 'z' WHERE id > %s", [(0,)], returning=True)
    assert 1 == patched.count(ROWS)
