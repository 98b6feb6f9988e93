"""asyncpg's pools: figures are states, whatever happens to connections."""

import asyncio
import gc

import asyncpg
import pytest

from perfsdk.integrations import asyncpg as statements
from perfsdk.integrations import asyncpg_pool as integration
from perfsdk.request import POOL_WAIT, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, pool_figures


@pytest.fixture
def patched(recording):
    """asyncpg and its pools measured, into `recording`."""
    patches = Patches()
    statements.patch(asyncpg, patches, recording.recorder)
    integration.patch(asyncpg.pool, patches, recording.recorder)
    yield recording
    patches.undo()


async def test_a_pool_tells_its_state(postgresql, patched):
    """Through acquiring, waiting, closing, terminating and expiring; never below zero."""
    pool = await asyncpg.create_pool(postgresql.dsn, min_size=1, max_size=2)
    assert (0, 1, 2, 1, 0) == pool_figures(patched)
    one = await pool.acquire()
    two = await pool.acquire()
    assert (2, 0, 2, 1, 0) == pool_figures(patched)
    account = Account(0.0)
    token = current.set(account)
    with pytest.raises(TimeoutError):
        await pool.acquire(timeout=0.1)
    current.reset(token)
    assert 1 == patched.value("db_client_connection_timeouts_total")
    assert 1 == account.close(1e9).calls[POOL_WAIT]
    waiting = asyncio.create_task(pool._acquire(None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (2, 0, 2, 1, 1) == pool_figures(patched)
    await one.close()  # not given back, closed
    three = await waiting
    assert (2, 0, 2, 1, 0) == pool_figures(patched)
    two.terminate()
    await pool.release(three)
    used, idle, *_ = pool_figures(patched)
    assert 0 == used
    assert idle in (1, 2)
    assert patched.count("db_client_connection_wait_time_seconds") == 3
    assert patched.count("db_client_connection_use_time_seconds") == 3
    assert patched.count("db_client_connection_create_time_seconds") >= 3
    name = f"127.0.0.1:{postgresql.port}/shop"
    assert [name] == [
        labels["db_client_connection_pool_name"]
        for labels in patched.series("db_client_connection_max")
    ]
    await pool.expire_connections()
    await pool.close()
    del pool, one, two, three, waiting
    gc.collect()
    assert (0, 0, 0, 0, 0) == pool_figures(patched)


async def test_what_a_pool_does_for_itself_is_no_operation(postgresql, patched):
    """Set-up callbacks and the reset on release; a call through the pool is one."""

    async def setup(connection):
        await connection.execute("SELECT 'setup'")

    async with asyncpg.create_pool(postgresql.dsn, min_size=1, max_size=1, setup=setup) as pool:
        assert 1 == await pool.fetchval("SELECT 1")
        async with pool.acquire() as connection:
            assert 2 == await connection.fetchval("SELECT 2")
    assert 2 == patched.count(DURATION)


async def test_the_first_connection_of_an_empty_pool_is_waited_for(postgresql, patched):
    """It is that connection which tells the name; how it is set up is no operation."""

    async def init(connection):
        await connection.execute("SELECT 'init'")

    account = Account(0.0)
    async with asyncpg.create_pool(postgresql.dsn, min_size=0, max_size=1, init=init) as pool:
        token = current.set(account)
        async with pool.acquire():
            pass
        current.reset(token)
    assert 1 == patched.count("db_client_connection_wait_time_seconds")
    assert 1 == patched.count("db_client_connection_create_time_seconds")
    assert 1 == account.close(1e9).calls[POOL_WAIT]
    assert 0 == patched.count(DURATION)
    async with asyncpg.create_pool(postgresql.dsn, min_size=1, max_size=1, init=init):
        assert 0 == patched.count(DURATION)
