"""Pools of aiomysql: snapshots that never drift, and what it takes to get a connection."""

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter

import aiomysql
import aiomysql.pool
import pytest

from perfsdk.integrations import aiomysql as driver
from perfsdk.integrations import aiomysql_pool as integration
from perfsdk.request import POOL_WAIT, Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, pool_figures

WAIT = "db_client_connection_wait_time_seconds"
USE = "db_client_connection_use_time_seconds"
CREATE = "db_client_connection_create_time_seconds"


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while aiomysql and its pools are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        driver.patch(aiomysql, patches, recording.recorder)
        integration.patch(aiomysql.pool, patches, recording.recorder)
        yield recording
        patches.undo()


@asynccontextmanager
async def pool_of(server, **options):
    """A pool of one to two connections."""
    pool = await aiomysql.create_pool(
        **{"minsize": 1, "maxsize": 2, "autocommit": True, **options},
        host=server.host,
        port=server.port,
        user=server.user,
        db="shop",
    )
    try:
        yield pool
    finally:
        pool.terminate()
        await pool.wait_closed()


async def test_figures_are_those_of_the_pool(mariadb, recording):
    """Used, idle, at most, at least and waiting; when it is gone nothing is left."""
    async with pool_of(mariadb) as pool:
        async with pool.acquire() as connection:
            assert (1, 0, 2, 1, 0) == pool_figures(recording)
            async with pool.acquire():
                waiting = asyncio.ensure_future(pool._acquire())
                while not pool._cond._waiters:  # noqa: ASYNC110 - a plain deque
                    await asyncio.sleep(0)
                assert (2, 0, 2, 1, 1) == pool_figures(recording)
            pool.release(await waiting)
            connection.close()  # invalid: it goes when it is given back
        assert (0, 1, 2, 1, 0) == pool_figures(recording)
    name = f"{mariadb.host}:{mariadb.port}/shop"
    shown = recording.series("db_client_connection_max")
    assert [{"db_client_connection_pool_name": name}] == shown


async def test_terminated_connections_are_neither_used_nor_idle(mariadb, recording):
    """Giving one back afterwards changes nothing."""
    async with pool_of(mariadb) as pool:
        connection = await pool.acquire()
        assert (1, 0) == pool_figures(recording)[:2]
        pool.terminate()
        assert (0, 0) == pool_figures(recording)[:2]
        pool.release(connection)
        assert (0, 0) == pool_figures(recording)[:2]


async def test_waits_uses_and_openings_are_timed(mariadb, recording):
    """Each connection taken is a wait and, given back, a use."""
    async with pool_of(mariadb) as pool:
        for _ in range(3):
            async with pool.acquire():
                pass
        assert 1 == recording.count(CREATE)  # when the pool was made, and kept since
    assert 3 == recording.count(WAIT)
    assert 3 == recording.count(USE)


async def test_waiting_is_a_component_of_its_own_and_no_operation(mariadb, recording):
    """What a pool does to open a connection is none either."""
    async with pool_of(mariadb, minsize=0) as pool:
        account = Account(perf_counter())
        token = current.set(account)
        async with pool.acquire():
            pass
        current.reset(token)
        breakdown = account.close(perf_counter())
    assert 1 == breakdown.calls[POOL_WAIT]
    assert 0 < breakdown.seconds[POOL_WAIT]
    assert 0 == recording.count(DURATION)


async def test_a_cancelled_wait_stays_cancelled(mariadb, recording):
    """The pool is as it was."""
    async with pool_of(mariadb, maxsize=1) as pool:
        async with pool.acquire():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.acquire(), 0.01)
            assert (1, 0, 1, 1, 0) == pool_figures(recording)
        async with pool.acquire():
            assert (1, 0, 1, 1, 0) == pool_figures(recording)


async def test_undo_restores_the_library(mariadb, tmp_path):
    """The identical objects, and a pool from before is measured by another patch."""
    before = dict(vars(aiomysql.Pool)), aiomysql.pool.connect
    async with pool_of(mariadb) as pool:
        for name in ("first", "second"):
            patches = Patches()
            with Recording(tmp_path / name) as recording:
                integration.patch(aiomysql.pool, patches, recording.recorder)
                async with pool.acquire():
                    assert (1, 0) == pool_figures(recording)[:2]
                patches.undo()
                assert before == (dict(vars(aiomysql.Pool)), aiomysql.pool.connect)
                async with pool.acquire():
                    pass
                assert 1 == recording.count(WAIT)
