"""asyncpg: every entry point is counted once; its own account is not; pools tell their state."""

import contextlib

import asyncpg
import pytest

from perfsdk.integrations import asyncpg as integration
from perfsdk.request import DB, counted
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, AsyncDatabaseContract, counts

SELECT = "SELECT name FROM items WHERE id = $1"
SYSTEM = {"db_system_name": "postgresql", "db_namespace": "shop"}
LABELS = {**SYSTEM, "db_operation_name": "SELECT", "db_collection_name": "items"}


class TestContract(AsyncDatabaseContract):
    """The contract for connections."""

    library = "asyncpg"
    labels = LABELS
    failure_labels = {**SYSTEM, "db_operation_name": "INSERT", "db_collection_name": "items"}  # noqa: RUF012 - read only
    error_type = "UniqueViolationError"
    bounded = {  # noqa: RUF012 - read only
        "db_system_name": {"postgresql"},
        "db_namespace": {"shop"},
        "db_operation_name": {"CREATE", "INSERT", "SELECT"},
        "db_collection_name": {"", "items"},
        "error_type": {"", "UniqueViolationError"},
    }
    result = "one"

    @pytest.fixture(autouse=True)
    def _server(self, postgresql):
        self.server = postgresql

    def owners(self):
        """What everything goes through."""
        return [
            asyncpg.connection.Connection,
            asyncpg.prepared_stmt.PreparedStatement,
            asyncpg.cursor.BaseCursor,
            asyncpg.transaction.Transaction,
        ]

    @contextlib.asynccontextmanager
    async def client(self):
        """A connection with a table of its own."""
        connection = await asyncpg.connect(self.server.dsn)
        try:
            await connection.execute("CREATE TEMP TABLE items (id int PRIMARY KEY, name text)")
            await connection.execute("INSERT INTO items VALUES ($1, $2)", 100, "one")
            yield connection
        finally:
            await connection.close()

    async def execute(self, client, statement):
        """By `fetch`; rows of a SELECT are those inserted by tests."""
        if statement.startswith("SELECT id, name"):
            statement += " WHERE id < 100"
        return await client.fetch(statement)

    async def execute_nothing(self, client):
        """By the simple protocol."""
        return await client.execute("")

    async def execute_many(self, client, number):
        """By `executemany`."""
        query = "INSERT INTO items VALUES ($1, $2)"
        await client.executemany(query, [(n, "x") for n in range(number)])

    async def succeed(self, client):
        """A value by key."""
        return await client.fetchval(SELECT, 100)

    async def succeed_inside_with(self, client):
        """The same in a transaction."""
        async with client.transaction():
            return await client.fetchval(SELECT, 100)

    async def fail(self, client):
        """An INSERT of a key that is there."""
        await client.execute("INSERT INTO items VALUES (100, 'again')")

    async def vary(self, client, number):
        """Other literals and parameters."""
        await client.execute(f"SELECT name FROM items WHERE id = {number}")
        await client.fetch(SELECT, number)

    async def hang(self, client):
        """A statement that takes longer than anyone waits."""
        await client.execute("SELECT pg_sleep(60)")

    @contextlib.asynccontextmanager
    async def watch(self, client):
        """What the server's statistics count of the table."""
        seen = []
        observer = await asyncpg.connect(self.server.dsn)
        try:
            await observer.execute("SELECT pg_stat_statements_reset()")
            yield seen
            query = "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%items%'"
            seen += [tuple(row) for row in await observer.fetch(f"{query} ORDER BY 1")]
        finally:
            await observer.close()


@pytest.fixture
def patched(recording):
    """asyncpg measured, into `recording`."""
    patches = Patches()
    integration.patch(asyncpg, patches, recording.recorder)
    yield recording
    patches.undo()


@pytest.fixture
async def connection(postgresql, patched):
    """A connection with a table of 25 rows; what made it is not in the test's counts."""
    connection = await asyncpg.connect(postgresql.dsn)
    token = counted.set(1 << DB)
    await connection.execute("CREATE TEMP TABLE items (id int PRIMARY KEY, name text)")
    await connection.execute("INSERT INTO items SELECT n, 'x' FROM generate_series(1, 25) n")
    counted.reset(token)
    yield connection
    await connection.close()


async def test_every_entry_point_is_one_operation(connection, patched):
    """Whether it goes the simple or the extended way, in one or in several steps."""
    query = "SELECT id FROM items WHERE id < $1"
    before = 0
    for call, rows in (
        (connection.execute("SELECT id FROM items"), 0),
        (connection.execute(query, 9), 0),
        (connection.fetch(query, 9), 8),
        (connection.fetchrow(query, 9), 1),
        (connection.fetchval(query, 9), 1),
        (connection.fetchmany(query, [(3,), (2,)]), 3),
    ):
        await call
        before += rows
        assert before == patched.sum(ROWS)
    assert {("SELECT", "items"): 6} == counts(patched)


async def test_prepared_statements(connection, patched):
    """Preparing asks nothing; each execution is one operation."""
    statement = await connection.prepare("SELECT id FROM items WHERE id < $1")
    assert 8 == len(await statement.fetch(9))
    assert 1 == await statement.fetchval(9)
    assert (1,) == tuple(await statement.fetchrow(9))
    insert = await connection.prepare("INSERT INTO items VALUES ($1, 'y')")
    await insert.executemany([(30,), (31,)])
    assert {("SELECT", "items"): 3, ("INSERT", "items"): 1} == counts(patched)
    assert 10 == patched.sum(ROWS)


async def test_cursors_are_fetched_apart(connection, patched):
    """The first round trip is the statement, each further one a FETCH, whatever the rows."""
    async with connection.transaction():
        ids = [row["id"] async for row in connection.cursor("SELECT id FROM items", prefetch=10)]
        assert list(range(1, 26)) == ids
        cursor = await connection.cursor("SELECT id FROM items")
        assert 5 == len(await cursor.fetch(5))
        assert 6 == (await cursor.fetchrow())["id"]
    assert {("SELECT", "items"): 2, ("FETCH", "items"): 4} == counts(patched)
    assert 31 == patched.sum(ROWS)


async def test_the_library_s_own_account_is_no_operation(connection, patched):
    """Transactions, listeners, codecs, introspection, reset."""
    async with connection.transaction(), connection.transaction():
        pass
    with contextlib.suppress(ZeroDivisionError):
        async with connection.transaction():
            raise ZeroDivisionError
    listener = lambda *_: None  # noqa: E731 - the same twice
    await connection.add_listener("news", listener)
    await connection.remove_listener("news", listener)
    await connection.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")
    await connection.reset()
    assert {} == counts(patched)
    await connection.execute("BEGIN")
    await connection.execute("ROLLBACK")
    assert {("BEGIN", ""): 1, ("ROLLBACK", ""): 1} == counts(patched)


async def test_copy_is_one_operation(connection, patched):
    """In both directions."""
    await connection.copy_records_to_table("items", records=[(40, "y"), (41, "y")])
    parts = []

    async def take(data):
        parts.append(data)

    await connection.copy_from_query("SELECT id FROM items WHERE id > 39", output=take)
    assert b"40\n41\n" == b"".join(parts)
    assert 2 == patched.count(DURATION, db_operation_name="COPY")


async def test_a_timeout_is_observed(connection, patched):
    """With the class of what is raised."""
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(60)", timeout=0.1)
    assert 1 == patched.count(DURATION, db_operation_name="SELECT", error_type="TimeoutError")
