"""What is counted for MariaDB equals what the server itself counted, verb by verb.

The mapping between operations and the statements of performance_schema:

- A statement is one event there, also one that fails, which is an error on both sides.
- `executemany` of an INSERT is one statement with many rows, as long as it fits into the length
  that the driver allows; of any other statement the server counts each set of parameters.
- Rows of an `SSCursor` are sent by the SELECT there; here each fetch of several is a FETCH.
- What connections do on their own account (SET, COMMIT, ROLLBACK) is no operation.
"""

import random
from contextlib import AsyncExitStack, closing, contextmanager
from importlib import import_module

import aiomysql
import pymysql
import pymysql.cursors
import pytest
import sqlalchemy

from perfsdk.integrations import INTEGRATIONS
from perfsdk.integrations import aiomysql as aiomysql_integration
from perfsdk.integrations import pymysql as pymysql_integration
from perfsdk.integrations import sqlalchemy as sqlalchemy_integration
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS
from tests.mariadb import start_mariadb

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
INSERT = "INSERT INTO items VALUES (%s, %s)"
UPDATE = "UPDATE items SET name = %s WHERE id = %s"
UPDATE_MANY = "UPDATE items SET name = %s, id = id WHERE id = %s"
SELECT = "SELECT id, name FROM items WHERE id < %s"
DELETE = "DELETE FROM items WHERE id = %s"
DUPLICATE = "INSERT INTO taken VALUES (1)"
COUNTS = (
    "SELECT event_name, count_star, sum_errors, sum_rows_sent"
    " FROM performance_schema.events_statements_summary_global_by_event_name"
    " WHERE count_star > 0"
)
SUMMARY = "performance_schema.events_statements_summary_global_by_event_name"


class Plan:
    """A mixed load that is the same every time: kinds of calls with their parameters."""

    def __init__(self, seed, operations):
        self._random = random.Random(seed)
        self._operations = operations

    def __iter__(self):
        for _ in range(self._operations):
            kind = self._random.choices(
                ("select", "unbuffered", "insert", "update", "delete", "many", "updates", "fail"),
                (40, 5, 15, 10, 5, 3, 3, 2),
            )[0]
            yield kind, self._random.randrange(30), self._random.randrange(2, 9)


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    """A server of its own: on another one, statements that tests cancelled may still end."""
    with start_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while all three libraries are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        pymysql_integration.patch(pymysql, patches, recording.recorder)
        aiomysql_integration.patch(aiomysql, patches, recording.recorder)
        sqlalchemy_integration.patch(sqlalchemy, patches, recording.recorder)
        yield recording
        patches.undo()


def server_counts(cursor):
    """By verb: statements, those that failed, rows sent."""
    cursor.execute(COUNTS)
    rows = {name: tuple(map(int, numbers)) for name, *numbers in cursor.fetchall()}
    return {verb: rows.get(f"statement/sql/{verb.lower()}", (0, 0, 0)) for verb in VERBS}


@contextmanager
def observer(server):
    """A cursor that the server's counts are asked by; what it does is left out of both sides."""
    address = {"host": server.host, "port": server.port, "user": server.user, "database": "shop"}
    with closing(pymysql.connect(**address, autocommit=True)) as connection:
        yield connection.cursor()


def blocking_load(library, connection, plan):
    """The load by PyMySQL or mysqlclient."""
    cursor = connection.cursor()
    for kind, key, size in plan:
        if kind == "select":
            cursor.execute(SELECT, (key,))
            cursor.fetchall()
        elif kind == "unbuffered":
            # One each: a cursor of mysqlclient raises the error of another one once more.
            with connection.cursor(library.cursors.SSCursor) as unbuffered:
                unbuffered.execute(SELECT, (key,))
                unbuffered.fetchmany(2)
                unbuffered.fetchall()
        elif kind == "fail":
            with pytest.raises(library.IntegrityError):
                cursor.execute(DUPLICATE)
        else:
            text, sets = change(kind, key, size)
            if sets is None:
                cursor.execute(text, changed(text, key))
            else:
                cursor.executemany(text, sets)


def change(kind, key, size):
    """The text of a change and, of a batch, its sets."""
    if kind == "many":
        return INSERT, [(key + n, f"name {n}") for n in range(size)]
    if kind == "updates":
        return UPDATE_MANY, [(f"name {n}", key + n) for n in range(size)]
    return {"insert": INSERT, "update": UPDATE, "delete": DELETE}[kind], None


def changed(text, key):
    """The parameters of a change."""
    return {INSERT: (key, f"name {key}"), UPDATE: (f"name {key}", key), DELETE: (key,)}[text]


async def aiomysql_load(connection, plan):
    """The load by aiomysql."""
    async with AsyncExitStack() as stack:
        cursor = await stack.enter_async_context(connection.cursor())
        unbuffered = await stack.enter_async_context(connection.cursor(aiomysql.SSCursor))
        for kind, key, size in plan:
            if kind == "select":
                await cursor.execute(SELECT, (key,))
                await cursor.fetchall()
            elif kind == "unbuffered":
                await unbuffered.execute(SELECT, (key,))
                await unbuffered.fetchmany(2)
                await unbuffered.fetchall()
            elif kind == "fail":
                with pytest.raises(pymysql.err.IntegrityError):
                    await cursor.execute(DUPLICATE)
            else:
                text, sets = change(kind, key, size)
                if sets is None:
                    await cursor.execute(text, changed(text, key))
                else:
                    await cursor.executemany(text, sets)


def sqlalchemy_load(connection, plan):
    """The load by SQLAlchemy on PyMySQL or mysqlclient."""
    for kind, key, size in plan:
        if kind in ("select", "unbuffered"):
            connection.exec_driver_sql(SELECT, (key,)).all()
        elif kind == "fail":
            with pytest.raises(sqlalchemy.exc.IntegrityError):
                connection.exec_driver_sql(DUPLICATE)
        else:
            text, sets = change(kind, key, size)
            connection.exec_driver_sql(text, changed(text, key) if sets is None else sets)


def ours(recording):
    """By verb: operations, those that failed, rows returned."""
    return {
        verb: (
            recording.count(DURATION, db_operation_name=verb),
            recording.count(DURATION, db_operation_name=verb, error_type="IntegrityError"),
            recording.sum(ROWS, db_operation_name=verb),
        )
        for verb in (*VERBS, "FETCH")
    }


def batches(recording):
    """Calls and sets of the batches that the server counts by their sets."""
    found = [s for s in statements_of(recording.recorder) if "id = id" in s.summary]
    return sum(s.calls for s in found), sum(s.parameter_sets for s in found)


@contextmanager
def engine_connection(mariadb, driver):
    """A connection of SQLAlchemy's that is set up."""
    address = f"{mariadb.user}@{mariadb.host}:{mariadb.port}/shop"
    engine = sqlalchemy.create_engine(f"mysql+{driver}://{address}", isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def settle(connection):
    """Have the server count what a connection has done: it does so after its answer."""
    connection.exec_driver_sql("DO 1")


@contextmanager
def tables(seen):
    """Those of the loads."""
    seen.execute("CREATE TABLE items (id integer NOT NULL, name text, KEY (id))")
    seen.execute("CREATE TABLE taken (id integer PRIMARY KEY)")
    seen.execute(DUPLICATE)
    try:
        yield
    finally:
        seen.execute("DROP TABLE items, taken")


@contextmanager
def compared(mariadb, recording, driver):
    """What is counted inside, here and by the server, must be equal: 5,000 operations.

    It gives a connection of SQLAlchemy's on the driver, which must be the one used last.
    """
    with (
        observer(mariadb) as seen,
        tables(seen),
        engine_connection(mariadb, driver) as connection,
    ):
        settle(connection)
        seen.execute(f"TRUNCATE {SUMMARY}")
        before = ours(recording)
        yield connection
        settle(connection)
        after = ours(recording)
        server = server_counts(seen)
    counted = {
        verb: tuple(now - then for now, then in zip(after[verb], before[verb], strict=True))
        for verb in after
    }
    fetches, _, fetched = counted.pop("FETCH")
    assert 5000 == sum(operations for operations, _, _ in counted.values())
    calls, sets = batches(recording)
    assert 0 < fetches
    assert 0 < calls < sets
    assert 0 < counted["INSERT"][1]
    updates = counted["UPDATE"]
    counted["UPDATE"] = (updates[0] + sets - calls, *updates[1:])
    counted["SELECT"] = (*counted["SELECT"][:2], counted["SELECT"][2] + fetched)
    assert server == counted


async def test_every_statement_is_counted_as_the_server_counts_it(mariadb, recording):
    """5,000 calls of three libraries: statements, errors and rows are equal."""
    address = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user}
    sync = pymysql.connect(**address, database="shop", autocommit=True)
    awaited = await aiomysql.connect(**address, db="shop", autocommit=True)
    try:
        with compared(mariadb, recording, "pymysql") as engine:
            blocking_load(pymysql, sync, Plan(1, 2000))
            await aiomysql_load(awaited, Plan(2, 1500))
            sqlalchemy_load(engine, Plan(3, 1500))
    finally:
        awaited.close()
        sync.close()


def test_so_it_is_with_mysqlclient(mariadb, recording, mysqldb):
    """5,000 calls of it, also below SQLAlchemy."""
    address = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user}
    patches = Patches()
    import_module(INTEGRATIONS["MySQLdb"]).patch(mysqldb, patches, recording.recorder)
    connection = mysqldb.connect(**address, database="shop", autocommit=True)
    try:
        with compared(mariadb, recording, "mysqldb") as engine:
            blocking_load(mysqldb, connection, Plan(4, 3000))
            sqlalchemy_load(engine, Plan(5, 2000))
    finally:
        connection.close()
        patches.undo()
