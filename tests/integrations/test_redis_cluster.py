"""redis-py on a cluster of three and behind a Sentinel: operations, hits and misses."""

from importlib.metadata import version

import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from perfsdk.integrations import redis as integration
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.redis_contract import (
    PROTOCOLS,
    AsyncClusterContract,
    Measured,
    SyncClusterContract,
    keyspace,
    unmeasured,
)
from tests.redis_cluster import MASTER, ask
from tests.servers import HOST

TRANSACTIONS = pytest.mark.skipif(
    not hasattr(redis.cluster, "TransactionStrategy"),
    reason=f"redis-py {version('redis')} has no transactions on a cluster",
)


class TestRedisCluster(SyncClusterContract):
    """The sync client."""


class TestRedisClusterResp3(SyncClusterContract):
    """The sync client with the newer protocol."""

    protocol = 3


class TestAsyncRedisCluster(AsyncClusterContract):
    """The asyncio client."""


@pytest.fixture
def nodes(redis_cluster):
    """A client of each node, emptied, that was there before: nothing of it is measured."""
    clients = [redis.Redis(HOST, port) for port in redis_cluster.ports]
    for client in clients:
        client.flushall()
        client.config_resetstat()
    yield clients
    with unmeasured():
        for client in clients:
            client.close()


@pytest.fixture
def measured():
    """redis-py, measured from here on."""
    patches = Patches()
    with Recording() as recording:
        integration.patch(redis, patches, recording.recorder)
        yield Measured(recording)
        patches.undo()


@pytest.fixture
def cluster(redis_cluster, nodes, measured, protocol):
    """A measured client of the cluster."""
    with redis.RedisCluster.from_url(redis_cluster.url, protocol=protocol) as cluster:
        yield cluster


@pytest.fixture
async def acluster(redis_cluster, nodes, measured, protocol):
    """The same for asyncio."""
    client = redis.asyncio.RedisCluster.from_url(redis_cluster.url, protocol=protocol)
    async with client as cluster:
        yield cluster


@PROTOCOLS
def test_what_the_client_asks_on_its_own_account_is_no_operation(cluster, measured):
    """It finds out which node has which slot; the application asked for one key."""
    assert {} == measured.operations
    cluster.get("key")
    assert {"get": 1} == measured.operations


@PROTOCOLS
def test_lookups_count_keys(cluster, nodes, measured):
    """To however many nodes: hits and misses are those that the servers count."""
    keys = [f"key:{number}" for number in range(30)]
    cluster.mset_nonatomic(dict.fromkeys(keys[::3], ""))
    for key in keys:
        cluster.get(key)
    assert 10 == sum(value is not None for value in cluster.mget_nonatomic(keys))
    assert [b"", None] == cluster.mget("key:0", "{key:0}absent")
    with unmeasured():
        assert keyspace(*nodes) == measured.lookups
    assert (21, 41) == measured.lookups


@PROTOCOLS
async def test_lookups_of_asyncio_count_keys(acluster, nodes, measured):
    """The same for asyncio."""
    keys = [f"key:{number}" for number in range(30)]
    await acluster.mset_nonatomic(dict.fromkeys(keys[::3], ""))
    for key in keys:
        await acluster.get(key)
    assert 10 == sum(value is not None for value in await acluster.mget_nonatomic(keys))
    with unmeasured():
        assert keyspace(*nodes) == measured.lookups
    assert (20, 40) == measured.lookups


@PROTOCOLS
def test_a_pipeline_is_one_operation(cluster, measured):
    """However many nodes it is sent to; its reads count by key, errors are neither."""
    cluster.lpush("list", "x")
    with cluster.pipeline() as pipeline:
        assert [] == pipeline.execute()
        pipeline.set("a", "").get("a").get("absent").hgetall("none").get("list")
        answers = pipeline.execute(raise_on_error=False)
        assert [True, b"", None, {}] == answers[:4]
        assert isinstance(answers[4], redis.ResponseError)
        pipeline.get("a")
        assert [b""] == pipeline.execute()
        with pytest.raises(redis.ResponseError):
            pipeline.get("list").execute()
    assert {"other": 1, "pipeline": 3} == measured.operations
    assert (2, 2) == measured.lookups
    assert {"unknown": 1} == measured.writes
    assert 1 == measured.errors("ResponseError")


@PROTOCOLS
async def test_a_pipeline_of_asyncio_is_one_operation(acluster, measured):
    """The same for asyncio."""
    await acluster.lpush("list", "x")
    async with acluster.pipeline() as pipeline:
        assert [] == await pipeline.execute()
        pipeline.set("a", "").get("a").get("absent").hgetall("none").get("list")
        answers = await pipeline.execute(raise_on_error=False)
        assert [True, b"", None, {}] == answers[:4]
        assert isinstance(answers[4], redis.ResponseError)
    assert {"other": 1, "pipeline": 1} == measured.operations
    assert (1, 2) == measured.lookups
    assert {"unknown": 1} == measured.writes


@TRANSACTIONS
@PROTOCOLS
def test_a_transaction_counts_what_it_read(cluster, measured):
    """At once between WATCH and MULTI, with EXEC afterwards; what lost its race never happened."""
    cluster.set("{a}key", "")

    def change(pipeline):
        assert b"" == pipeline.get("{a}key")
        pipeline.multi()
        pipeline.get("{a}key")
        pipeline.get("{a}absent")

    assert [b"", None] == cluster.transaction(change, "{a}key")
    assert (2, 1) == measured.lookups
    with cluster.pipeline(transaction=True) as pipeline:
        pipeline.watch("{a}key")
        pipeline.multi()
        cluster.set("{a}key", "changed")
        pipeline.get("{a}key")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert (2, 1) == measured.lookups
    assert 1 == measured.errors("WatchError")
    assert {"set": 2, "other": 2, "get": 1, "pipeline": 2} == measured.operations


@TRANSACTIONS
@PROTOCOLS
async def test_a_transaction_of_asyncio_counts_what_it_read(acluster, measured):
    """The same for asyncio."""
    await acluster.set("{a}key", "")
    async with acluster.pipeline(transaction=True) as pipeline:
        pipeline.get("{a}key").get("{a}absent")
        assert [b"", None] == await pipeline.execute()
        await pipeline.watch("{a}key")
        assert b"" == await pipeline.get("{a}key")
        pipeline.multi()
        await acluster.set("{a}key", "changed")
        with pytest.raises(redis.WatchError):
            await pipeline.get("{a}key").execute()
    assert (2, 1) == measured.lookups
    assert 1 == measured.errors("WatchError")
    assert {"set": 2, "pipeline": 2, "other": 1, "get": 1} == measured.operations


@pytest.mark.parametrize("protocol", [2])  # redis-py 5 does not know the error in the other one
def test_a_moved_slot_is_one_operation(cluster, nodes, measured):
    """The client asks a node that has the slot no more, is sent on, and asks once again."""
    slot = cluster.keyslot("key")
    owner = cluster.nodes_manager.get_node_from_slot(slot)
    others = [node for node in cluster.get_primaries() if node.name != owner.name]
    cluster.nodes_manager.slots_cache[slot] = [others[0]]
    assert cluster.get("key") is None
    assert {"get": 1} == measured.operations
    assert (0, 1) == measured.lookups


@PROTOCOLS
def test_commands_to_several_nodes_are_one_operation(cluster, measured):
    """As PING and FLUSHALL are sent to all."""
    cluster.ping(target_nodes=redis.RedisCluster.ALL_NODES)
    cluster.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
    assert {"other": 1, "clear": 1} == measured.operations
    assert {"cleared": 1} == measured.removals


@PROTOCOLS
def test_the_master_and_replicas_that_a_sentinel_knows(redis_sentinel, measured, protocol):
    """Finding the server is no operation, what it is asked is; a replica counts as well."""
    sentinel = Sentinel([(HOST, redis_sentinel.port)], protocol=protocol)
    master = sentinel.master_for(MASTER, protocol=protocol)
    master.set("key", "", ex=60)
    master.wait(1, 5000)
    replica = sentinel.slave_for(MASTER, protocol=protocol)
    ask(redis_sentinel.replica_port, "CONFIG RESETSTAT")
    assert b"" == replica.get("key")
    assert replica.get("absent") is None
    assert "keyspace_hits:1" in ask(redis_sentinel.replica_port, "INFO stats")
    with master.pipeline() as pipeline:
        assert [b""] == pipeline.get("key").execute()
    assert {"set": 1, "get": 2, "pipeline": 1} == measured.operations
    assert (2, 1) == measured.lookups
    with unmeasured():
        for client in (master, replica, *sentinel.sentinels):
            client.close()


@PROTOCOLS
async def test_what_a_sentinel_knows_for_asyncio(redis_sentinel, measured, protocol):
    """The same for asyncio."""
    sentinel = AsyncSentinel([(HOST, redis_sentinel.port)], protocol=protocol)
    master = sentinel.master_for(MASTER, protocol=protocol)
    await master.set("key", "", ex=60)
    assert b"" == await master.get("key")
    assert await master.get("absent") is None
    assert {"set": 1, "get": 2} == measured.operations
    assert (1, 1) == measured.lookups
    for client in (master, *sentinel.sentinels):
        await client.aclose()
