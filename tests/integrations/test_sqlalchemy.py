"""SQLAlchemy: the contract for Core and asyncio, what is one operation, and what is none."""

import asyncio
import gc
import sqlite3
import threading
import weakref
from contextlib import asynccontextmanager, contextmanager
from types import FunctionType

import pytest
import sqlalchemy
from sqlalchemy import create_engine, event, func, insert, select, text, update
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql import mysqldb
from sqlalchemy.dialects.postgresql import asyncpg, psycopg, psycopg2
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import make_url
from sqlalchemy.engine.base import Connection, Engine
from sqlalchemy.engine.cursor import CursorFetchStrategy
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
)
from sqlalchemy.pool import StaticPool
from sqlalchemy.pool.base import _ConnectionFairy, _ConnectionRecord

from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION, DB_CLIENT_RETURNED_ROWS
from perfsdk.integrations import sqlalchemy as integration
from perfsdk.integrations import sqlite3 as sqlite3_integration
from perfsdk.integrations.sqlalchemy_names import namespace, system_name
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import AsyncIntegrationContract, IntegrationContract

METRIC = DB_CLIENT_OPERATION_DURATION.name
ROWS = DB_CLIENT_RETURNED_ROWS.name
USER = {"id": 1, "name": "Ada"}


class Base(DeclarativeBase):
    """The tables of these tests."""


class User(Base):
    """Has orders."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    """Belongs to a user."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(sqlalchemy.ForeignKey("users.id"))


users, orders = User.__table__, Order.__table__


class Contract:
    """What both contracts say of a database in memory."""

    library = "sqlalchemy"
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
        "db_operation_name": {"CREATE", "INSERT", "PRAGMA", "SELECT"},
        "db_collection_name": {"users", ""},
        "error_type": {"", "IntegrityError"},
    }
    result = [(1, "Ada")]  # noqa: RUF012 - read only

    def owners(self):
        def below(owner):
            return {owner}.union(*map(below, owner.__subclasses__()))

        pools = (_ConnectionFairy, _ConnectionRecord, Engine, CursorFetchStrategy)
        return [*below(DefaultDialect), Connection, *pools]

    def original(self, error):
        return error.orig


class TestContract(Contract, IntegrationContract):
    """The contract for Core on the driver of the standard library."""

    @contextmanager
    def client(self):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            Base.metadata.create_all(connection, tables=[users])
            connection.execute(insert(users), USER)
            yield connection
            connection.rollback()
        engine.dispose()

    def succeed(self, client):
        return client.execute(select(users).where(users.c.id == 1)).all()

    def succeed_inside_with(self, client):
        with client.begin_nested():
            return client.execute(select(users)).all()

    def fail(self, client):
        client.execute(insert(users), USER)

    def vary(self, client, number):
        client.execute(insert(users), {"id": number + 10, "name": f"name {number}"})
        client.execute(text(f"SELECT 'from table{number}' FROM users WHERE id = {number}"))

    @contextmanager
    def watch(self, client):
        seen = []
        driver = client.connection.driver_connection
        driver.set_trace_callback(seen.append)
        yield seen
        driver.set_trace_callback(None)


class TestAsyncContract(Contract, AsyncIntegrationContract):
    """The contract for asyncio on aiosqlite."""

    @asynccontextmanager
    async def client(self):
        engine = create_async_engine("sqlite+aiosqlite://")
        released = threading.Event()
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            await raw.driver_connection.create_function("wait", 0, released.wait)
            await connection.run_sync(Base.metadata.create_all, tables=[users])
            await connection.execute(insert(users), USER)
            connection.info["released"] = released
            try:
                yield connection
            finally:
                released.set()
            await connection.rollback()
        await engine.dispose()

    async def succeed(self, client):
        return (await client.execute(select(users).where(users.c.id == 1))).all()

    async def succeed_inside_with(self, client):
        async with client.begin_nested():
            return (await client.execute(select(users))).all()

    async def fail(self, client):
        await client.execute(insert(users), USER)

    async def vary(self, client, number):
        await client.execute(insert(users), {"id": number + 10, "name": f"name {number}"})
        await client.execute(text(f"SELECT 'from table{number}' FROM users WHERE id = {number}"))

    async def hang(self, client):
        task = asyncio.ensure_future(client.execute(text("SELECT wait()")))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread of the driver is not cancelled, and SQLAlchemy waits for it.
            client.info["released"].set()
            task.cancel()
            await task

    @asynccontextmanager
    async def watch(self, client):
        seen = []
        driver = (await client.get_raw_connection()).driver_connection
        await driver.set_trace_callback(seen.append)
        yield seen
        await driver.set_trace_callback(None)


@pytest.fixture
def patches():
    """What is patched for one test, undone at its end."""
    patches = Patches()
    yield patches
    patches.undo()


@pytest.fixture
def recording(tmp_path, patches):
    """Where the values go while SQLAlchemy is patched."""
    with Recording(tmp_path / "recording") as recording:
        integration.patch(sqlalchemy, patches, recording.recorder)
        yield recording


@pytest.fixture
def engine(recording):
    """A database in memory with the tables."""
    with _engine("sqlite://") as engine:
        yield engine


@contextmanager
def _engine(*args, **kwargs):
    engine = create_engine(*args, **kwargs)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def _counts(recording):
    """How many operations of each kind on each table there were."""
    counts = {}
    for labels in recording.series(METRIC):
        key = (labels["db_operation_name"], labels["db_collection_name"])
        counts[key] = recording.count(METRIC, **labels)
    return counts


def _known(engine):
    """How many statements are remembered."""
    return sum(map(len, engine.dialect._perfsdk_operations.values()))


USERS_IN_ORDERS = select(orders.c.user_id)


@pytest.mark.parametrize(
    ("statement", "operation", "table"),
    [
        (select(users), "SELECT", "users"),
        (select(User), "SELECT", "users"),
        (select(users.alias("u")), "SELECT", "users"),
        (select(func.count()).select_from(select(User).subquery()), "SELECT", "users"),
        (select(User).where(User.id.in_([1, 2, 3])), "SELECT", "users"),
        (select(User).where(User.id.in_(USERS_IN_ORDERS)), "SELECT", ""),
        (select(User).join(User.orders), "SELECT", ""),
        (select(User).options(joinedload(User.orders)), "SELECT", ""),
        (select(select(users.c.id).cte("c")), "SELECT", "users"),
        (select(1), "SELECT", ""),
        (insert(users).values(name="x"), "INSERT", "users"),
        (insert(users).prefix_with("OR REPLACE").values(name="x"), "INSERT", "users"),
        (insert(users).from_select(["id"], USERS_IN_ORDERS), "INSERT", ""),
        (update(User).values(name="y"), "UPDATE", "users"),
        (sqlalchemy.delete(Order), "DELETE", "orders"),
        (text("select * from users"), "SELECT", "users"),
        (text("select * from users, orders"), "SELECT", ""),
        (text("SELECT id FROM users").columns(users.c.id), "SELECT", "users"),
        (text("WITH c AS (SELECT 1) SELECT * FROM c"), "WITH", ""),
        (text("PRAGMA user_version"), "PRAGMA", ""),
        (sqlalchemy.schema.DropTable(orders), "DROP", ""),
    ],
)
def test_operation_and_table(recording, engine, statement, operation, table):
    """What is known of a statement, compiled or as text."""
    before = _counts(recording)
    with engine.connect() as connection, Session(connection) as session:
        session.execute(statement)
        session.execute(statement) if operation != "DROP" else None
        session.rollback()
    times = 1 if operation == "DROP" else 2
    key = (operation, table)
    assert {**before, key: before.get(key, 0) + times} == _counts(recording)


def test_text_given_to_the_driver(recording, engine):
    """`exec_driver_sql` counts once, with and without parameters, with an empty statement too."""
    before = _counts(recording)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT name FROM users")
        connection.exec_driver_sql("SELECT name FROM users WHERE id = ?", (1,))
        connection.execution_options(no_parameters=True).exec_driver_sql("SELECT name FROM users")
        connection.exec_driver_sql("")
    assert {**before, ("SELECT", "users"): 3, ("OTHER", ""): 1} == _counts(recording)


def test_a_batch_is_one_operation(recording, engine):
    """Many rows are one operation, in an executemany or in the batches of an INSERT."""
    with engine.begin() as connection:
        connection.execute(insert(users), [{"name": str(n)} for n in range(50)])
        assert 1 == recording.count(METRIC, db_operation_name="INSERT")
        returned = connection.execute(
            insert(users).returning(users.c.id), [{"name": str(n)} for n in range(5000)]
        )
        assert 5000 == len(returned.all())
        assert 2 == recording.count(METRIC, db_operation_name="INSERT")
    with Session(engine) as session:
        session.add_all(User(name=str(n)) for n in range(20))
        session.commit()
    assert 3 == recording.count(
        METRIC, db_operation_name="INSERT", db_collection_name="users", error_type=""
    )


def test_parameter_sets_of_batches_are_summed_up(recording, engine):
    """Of an executemany and of an INSERT in batches: in the account of the request."""
    rows = [{"name": str(number)} for number in range(1500)]
    account = Account(0.0)
    token = current.set(account)
    with engine.begin() as connection:
        connection.execute(insert(users), rows)
        connection.execute(insert(users).returning(users.c.id), rows)
        connection.execute(insert(users), USER | {"id": 5000})
    current.reset(token)
    assert 3000 == account.queries.parameter_sets


def test_rows_of_sqlite_are_counted_when_they_are_fetched(recording, engine):
    """Each fetch of several; what the ORM reads; never those affected, nor of a single row."""
    table = {"db_collection_name": "users"}
    with engine.begin() as connection:
        connection.execute(insert(users), [{"name": str(number)} for number in range(7)])
        connection.execute(update(users).values(name="x"))
        assert 0 == recording.count(ROWS, **table)
        result = connection.execute(select(users))
        assert [3, 3, 1] == [len(result.fetchmany(3)) for _ in range(3)]
        assert 3 == recording.count(ROWS, db_operation_name="SELECT", **table)
        assert 7 == recording.sum(ROWS, **table)
        assert connection.execute(select(users)).first()
        assert 7 == recording.sum(ROWS, **table)
        returning = insert(users).values(name="y").returning(users.c.id)
        assert 1 == len(connection.execute(returning).all())
        assert 1 == recording.sum(ROWS, db_operation_name="INSERT")
    with Session(engine) as session:
        assert 8 == len(session.scalars(select(User)).all())
    assert 16 == recording.sum(ROWS, **table)


def test_a_failing_batch_is_observed_once(recording, engine):
    """Its error has the name of SQLAlchemy's class."""
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(users).returning(users.c.id), [USER, USER])
    assert 1 == recording.count(METRIC, db_operation_name="INSERT")
    assert 1 == recording.count(METRIC, error_type="IntegrityError")


@pytest.mark.parametrize("opened_by", ["engine", "application"])
def test_what_an_engine_does_on_its_own_account_is_not_counted(
    recording, patches, tmp_path, opened_by
):
    """Nor is it by a driver that is measured too; what the application executes counts once."""
    sqlite3_integration.patch(sqlite3, patches, recording.recorder)
    opened = sqlite3.connect(tmp_path / "a.db")
    creator = {"creator": lambda: opened}
    options = creator if opened_by == "application" else {}
    with _engine(f"sqlite:///{tmp_path}/a.db", pool_pre_ping=True, **options) as engine:
        before = _counts(recording)
        for _ in range(3):
            with engine.connect() as connection, connection.begin():
                driver = connection.connection.driver_connection
                assert (opened_by == "engine") == (type(driver) is sqlite3.Connection)
                with connection.begin_nested() as savepoint:
                    connection.execute(select(users))
                    savepoint.rollback()
                with connection.begin_nested():
                    connection.execute(select(users))
        with engine.connect() as connection:
            connection.execution_options(isolation_level="READ UNCOMMITTED")
            assert "READ UNCOMMITTED" == connection.get_isolation_level()
        assert {**before, ("SELECT", "users"): 6} == _counts(recording)
        with engine.connect() as connection:
            connection.execute(text("SAVEPOINT mine"))
        assert 1 == recording.count(METRIC, db_operation_name="SAVEPOINT")
    opened.close()


def test_what_goes_around_sqlalchemy_is_counted_below_it(recording, patches):
    """On a connection that the application opened before, the driver's integration measures."""
    sqlite3_integration.patch(sqlite3, patches, recording.recorder)
    opened = sqlite3.connect(":memory:")
    engine = create_engine("sqlite://", creator=lambda: opened)
    raw = engine.raw_connection()
    raw.cursor().execute("SELECT 1")
    raw.close()
    engine.dispose()
    assert {("SELECT", ""): 1} == _counts(recording)


def test_comments_added_by_an_event_do_not_fill_the_memory(recording, engine):
    """A statement is known by what it was before, whatever is put around it."""
    before = _counts(recording)
    number = 0

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def comment(connection, cursor, statement, parameters, context, executemany):
        nonlocal number
        number += 1
        return (
            f"/* {number} */ {statement}" if number % 2 else f"{statement} -- {number}",
            parameters,
        )

    with engine.connect() as connection:
        connection.execute(select(users))
        known = _known(engine)
        for _ in range(20):
            connection.execute(select(users))
    assert 21 == number
    assert known == _known(engine)
    assert {**before, ("SELECT", "users"): 21} == _counts(recording)


def test_namespaces_and_systems(recording, tmp_path):
    """The database's own name, and the system's as OpenTelemetry spells it."""
    for url, expected in (
        ("sqlite://", ":memory:"),
        (f"sqlite:///{tmp_path}/shop.db", "shop.db"),
        (f"sqlite:///file:{tmp_path}/other.db?mode=rwc&uri=true", "other.db"),
        ("sqlite:///file:x?mode=memory&uri=true", ":memory:"),
    ):
        engine = create_engine(url, poolclass=StaticPool)
        with engine.connect() as connection:
            connection.execute(select(1))
        engine.dispose()
        assert expected in {s["db_namespace"] for s in recording.series(METRIC)}
    assert "shop" == namespace(make_url("postgresql+psycopg://u:p@h:1/shop"))
    assert "" == namespace(make_url("mysql://u:p@h"))
    mysql = mysqldb.MySQLDialect_mysqldb()
    assert "mysql" == system_name(mysql)
    mysql.is_mariadb = True
    assert "mariadb" == system_name(mysql)
    for name, expected in (("oracle", "oracle.db"), ("mssql", "microsoft.sql_server")):
        assert expected == system_name(registry.load(name)())
    assert "postgresql" == system_name(registry.load("postgresql.psycopg")())


def test_every_dialect_that_overrides_is_patched_where_it_does(recording):
    """No class that is imported keeps a way to execute that is not measured."""
    for owner in (mysqldb.MySQLDialect_mysqldb, psycopg2.PGDialect_psycopg2, DefaultDialect):
        assert hasattr(vars(owner)["do_executemany"], "__wrapped__")
    assert {asyncpg.PGDialect_asyncpg, psycopg.PGDialect_psycopg} <= set(Contract().owners())
    for owner in filter(lambda owner: issubclass(owner, DefaultDialect), Contract().owners()):
        for name in (*integration.EXECUTES, *integration.ON_ITS_OWN):
            defined = vars(owner).get(name)
            assert not isinstance(defined, FunctionType) or hasattr(defined, "__wrapped__")


def test_create_engine_takes_what_it_took(recording, tmp_path):
    """It asks the signatures of classes which arguments there are, those of dialects too."""
    url = f"sqlite:///{tmp_path}/a.db"
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=2, label_length=20)
    with engine.connect() as connection:
        assert connection.connection.driver_connection.isolation_level is None
    engine.dispose()
    with pytest.raises(TypeError, match="nothing_of_that_name"):
        create_engine(url, nothing_of_that_name=1)


def test_a_dialect_that_is_defined_later_is_patched_with_its_engine(
    recording, patches, monkeypatch
):
    """Its own override is measured, once though it calls the one above; undo restores it."""

    class Late(SQLiteDialect_pysqlite):
        supports_statement_cache = True

        def do_execute(self, cursor, statement, parameters, context=None):
            return super().do_execute(cursor, statement, parameters, context)

    original = vars(Late)["do_execute"]
    monkeypatch.setitem(registry.impls, "late", lambda: Late)
    with _engine("late://") as engine:
        assert original is vars(Late)["do_execute"].__wrapped__
        before = _counts(recording)
        with engine.connect() as connection:
            connection.execute(select(users))
        assert {**before, ("SELECT", "users"): 1} == _counts(recording)
    patches.undo()
    assert original is vars(Late)["do_execute"]


def test_undo_leaves_nothing_in_dialects(patches, tmp_path):
    """What is remembered of statements goes with the patch, and an engine may go before."""
    with Recording(tmp_path / "recording") as recording:
        integration.patch(sqlalchemy, patches, recording.recorder)
        with _engine("sqlite://") as kept, _engine("sqlite://") as engine:
            assert "_perfsdk_operations" in vars(kept.dialect)
            gone = weakref.ref(engine.dialect)
        del engine
        gc.collect()
        assert gone() is None
        patches.undo()
        assert "_perfsdk_operations" not in vars(kept.dialect)


async def test_concurrent_statements_count_each(recording, tmp_path):
    """A statement of one task does not silence that of another."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/a.db")

    async def work():
        async with engine.connect() as connection:
            for _ in range(10):
                await connection.execute(text("SELECT 1"))

    await asyncio.gather(*(work() for _ in range(4)))
    await engine.dispose()
    assert {("SELECT", ""): 40} == _counts(recording)
