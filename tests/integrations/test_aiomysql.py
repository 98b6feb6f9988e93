"""aiomysql: the contract on a real MariaDB, all classes of cursors, and batches."""

import asyncio
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

import aiomysql
import pymysql.err
import pytest

from perfsdk.integrations import aiomysql as integration
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import ROWS, AsyncDatabaseContract, counts
from tests.integrations.mysql_contract import Items


@asynccontextmanager
async def connected(server):
    """A connection with an empty table of its own."""
    connection = await aiomysql.connect(
        host=server.host, port=server.port, user=server.user, db="shop", autocommit=True
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("CREATE TEMPORARY TABLE items (id integer NOT NULL, name text)")
        yield connection
    finally:
        connection.close()


class TestContract(Items, AsyncDatabaseContract):
    """The contract on a temporary table."""

    library = "aiomysql"

    def owners(self):
        return [aiomysql, aiomysql.Cursor, aiomysql.SSCursor, aiomysql.Connection]

    def client(self):
        return connected(self.server)

    async def execute(self, client, statement):
        async with client.cursor() as cursor:
            await cursor.execute(statement)
            return await cursor.fetchall() if cursor.description else None

    async def execute_many(self, client, number):
        sets = [(n, f"name {n}") for n in range(number)]
        async with client.cursor() as cursor:
            await cursor.executemany("INSERT INTO items VALUES (%s, %s)", sets)

    async def succeed(self, client):
        return await self.execute(client, "SELECT count(*) FROM items")

    async def succeed_inside_with(self, client):
        return await self.execute(client, "SELECT count(*) FROM items")

    async def fail(self, client):
        async with client.cursor() as cursor:
            await cursor.execute("INSERT INTO items VALUES (NULL, 'a')")

    async def vary(self, client, number):
        async with client.cursor() as cursor:
            await cursor.execute("SELECT name FROM items WHERE id = %s", (number,))

    async def hang(self, client):
        async with client.cursor() as cursor:
            await cursor.execute("SELECT sleep(60)")

    @contextmanager
    def watch(self, client):
        """The statements that the server was sent."""
        sent = []
        send = client._execute_command

        async def watched(command, sql):
            sent.append((command, sql))
            return await send(command, sql)

        client._execute_command = watched
        yield sent
        del client._execute_command


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while aiomysql is measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(aiomysql, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
async def connection(mariadb, recording):
    """A measured connection with three items."""
    async with connected(mariadb) as connection:
        async with connection.cursor() as cursor:
            sets = [(n, f"name {n}") for n in range(3)]
            await cursor.executemany("INSERT INTO items VALUES (%s, %s)", sets)
        yield connection


@pytest.mark.parametrize("name", ["Cursor", "DictCursor"])
async def test_rows_of_buffered_cursors_are_there_at_once(connection, recording, name):
    """Whether and how they are fetched."""
    async with connection.cursor(getattr(aiomysql, name)) as cursor:
        assert 2 == await cursor.execute("SELECT id, name FROM items WHERE id > %s", (0,))
    assert 2 == recording.sum(ROWS, db_operation_name="SELECT")
    assert 1 == counts(recording)["SELECT", "items"]


@pytest.mark.parametrize("name", ["SSCursor", "SSDictCursor"])
async def test_rows_in_the_server_are_fetched_by_operations_of_their_own(
    connection, recording, name
):
    """Several at once; one at a time is no operation."""
    async with connection.cursor(getattr(aiomysql, name)) as cursor:
        await cursor.execute("SELECT id, name FROM items")
        assert 0 == recording.count(ROWS)
        assert await cursor.fetchone()
        assert 1 == len(await cursor.fetchmany(1))
        assert 1 == len(await cursor.fetchall())
    assert 2 == counts(recording)["FETCH", ""]
    assert 2 == recording.sum(ROWS, db_operation_name="FETCH")


async def test_a_batch_is_one_operation_however_many_statements_it_becomes(connection, recording):
    """An UPDATE runs once for each set, and an INSERT over the length of a statement too."""
    account = Account(perf_counter())
    token = current.set(account)
    async with connection.cursor() as cursor:
        updates = [("b", n) for n in range(3)]
        await cursor.executemany("UPDATE items SET name = %s WHERE id = %s", updates)
        cursor.max_stmt_length = 60
        inserts = [(n, "c") for n in range(9)]
        assert 9 == await cursor.executemany("INSERT INTO items VALUES (%s, %s)", inserts)
    current.reset(token)
    assert 1 == counts(recording)["UPDATE", "items"]
    assert 2 == counts(recording)["INSERT", "items"]  # one in the fixture
    assert 12 == account.queries.parameter_sets


async def test_what_the_connection_does_itself_is_no_operation(connection, recording):
    """Transactions, pings and the choice of a database."""
    before = counts(recording)
    await connection.begin()
    await connection.commit()
    await connection.rollback()
    await connection.ping()
    await connection.select_db("shop")
    assert before == counts(recording)


async def test_a_procedure_is_one_call(connection, recording):
    """The statement that sets its parameters belongs to it."""
    await connection.select_db("sys")
    async with connection.cursor() as cursor:
        arguments = ("mysql", "user", "")
        assert arguments == await cursor.callproc("table_exists", arguments)
    assert 1 == counts(recording)["CALL", ""]
    assert ("SET", "") not in counts(recording)


async def test_different_queries_at_once_are_no_repetition(mariadb, recording):
    """`asyncio.gather` of ten on ten connections."""
    account = Account(perf_counter())
    token = current.set(account)

    async def ask(number):
        async with connected(mariadb) as connection, connection.cursor() as cursor:
            await cursor.execute(f"SELECT {number}, name AS n{number} FROM items")

    await asyncio.gather(*(ask(number) for number in range(10)))
    current.reset(token)
    assert not {kind for _, kind in account.queries.findings} & {"n_plus_one", "duplicate_query"}


async def test_a_closed_cursor_raises_what_the_library_raises(connection, recording):
    """The same class and text."""
    cursor = await connection.cursor()
    await cursor.close()
    with pytest.raises(pymysql.err.ProgrammingError, match="Cursor closed"):
        await cursor.execute("SELECT 1")
