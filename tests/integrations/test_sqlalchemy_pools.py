"""Pools of SQLAlchemy: what they show stays right whatever happens to their connections."""

import asyncio
import gc
import sqlite3
import threading
import time
import warnings
import weakref

import pytest
import sqlalchemy
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import (
    AssertionPool,
    AsyncAdaptedQueuePool,
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

from perfsdk import catalog
from perfsdk.integrations import sqlalchemy as integration
from perfsdk.integrations import sqlite3 as sqlite3_integration
from perfsdk.integrations.sqlalchemy_names import pool_of_engine
from perfsdk.request import POOL_WAIT, Account, current
from perfsdk.wrapping.patches import Patches

CONNECTIONS = catalog.DB_CLIENT_CONNECTIONS.name
MAX = catalog.DB_CLIENT_CONNECTION_MAX.name
IDLE_MAX = catalog.DB_CLIENT_CONNECTION_IDLE_MAX.name
PENDING = catalog.DB_CLIENT_CONNECTION_PENDING.name
WAITS = catalog.DB_CLIENT_CONNECTION_WAIT_TIME.name
USES = catalog.DB_CLIENT_CONNECTION_USE_TIME.name
CREATES = catalog.DB_CLIENT_CONNECTION_CREATE_TIME.name
TIMEOUTS = catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name
OPERATIONS = catalog.DB_CLIENT_OPERATION_DURATION.name
DEADLINE_SECONDS = 10


@pytest.fixture
def patches():
    """What is patched for one test, undone at its end."""
    patches = Patches()
    yield patches
    patches.undo()


@pytest.fixture
def measured(recording, patches):
    """Where the values go while SQLAlchemy is patched."""
    integration.patch(sqlalchemy, patches, recording.recorder)
    return recording


@pytest.fixture
def url(tmp_path):
    """A database in a file, whose pool is a QueuePool."""
    return f"sqlite:///{tmp_path}/shop.db"


def _state(recording, name="shop.db"):
    """How many connections are used and idle."""
    recording.recorder.sample()
    return tuple(
        _figure(recording, CONNECTIONS, name, db_client_connection_state=state)
        for state in ("used", "idle")
    )


def _figure(recording, metric, name="shop.db", **labels):
    """A figure of a pool; None where it is absent."""
    labels["db_client_connection_pool_name"] = name
    given = [series for series in recording.series(metric) if labels.items() <= series.items()]
    return recording.value(metric, **labels) if given else None


def test_used_and_idle_follow_what_is_taken_and_given_back(measured, url):
    """Also beyond the size of the pool: what is over it is closed when it comes back."""
    engine = create_engine(url, pool_size=2, max_overflow=2)
    taken = [engine.connect() for _ in range(4)]
    assert (4, 0) == _state(measured)
    assert 4 == _figure(measured, MAX)
    assert 2 == _figure(measured, IDLE_MAX)
    assert 0 == _figure(measured, PENDING)
    for connection in taken[:3]:
        connection.close()
    assert (1, 2) == _state(measured)
    taken[3].close()
    assert (0, 2) == _state(measured)
    assert 4 == measured.count(WAITS) == measured.count(USES) == measured.count(CREATES)
    engine.dispose()
    assert (0, 0) == _state(measured)


def test_invalidated_and_detached_connections_are_neither_used_nor_idle(measured, url):
    """Hard, soft, of the whole pool, and detached: the figures are those of what is open."""
    engine = create_engine(url, pool_size=3, pool_use_lifo=True)
    with engine.connect() as first, engine.connect() as second:
        first.invalidate()
        assert (1, 0) == _state(measured)
        second.detach()
        assert (0, 0) == _state(measured)
    assert (0, 0) == _state(measured)
    with engine.connect() as third:
        third.connection.invalidate(soft=True)
        assert (1, 0) == _state(measured)
    assert (0, 1) == _state(measured)
    with engine.connect():
        assert (1, 0) == _state(measured)
    assert 4 == measured.count(CREATES)
    engine.dispose()


def test_recycled_connections_count_once(measured, url):
    """One is closed and another opened in its place."""
    engine = create_engine(url, pool_recycle=0)
    for times in range(1, 4):
        with engine.connect():
            assert (1, 0) == _state(measured)
        assert (0, 1) == _state(measured)
        assert times <= 1 + measured.count(CREATES)
    engine.dispose()


def test_connections_out_of_a_disposed_pool_are_used_until_they_come_back(measured, url):
    """The pool that follows shows the only maximum, and no figure is negative after it."""
    engine = create_engine(url, pool_size=2, max_overflow=1)
    outlasting = engine.connect()
    engine.dispose()
    with engine.connect():
        assert (2, 0) == _state(measured)
        assert 3 == _figure(measured, MAX)
        outlasting.close()
        gc.collect()
        assert (1, 0) == _state(measured)
    assert (0, 1) == _state(measured)
    engine.dispose()


def test_a_connection_lost_while_it_is_taken_comes_back_when_it_is_collected(measured, url):
    """As SQLAlchemy gives it back; how long it was used is not known."""
    engine = create_engine(url)
    lost = engine.raw_connection()
    assert (1, 0) == _state(measured)
    del lost
    gc.collect()
    assert (0, 1) == _state(measured)
    assert 0 == measured.count(USES)
    engine.dispose()


def test_a_failing_connect_leaves_nothing(measured, tmp_path):
    """Neither a connection nor one that would be used for ever."""
    engine = create_engine(f"sqlite:///{tmp_path}/absent/shop.db")
    for _ in range(3):
        with pytest.raises(sqlalchemy.exc.OperationalError):
            engine.connect()
    assert (0, 0) == _state(measured)
    assert 0 == measured.count(CREATES)


@pytest.mark.parametrize(
    ("pool", "options", "most", "most_idle", "pending", "after"),
    [
        (QueuePool, {"pool_size": 3, "max_overflow": 4}, 7, 3, 0, (0, 1)),
        (QueuePool, {"pool_size": 3, "max_overflow": -1}, None, 3, 0, (0, 1)),
        (QueuePool, {"pool_size": 0}, None, None, 0, (0, 1)),
        (NullPool, {}, None, 0, None, (0, 0)),
        (StaticPool, {}, 1, 1, None, (0, 1)),
        (SingletonThreadPool, {"pool_size": 2}, 2, 2, None, (0, 1)),
        (AssertionPool, {}, 1, 1, None, (0, 1)),
    ],
)
def test_every_class_of_pool(measured, url, pool, options, most, most_idle, pending, after):
    """Each shows what it can tell; what is unlimited has no figure."""
    engine = create_engine(url, poolclass=pool, **options)
    for _ in range(2):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            assert (1, 0) == _state(measured)
        assert after == _state(measured)
    assert [most, most_idle, pending] == [
        _figure(measured, metric) for metric in (MAX, IDLE_MAX, PENDING)
    ]
    assert 2 == measured.count(WAITS) == measured.count(USES)
    engine.dispose()
    assert (0, 0) == _state(measured)


def test_a_thread_that_waits_is_seen_and_its_timeout_counted(measured, url):
    """The request pays for it as `pool_wait`."""
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.4)
    account = Account(time.perf_counter())
    raised = []

    def wait():
        current.set(account)
        try:
            engine.connect()
        except PoolTimeoutError as error:
            raised.append(error)

    with engine.connect():
        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        seen = 0.0
        while thread.is_alive() and not seen and time.monotonic() < deadline:
            _state(measured)
            seen = _figure(measured, PENDING)
        thread.join()
    assert 1 == seen
    assert 1 == len(raised)
    assert 1 == measured.value(TIMEOUTS, db_client_connection_pool_name="shop.db")
    assert 1 == measured.count(WAITS)
    breakdown = account.close(time.perf_counter())
    assert 1 == breakdown.calls[POOL_WAIT]
    assert breakdown.seconds[POOL_WAIT] >= 0.3
    engine.dispose()


@pytest.mark.parametrize("pool", [AsyncAdaptedQueuePool, NullPool, StaticPool])
async def test_pools_of_asyncio(measured, tmp_path, pool):
    """The same figures; a connection of a task that is cancelled while it waits is not counted."""
    bounds = {"pool_size": 1, "max_overflow": 0} if pool is AsyncAdaptedQueuePool else {}
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", poolclass=pool, **bounds
    )
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        assert (1, 0) == _state(measured)
        if pool is AsyncAdaptedQueuePool:
            task = asyncio.ensure_future(engine.connect().start())
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not _figure(measured, PENDING) and time.monotonic() < deadline:
                await asyncio.sleep(0.001)
                _state(measured)
            assert 1 == _figure(measured, PENDING)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (1, 0) == _state(measured)
            assert 0 == _figure(measured, PENDING)
    assert (0, 0 if pool is NullPool else 1) == _state(measured)
    await engine.dispose()
    assert (0, 0) == _state(measured)
    assert 1 == measured.count(USES) == measured.count(CREATES)


async def test_a_lost_connection_of_asyncio_is_not_idle(measured, tmp_path):
    """SQLAlchemy cannot give it back: it is neither used nor idle."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    lost = await engine.raw_connection()
    assert (1, 0) == _state(measured)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del lost
        gc.collect()
    assert (0, 0) == _state(measured)
    await engine.dispose()


def test_what_a_pool_does_on_its_own_account_is_no_operation(measured, patches, tmp_path):
    """Pings, listeners that set up a connection, the reset: with a driver that is measured too."""
    sqlite3_integration.patch(sqlite3, patches, measured.recorder)
    opened = sqlite3.connect(tmp_path / "shop.db")
    engine = create_engine("sqlite:///shop.db", creator=lambda: opened, pool_pre_ping=True)
    statements = []
    opened.set_trace_callback(statements.append)

    @event.listens_for(engine, "connect")
    def set_up(connection, _record):
        connection.execute("PRAGMA foreign_keys = ON")

    for _ in range(3):
        with engine.connect():
            pass
    assert "PRAGMA foreign_keys = ON" in statements
    assert 0 == measured.count(OPERATIONS)
    engine.dispose()


def test_a_pool_without_an_engine_bears_its_own_name(measured):
    """Or that of none; one that the application made itself is measured as well."""

    class Own(QueuePool):
        pass

    for options, name in (({"logging_name": "orders"}, "orders"), ({}, "unnamed")):
        pool = Own(lambda: sqlite3.connect(":memory:"), **options)
        connection = pool.connect()
        assert (1, 0) == _state(measured, name)
        connection.close()
        assert (0, 1) == _state(measured, name)
        pool.dispose()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite://", ":memory:"),
        ("sqlite:////tmp/a/shop.db", "shop.db"),
        ("postgresql+psycopg://ada:secret@db.example:5433/shop", "db.example:5433/shop"),
        ("postgresql+psycopg://ada:secret@db.example/shop", "db.example/shop"),
        ("postgresql+psycopg://ada@/shop?host=/run/postgresql", "/run/postgresql/shop"),
        ("postgresql+psycopg://ada@/shop?host=a:1&host=b:2", "a:1,b:2/shop"),
        ("postgresql+psycopg://", "postgresql"),
    ],
)
def test_a_pool_is_named_for_its_database(url, name):
    """With neither user nor password."""
    assert name == pool_of_engine(create_engine(url))


def test_engines_made_before_are_measured(recording, patches, url):
    """What is idle in their pools is counted when one is asked, what is out when it comes back."""
    engine = create_engine(url, pool_size=3)
    out, idle = engine.connect(), engine.connect()
    idle.close()
    integration.patch(sqlalchemy, patches, recording.recorder)
    with engine.execution_options(logging_token="x").connect():
        assert (1, 0) == _state(recording)
        out.close()
        assert (1, 1) == _state(recording)
    assert 15 - 2 == _figure(recording, MAX)
    engine.dispose()


def test_engines_with_options_share_a_pool(measured, url):
    """Its maximum is there once, also when the engine with options is gone."""
    engine = create_engine(url, pool_size=2, max_overflow=1)
    with engine.execution_options(logging_token="x").connect():
        pass
    with engine.connect():
        gc.collect()
        assert (1, 0) == _state(measured)
        assert 3 == _figure(measured, MAX)
    engine.dispose()


def test_no_engine_and_no_pool_is_kept_alive(measured, url):
    """What is measured may be collected; its figures become 0."""
    engine = create_engine(url)
    with engine.connect():
        assert (1, 0) == _state(measured)
    pool, kept = weakref.ref(engine.pool), weakref.ref(engine)
    engine.dispose()
    del engine
    gc.collect()
    assert kept() is pool() is None
    assert (0, 0) == _state(measured)


def test_undo_leaves_nothing_in_pools(measured, patches, url):
    """Connections that are out go on as they are, and may be measured again later."""
    engine = create_engine(url)
    connection = engine.connect()
    record = connection.connection._connection_record
    assert "_perfsdk_taken" in vars(record)
    assert (1, 0) == _state(measured)
    patches.undo()
    assert "_perfsdk_taken" not in vars(record)
    assert (0, 0) == _state(measured)
    integration.patch(sqlalchemy, patches, measured.recorder)
    connection.close()
    with engine.connect():
        assert (1, 0) == _state(measured)
    assert (0, 1) == _state(measured)
    engine.dispose()


def test_many_threads_leave_the_figures_right(measured, url):
    """Taken, invalidated, detached and lost at once: in the end what is idle is what is open."""
    engine = create_engine(url, pool_size=3, max_overflow=5)

    def work(number):
        for step in range(20):
            connection = engine.raw_connection()
            if (number + step) % 5 == 0:
                connection.invalidate()
            elif (number + step) % 7 == 0:
                connection.detach()
                connection.close()
            elif (number + step) % 3:
                connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            used, idle = _state(measured)
            assert used >= 0 <= idle
            thread.join(0.005)
    gc.collect()
    opened = sum(record.dbapi_connection is not None for record in engine.pool._pool.queue)
    assert (0, opened) == _state(measured)
    engine.dispose()
