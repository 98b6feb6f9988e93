"""aiosqlite: the contract, every way to execute and to fetch, and the sqlite3 below silent."""

import asyncio
import sqlite3
import threading
from contextlib import asynccontextmanager, contextmanager

import aiosqlite
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from perfsdk.integrations import aiosqlite as integration
from perfsdk.integrations import sqlalchemy as sqlalchemy_integration
from perfsdk.integrations import sqlite3 as sqlite3_integration
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, AsyncDatabaseContract

SYSTEM = {"db_system_name": "sqlite", "db_namespace": ":memory:"}


class TestContract(AsyncDatabaseContract):
    """The contract on a database in memory."""

    library = "aiosqlite"
    labels = {**SYSTEM, "db_operation_name": "SELECT", "db_collection_name": "items"}  # noqa: RUF012 - read only
    failure_labels = {**labels, "db_operation_name": "INSERT"}  # noqa: RUF012 - read only
    error_type = "IntegrityError"
    bounded = {  # noqa: RUF012 - read only
        "db_system_name": {"sqlite"},
        "db_namespace": {":memory:"},
        "db_operation_name": {"CREATE", "DELETE", "INSERT", "SELECT"},
        "db_collection_name": {"items", ""},
        "error_type": {"", "IntegrityError"},
    }
    result = [(0,)]  # noqa: RUF012 - read only

    def owners(self):
        return [aiosqlite, aiosqlite.core, aiosqlite.Connection, aiosqlite.Cursor]

    @asynccontextmanager
    async def client(self):
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
            yield connection

    async def execute(self, client, statement):
        async with client.execute(statement) as cursor:
            return await cursor.fetchall()

    async def execute_many(self, client, number):
        sets = [(None, f"name {n}") for n in range(number)]
        await client.executemany("INSERT INTO items VALUES (?, ?)", sets)

    async def succeed(self, client):
        cursor = await client.execute("SELECT count(*) FROM items")
        return await cursor.fetchall()

    async def succeed_inside_with(self, client):
        async with client.execute("SELECT count(*) FROM items") as cursor:
            return await cursor.fetchall()

    async def fail(self, client):
        await client.execute("INSERT INTO items SELECT 1, 'a' UNION ALL SELECT 1, 'b'")

    async def vary(self, client, number):
        await client.execute(f"INSERT INTO items VALUES ({number + 100}, 'name {number}')")
        await client.execute(f"SELECT 'from x{number}' FROM items WHERE id = {number}")

    @asynccontextmanager
    async def watch(self, client):
        seen = []
        await client.set_trace_callback(seen.append)
        yield seen
        await client.set_trace_callback(None)

    async def hang(self, client):
        """Waits for a function of the application that waits for the cancellation."""
        released = threading.Event()
        await client.create_function("wait", 0, lambda: released.wait(20))
        try:
            await client.execute("SELECT wait() FROM items UNION SELECT wait()")
        finally:
            released.set()


@pytest.fixture
def recording(tmp_path):
    """Where the values go while aiosqlite, and sqlite3 below it, are patched."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(aiosqlite, patches, recording.recorder)
        sqlite3_integration.patch(sqlite3, patches, recording.recorder)
        yield recording
        patches.undo()


@asynccontextmanager
async def connected(database=":memory:", **kwargs):
    """A connection with an empty table `t`."""
    async with aiosqlite.connect(database, **kwargs) as connection:
        await connection.execute("CREATE TABLE t (a)")
        yield connection


@contextmanager
def request():
    """An account of a request, while it is served."""
    account = Account(0.0)
    token = current.set(account)
    yield account
    current.reset(token)


async def test_every_way_to_execute_is_one_operation(recording):
    """Of the connection or of a cursor, with sqlite3 measured too: nothing counts twice."""
    async with connected() as connection:
        cursor = await connection.cursor()
        for target in (connection, cursor):
            await target.execute("INSERT INTO t VALUES (1)")
            await target.executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
            await target.executescript("DELETE FROM t; INSERT INTO t VALUES (5);")
        assert (2,) == await connection.execute_insert("INSERT INTO t VALUES (?)", (6,))
        assert [(5,), (6,)] == await connection.execute_fetchall("SELECT a FROM t")
        await connection.commit()
    assert 1 == recording.count(DURATION, db_operation_name="CREATE")
    assert 5 == recording.count(DURATION, db_operation_name="INSERT", db_collection_name="t")
    assert 2 == recording.count(DURATION, db_operation_name="SCRIPT", db_collection_name="")
    assert 1 == recording.count(DURATION, db_operation_name="SELECT")
    assert 1 + 5 + 2 + 1 == recording.count(DURATION)


async def test_rows_are_counted_where_they_are_fetched(recording):
    """By fetchone, fetchmany, fetchall and chunks of a loop; the end of rows is no answer."""
    async with connected(iter_chunk_size=4) as connection:
        await connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
        cursor = await connection.execute("SELECT a FROM t")
        assert (0,) == await cursor.fetchone()
        assert 2 == len(await cursor.fetchmany(2))
        assert 7 == len(await cursor.fetchall())
        assert [] == await cursor.fetchall()
        assert (3, 10.0) == (recording.count(ROWS), recording.sum(ROWS))
        await cursor.execute("SELECT a FROM t")
        assert list(range(10)) == [row[0] async for row in cursor]
        assert (6, 20.0) == (recording.count(ROWS), recording.sum(ROWS))
        assert 10 == len(await connection.execute_fetchall("SELECT a FROM t"))
    assert (7, 30.0) == (recording.count(ROWS), recording.sum(ROWS))
    labels = {"db_system_name": "sqlite", "db_operation_name": "SELECT", "db_collection_name": "t"}
    assert [labels] == recording.series(ROWS)


async def test_no_rows_are_an_observation_for_what_returns_rows(recording):
    """A SELECT without result returned 0 rows; an INSERT returned nothing."""
    async with connected() as connection:
        async with connection.execute("SELECT a FROM t") as cursor:
            assert await cursor.fetchone() is None
            assert await cursor.fetchone() is None
        assert [] == await connection.execute_fetchall("SELECT a FROM t")
        cursor = await connection.execute("INSERT INTO t VALUES (1)")
        assert [] == await cursor.fetchall()
        assert (2, 0.0) == (recording.count(ROWS), recording.sum(ROWS))
        assert [] == await connection.execute_fetchall("INSERT INTO t VALUES (1)")
        assert 2 == recording.count(ROWS)
        await cursor.execute("INSERT INTO t VALUES (2) RETURNING a")
        assert [(2,)] == await cursor.fetchall()
    assert 1 == recording.sum(ROWS, db_operation_name="INSERT")


async def test_many_columns_are_told(recording):
    """A SELECT of 30 columns is wide; of 29 it is not."""
    async with connected() as connection:
        for columns, found in ((29, False), (30, True)):
            with request() as account:
                numbers = ", ".join(map(str, range(columns)))
                async with connection.execute(f"SELECT {numbers}") as cursor:
                    await cursor.fetchone()
            assert found == ("wide_select" in {kind for _, kind in account.queries.findings})


@pytest.mark.parametrize("through", ["connection", "cursor"])
@pytest.mark.parametrize("kind", [list, iter, dict.fromkeys])
async def test_the_sets_of_a_batch_are_counted(recording, through, kind):
    """Whether they have a length or come from an iterator, by name or by position."""
    async with connected() as connection:
        target = connection if through == "connection" else await connection.cursor()
        sets = [(n,) for n in range(5)]
        with request() as account:
            await target.executemany("INSERT INTO t VALUES (?)", kind(sets))
            await target.executemany("INSERT INTO t VALUES (?)", parameters=kind(sets))
        assert [(10,)] == await connection.execute_fetchall("SELECT count(*) FROM t")
    assert 10 == account.queries.parameter_sets
    statements = {s.summary: s for s in statements_of(recording.recorder)}
    assert 10 == statements["INSERT INTO t VALUES (?)"].parameter_sets
    assert 2 == recording.count(DURATION, db_operation_name="INSERT")


async def test_the_namespace_is_the_base_name_of_the_file(recording, tmp_path):
    """As a path, a string, bytes or a URI; empty where a function of the application opens it."""
    for database, uri in (
        (tmp_path / "a.db", False),
        (str(tmp_path / "b.db"), False),
        (f"file:{tmp_path}/c.db?mode=rwc", True),
        (str(tmp_path / "d.db").encode(), False),
    ):
        async with connected(database, uri=uri):
            pass
    own = aiosqlite.Connection(lambda: sqlite3.Connection(tmp_path / "e.db"), 64)
    async with own as connection:
        await connection.execute("SELECT 1")
    found = sorted(labels["db_namespace"] for labels in recording.series(DURATION))
    assert ["", "a.db", "b.db", "c.db", "d.db"] == found


async def test_a_cancelled_statement_leaves_the_connection_usable(recording):
    """The cancellation propagates, and what is executed next is measured as ever."""
    async with connected() as connection:
        started, released = threading.Event(), threading.Event()

        def wait():
            started.set()
            released.wait(20)

        await connection.create_function("wait", 0, wait)
        task = asyncio.create_task(connection.execute_fetchall("SELECT wait()"))
        await asyncio.to_thread(started.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
        assert [(3,)] == await connection.execute_fetchall("SELECT 3")
    assert 1 == recording.count(DURATION, error_type="CancelledError")
    assert 1 == recording.count(DURATION, db_operation_name="SELECT", error_type="")


async def test_tasks_have_calls_of_their_own(recording):
    """One that waits for the connection's thread does not silence another."""
    async with connected() as connection:
        await asyncio.gather(*(connection.execute_fetchall("SELECT 1") for _ in range(20)))
    assert 20 == recording.count(DURATION, db_operation_name="SELECT")


async def test_what_may_be_done_with_a_result_stays(recording):
    """`async with` closes the cursor, backups and dumps work, wrong calls are refused."""
    async with connected() as connection, connected() as copy:
        async with connection.executemany("INSERT INTO t VALUES (?)", [(1,)]) as cursor:
            assert isinstance(cursor, aiosqlite.Cursor)
            assert 1 == cursor.rowcount
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            await cursor.fetchone()
        await connection.commit()
        await connection.backup(copy)
        assert [(1,)] == await copy.execute_fetchall("SELECT a FROM t")
        assert "CREATE TABLE t (a);" in [line async for line in connection.iterdump()]
        before = recording.count(DURATION)
        for arguments in ((), (None,), (1,)):
            with pytest.raises(TypeError):
                await connection.execute(*arguments)
        assert before == recording.count(DURATION)
    with pytest.raises(ValueError, match="no active connection"):
        await connection.execute("SELECT 1")


async def test_sqlalchemy_counts_alone(recording):
    """Its asyncio engine on aiosqlite on sqlite3, all measured, counts each statement once."""
    patches = Patches()
    sqlalchemy_integration.patch(sqlalchemy, patches, recording.recorder)
    try:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.execute(sqlalchemy.text("CREATE TABLE t (a)"))
            await connection.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))
            found = await connection.execute(sqlalchemy.text("SELECT a FROM t"))
            assert [(1,)] == found.fetchall()
        await engine.dispose()
    finally:
        patches.undo()
    assert 3 == recording.count(DURATION)
