"""psycopg2.pool: figures that are states, times of waiting and using, and nothing changed."""

import threading
import weakref
from contextlib import closing, contextmanager
from time import perf_counter

import psycopg2
import psycopg2.extensions
import psycopg2.pool
import pytest
from psycopg2.pool import PoolError, SimpleConnectionPool, ThreadedConnectionPool

from perfsdk import catalog
from perfsdk.integrations import psycopg2 as driver_integration
from perfsdk.integrations import psycopg2_pool as integration
from perfsdk.request import POOL_WAIT, Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION
from tests.servers import wait_until

CONNECTIONS = catalog.DB_CLIENT_CONNECTIONS.name
MAX = catalog.DB_CLIENT_CONNECTION_MAX.name
IDLE_MAX = catalog.DB_CLIENT_CONNECTION_IDLE_MAX.name
WAIT = catalog.DB_CLIENT_CONNECTION_WAIT_TIME.name
USE = catalog.DB_CLIENT_CONNECTION_USE_TIME.name
CREATE = catalog.DB_CLIENT_CONNECTION_CREATE_TIME.name
TIMEOUTS = catalog.DB_CLIENT_CONNECTION_TIMEOUTS.name


@pytest.fixture
def patches():
    """What is patched is undone at the end."""
    patches = Patches()
    yield patches
    patches.undo()


@pytest.fixture
def recording(tmp_path, patches):
    """Where the values go while psycopg2 and its pools are patched."""
    with Recording(tmp_path / "recording") as recording:
        driver_integration.patch(psycopg2, patches, recording.recorder)
        integration.patch(psycopg2.pool, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
def name(postgresql):
    """What a pool of this server is called."""
    return f"{postgresql.host}:{postgresql.port}/{postgresql.database}"


@contextmanager
def opened(pool):
    """A pool, closed at the end."""
    yield pool
    if not pool.closed:
        pool.closeall()


def figures(recording):
    """Used, idle, max and idle max, as a sample shows them now."""
    recording.recorder.sample()
    used, idle = (
        recording.value(CONNECTIONS, db_client_connection_state=state) for state in ("used", "idle")
    )
    return used, idle, recording.value(MAX), recording.value(IDLE_MAX)


@pytest.mark.parametrize("kind", [SimpleConnectionPool, ThreadedConnectionPool])
def test_figures_are_those_of_the_pool(recording, postgresql, name, kind):
    """Through taking, giving back, overflow beyond the idle ones, and closing."""
    with opened(kind(2, 4, postgresql.dsn)) as pool:
        assert (0, 2, 4, 2) == figures(recording)
        taken = [pool.getconn() for _ in range(4)]
        assert (4, 0, 4, 2) == figures(recording)
        for connection in taken:
            pool.putconn(connection)
        assert (0, 2, 4, 2) == figures(recording)
        pool.putconn(pool.getconn(), close=True)
        assert (0, 1, 4, 2) == figures(recording)
        pool.getconn()
        pool.closeall()
        assert (0, 0, 0, 0) == figures(recording)
    assert [name] == [s["db_client_connection_pool_name"] for s in recording.series(MAX)]
    assert 4 == recording.count(CREATE, db_client_connection_pool_name=name)
    assert 6 == recording.count(WAIT, db_client_connection_pool_name=name)
    assert 5 == recording.count(USE, db_client_connection_pool_name=name)
    assert 0 == recording.value(TIMEOUTS)


def test_an_exhausted_pool_is_a_timeout_and_a_closed_one_is_not(recording, postgresql, name):
    """The library raises what it raised before."""
    with opened(SimpleConnectionPool(0, 1, postgresql.dsn)) as pool:
        connection = pool.getconn(key="a")
        assert connection is pool.getconn("a"), "the same key gives the same connection"
        with pytest.raises(PoolError, match="exhausted"):
            pool.getconn()
        assert 1 == recording.value(TIMEOUTS, db_client_connection_pool_name=name)
        assert 2 == recording.count(WAIT)
        pool.putconn(connection, "a")
        assert 1 == recording.count(USE)
        with pytest.raises(PoolError, match="unkeyed"):
            pool.putconn(connection)
        again = pool.getconn("b")
        with pytest.raises(KeyError):
            pool.putconn(again, key="c")
        assert 1 == recording.count(USE), "it did not come back"
        pool.putconn(conn=again)
        pool.closeall()
        with pytest.raises(PoolError, match="closed"):
            pool.getconn()
    assert 1 == recording.value(TIMEOUTS)
    assert 3 == recording.count(WAIT)
    assert 2 == recording.count(USE)


def test_waiting_is_a_component_of_the_request(recording, postgresql):
    """The time of `getconn` is that of the request's `pool_wait`."""
    with opened(ThreadedConnectionPool(0, 1, postgresql.dsn)) as pool:
        account = Account(perf_counter())
        token = current.set(account)
        connection = pool.getconn()
        current.reset(token)
        breakdown = account.close(perf_counter())
        pool.putconn(connection)
    assert 1 == breakdown.calls[POOL_WAIT]
    assert 1 == sum(breakdown.calls)
    assert 0 < breakdown.seconds[POOL_WAIT]
    assert recording.sum(WAIT) == pytest.approx(breakdown.seconds[POOL_WAIT], rel=0.2, abs=1e-3)


def test_statements_on_connections_of_a_pool_are_measured(recording, postgresql):
    """Those of the application are; those of its class while it is connected are set-up."""

    class Mine(psycopg2.extensions.connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            with self.cursor() as cursor:
                cursor.execute("SET application_name TO 'mine'")

    made = SimpleConnectionPool(1, 2, postgresql.dsn, connection_factory=Mine)
    with opened(made) as pool:
        taken = [pool.getconn(), pool.getconn()]
        for connection in taken:
            assert isinstance(connection, Mine)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            pool.putconn(connection)
    assert 2 == recording.count(DURATION, db_operation_name="SELECT")
    assert 2 == recording.count(DURATION)


def test_a_pool_made_before_is_looked_at_once_it_is_used(tmp_path, patches, postgresql):
    """From its next `getconn` on; and no more after `undo`."""
    with (
        opened(ThreadedConnectionPool(1, 3, postgresql.dsn)) as pool,
        Recording(tmp_path / "recording") as recording,
    ):
        integration.patch(psycopg2.pool, patches, recording.recorder)
        recording.recorder.sample()
        assert [] == recording.series(MAX)
        pool.putconn(pool.getconn())
        assert (0, 1, 3, 1) == figures(recording)
        patches.undo()
        assert (0, 0, 0, 0) == figures(recording)
        pool.putconn(pool.getconn())
        assert 1 == recording.count(WAIT)
        assert 1 == recording.count(USE)


def test_undo_restores_the_library_exactly(tmp_path, patches):
    """Each class holds the identical objects again."""
    owners = [psycopg2.pool.AbstractConnectionPool, SimpleConnectionPool, ThreadedConnectionPool]
    before = [dict(vars(owner)) for owner in owners]
    with Recording(tmp_path / "recording") as recording:
        integration.patch(psycopg2.pool, patches, recording.recorder)
        assert before != [dict(vars(owner)) for owner in owners]
        patches.undo()
    assert before == [dict(vars(owner)) for owner in owners]


@pytest.mark.parametrize("dsn", [True, False])
def test_a_pool_without_connections_has_the_name_that_it_was_given(recording, postgresql, dsn):
    """From the address or from keywords, whatever else it was given; never the password."""
    if dsn:
        address = f"postgresql://somebody:hunter2@{postgresql.host}:{postgresql.port}/shop"
        made = SimpleConnectionPool(0, 1, address, cursor_factory=psycopg2.extensions.cursor)
    else:
        given = {"host": postgresql.host, "port": postgresql.port, "password": "hunter2"}
        made = SimpleConnectionPool(0, 1, **given, dbname="shop", connection_factory=None)
    with opened(made):
        figures(recording)
    expected = f"{postgresql.host}:{postgresql.port}/shop"
    assert [{"db_client_connection_pool_name": expected}] == recording.series(MAX)


def test_a_server_that_is_not_there_raises_what_it_did(recording):
    """With connections at once there is no pool; without, `getconn` is no timeout."""
    with pytest.raises(psycopg2.OperationalError):
        SimpleConnectionPool(1, 2, "host=127.0.0.1 port=1 dbname=shop")
    with opened(SimpleConnectionPool(0, 2, "host=127.0.0.1 port=1 dbname=shop")) as pool:
        with pytest.raises(psycopg2.OperationalError):
            pool.getconn()
        assert (0, 0, 2, 0) == figures(recording)
    assert 0 == recording.value(TIMEOUTS)


def test_classes_of_the_application_are_measured(recording, postgresql):
    """One that overrides a method is counted once; figures are those of the pool all the same."""

    class Mine(ThreadedConnectionPool):
        def getconn(self, key=None):
            return super().getconn(key)

    class Own(psycopg2.pool.AbstractConnectionPool):
        def take(self):
            return self._getconn()

    with opened(Mine(1, 2, postgresql.dsn)) as pool:
        pool.putconn(pool.getconn())
        assert 1 == recording.count(WAIT)
    own = Own(1, 2, postgresql.dsn)
    with closing(own.take()):
        assert (1, 0, 2, 1) == figures(recording)
    assert 1 == recording.count(WAIT)


def test_pools_are_not_kept_alive(recording, postgresql):
    """Nor are their connections; the figures of one that is gone are 0."""
    pool = SimpleConnectionPool(1, 2, postgresql.dsn)
    connection = pool.getconn()
    references = weakref.ref(pool), weakref.ref(connection)
    connection.close()
    del pool, connection
    assert [None, None] == [reference() for reference in references]
    assert (0, 0, 0, 0) == figures(recording)


def test_figures_hold_under_threads(recording, postgresql):
    """Samples taken meanwhile are never negative and never more than there can be."""
    problems = []

    def work(pool):
        try:
            for _ in range(100):
                connection = pool.getconn()
                pool.putconn(connection)
        except Exception as error:
            problems.append(error)

    with opened(ThreadedConnectionPool(2, 4, postgresql.dsn)) as pool:
        threads = [threading.Thread(target=work, args=(pool,)) for _ in range(4)]
        for thread in threads:
            thread.start()

        def sampled():
            used, idle, *_ = figures(recording)
            assert 0 <= used <= 4
            assert 0 <= idle <= 2
            return not any(thread.is_alive() for thread in threads)

        wait_until(sampled)
        assert [] == problems
        assert (0, 2, 4, 2) == figures(recording)
    assert 400 == recording.count(WAIT) == recording.count(USE)
