"""psycopg's pools: figures are states, whatever happens to connections."""

import gc
import threading

import psycopg
import psycopg_pool
import pytest

from perfsdk.integrations import psycopg as statements
from perfsdk.integrations import psycopg_pool as integration
from perfsdk.request import POOL_WAIT, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import differences, looks
from tests.integrations.database_contract import DURATION, pool_figures
from tests.servers import wait_until

CLASSES = (psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool)


@pytest.fixture
def patched(recording):
    """psycopg and its pools measured, into `recording`."""
    patches = Patches()
    statements.patch(psycopg, patches, recording.recorder)
    integration.patch(psycopg_pool, patches, recording.recorder)
    yield recording
    patches.undo()


def test_patched_methods_look_the_same_and_are_restored(recording):
    """Signature, kind and names; afterwards the classes hold the identical objects."""
    before = {owner: dict(vars(owner)) for owner in CLASSES}
    patches = Patches()
    integration.patch(psycopg_pool, patches, recording.recorder)
    after = {owner: dict(vars(owner)) for owner in CLASSES}
    changed = differences(before, after)
    assert changed
    for owner, name in changed:
        assert looks(before[owner][name]) == looks(after[owner][name])
    patches.undo()
    assert [] == differences(before, {owner: dict(vars(owner)) for owner in CLASSES})


def test_a_pool_tells_its_state(postgresql, patched):
    """Through taking, waiting, giving back, closing and losing connections; never below zero."""
    with psycopg_pool.ConnectionPool(postgresql.dsn, min_size=1, max_size=2) as pool:
        pool.wait()
        assert (0, 1, 2, 1, 0) == pool_figures(patched)
        one, two = pool.getconn(), pool.getconn()
        assert (2, 0, 2, 1, 0) == pool_figures(patched)
        account = Account(0.0)
        token = current.set(account)
        with pytest.raises(psycopg_pool.PoolTimeout):
            pool.getconn(timeout=0.05)
        current.reset(token)
        assert 1 == patched.value("db_client_connection_timeouts_total")
        assert 1 == account.close(1e9).calls[POOL_WAIT]
        got = []
        waiting = threading.Thread(target=lambda pool: got.append(pool.getconn()), args=(pool,))
        waiting.start()
        wait_until(lambda: (2, 0, 2, 1, 1) == pool_figures(patched))
        pool.putconn(one)
        waiting.join()
        assert (2, 0, 2, 1, 0) == pool_figures(patched)
        two.close()
        pool.putconn(two)
        wait_until(lambda: 1 == pool_figures(patched)[0])
        pool.putconn(got.pop())
        wait_until(lambda: 0 == pool_figures(patched)[0] and pool_figures(patched)[1] >= 1)
    name = f"127.0.0.1:{postgresql.port}/shop"
    for series in patched.series("db_client_connection_max"):
        assert {"db_client_connection_pool_name": name} == series
    assert 3 == patched.count("db_client_connection_wait_time_seconds")
    assert 3 == patched.count("db_client_connection_use_time_seconds")
    assert 2 <= patched.count("db_client_connection_create_time_seconds")
    assert 0 == pool_figures(patched)[0]


def test_a_pool_is_not_kept_alive(postgresql, patched):
    """What it showed is 0 when it is no more."""
    pool = psycopg_pool.ConnectionPool(postgresql.dsn, min_size=1, open=True)
    pool.wait()
    assert (0, 1, 4, 1, 0) == (*pool_figures(patched)[:2], 4, *pool_figures(patched)[3:])
    pool.close()
    del pool
    gc.collect()
    wait_until(lambda: (0, 0, 0, 0, 0) == pool_figures(patched))


def test_what_a_pool_does_for_itself_is_no_operation(postgresql, patched):
    """Its set-up, its checks and its resets; a statement on its connection is one."""

    def own(connection):
        connection.execute("SELECT 'own'")
        connection.commit()

    with psycopg_pool.ConnectionPool(
        postgresql.dsn, min_size=1, configure=own, check=own, reset=own
    ) as pool:
        for _ in range(3):
            with pool.connection() as connection:
                connection.execute("SELECT 1")
    assert 3 == patched.count(DURATION)


async def test_asynchronous_pools(postgresql, patched):
    """They are measured in the same way."""
    pool = psycopg_pool.AsyncConnectionPool(postgresql.dsn, min_size=1, max_size=1, open=False)
    async with pool:
        await pool.wait()
        assert (0, 1, 1, 1, 0) == pool_figures(patched)
        async with pool.connection() as connection:
            assert (1, 0, 1, 1, 0) == pool_figures(patched)
            await connection.execute("SELECT 1")
            with pytest.raises(psycopg_pool.PoolTimeout):
                await pool.getconn(timeout=0.05)
        assert 0 == pool_figures(patched)[0]
    assert 1 == patched.count(DURATION)
    assert 1 == patched.count("db_client_connection_wait_time_seconds")
    assert 1 == patched.value("db_client_connection_timeouts_total")


def test_null_pools(postgresql, patched):
    """They keep no connection; without a limit the maximum is absent."""
    with psycopg_pool.NullConnectionPool(postgresql.dsn, open=True) as pool:
        with pool.connection():
            pass
        with pool.connection():
            assert (1, 0) == pool_figures(patched)[:2]
    assert [] == patched.series("db_client_connection_max")
    assert 2 <= patched.count("db_client_connection_create_time_seconds")


def test_the_first_connection_of_a_pool_is_waited_for(postgresql, patched):
    """It is that connection which tells the name."""
    account = Account(0.0)
    token = current.set(account)
    with psycopg_pool.ConnectionPool(postgresql.dsn, min_size=1) as pool, pool.connection():
        pass
    current.reset(token)
    assert 1 == patched.count("db_client_connection_wait_time_seconds")
    assert 1 == account.close(1e9).calls[POOL_WAIT]
