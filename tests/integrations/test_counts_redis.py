"""Hits and misses equal those of the servers, after the mapping that `redis_load` tells."""

from collections import Counter
from contextlib import ExitStack
from importlib import import_module

import pytest
import redis

from perfsdk.integrations import INTEGRATIONS
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.redis_contract import Measured, commandstats, keyspace, unmeasured
from tests.integrations.redis_load import Load, prepare, run, run_awaited
from tests.servers import HOST

OPERATIONS = 10_000


@pytest.fixture(params=[("redis", "Redis"), ("valkey", "Valkey")], ids=["redis", "valkey"])
def library(request):
    """A library by its name, and that of its clients."""
    return request.param


@pytest.fixture
def nodes(redis_server, redis_cluster):
    """A client of the single server and of each node of the cluster, emptied; never measured."""
    with ExitStack() as stack:
        ports = (redis_server.port, *redis_cluster.ports)
        nodes = [stack.enter_context(redis.Redis(HOST, port)) for port in ports]
        for node in nodes:
            node.flushall()
        yield nodes


@pytest.fixture
def measured(library):
    """The library, measured from here on."""
    name, _ = library
    patches = Patches()
    with Recording() as recording:
        module = import_module(name)
        import_module(INTEGRATIONS[name]).patch(module, patches, recording.recorder)
        yield Measured(recording)
        patches.undo()


async def test_counts_equal_those_of_the_servers(
    library, redis_server, redis_cluster, nodes, measured
):
    """A mixed load: single, pipelines, MGET, transactions; sync, asyncio; server and cluster."""
    module, name = import_module(library[0]), library[1]
    loads = [Load(seed, OPERATIONS // 4) for seed in range(4)]
    with unmeasured():
        for client in (
            getattr(module, name)(HOST, redis_server.port),
            getattr(module, f"{name}Cluster").from_url(redis_cluster.url),
        ):
            with client:
                for number in range(8):
                    prepare(client, f"{{{number}}}")
        for node in nodes:
            node.config_resetstat()
    refused = module.ResponseError
    with getattr(module, name)(HOST, redis_server.port) as client:
        run(loads[0], client, refused, transactions=True)
    with getattr(module, f"{name}Cluster").from_url(redis_cluster.url) as cluster:
        run(loads[1], cluster, refused, transactions=hasattr(cluster, "transaction"))
    async with getattr(module.asyncio, name)(host=HOST, port=redis_server.port) as client:
        await run_awaited(loads[2], client, refused)
    async with getattr(module.asyncio, f"{name}Cluster").from_url(redis_cluster.url) as cluster:
        await run_awaited(loads[3], cluster, refused)
    otherwise = sum((Counter(load.otherwise) for load in loads), Counter())
    hits, misses = measured.lookups
    assert OPERATIONS <= sum(load.done for load in loads)
    with unmeasured():
        assert keyspace(*nodes) == (hits + otherwise["hits"], misses + otherwise["misses"])
    assert min(hits, misses, *(load.errors for load in loads)) > 100, "the load is no load"
    if library[0] == "redis":
        assert measured.errors("WatchError") > 10


def test_what_the_client_side_cache_answers_never_reaches_the_server(
    redis_server, nodes, monkeypatch
):
    """It is a hit for the application; with those, hits and misses equal the server's."""
    caching = pytest.importorskip("redis.cache")
    # redis-py asks for 7.4, though older servers can do what this needs.
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "6.0.0")
    config = caching.CacheConfig(max_size=1000)
    node = nodes[0]
    node.mset({f"key:{number}": "" for number in range(0, 100, 2)})
    node.config_resetstat()
    patches = Patches()
    with Recording() as recording:
        import_module(INTEGRATIONS["redis"]).patch(redis, patches, recording.recorder)
        measured = Measured(recording)
        with redis.Redis(HOST, redis_server.port, protocol=3, cache_config=config) as client:
            for number in range(1000):
                client.get(f"key:{number % 100}")
        with unmeasured():
            asked, answered = commandstats(node)["cmdstat_get"], keyspace(node)
        patches.undo()
        assert (500, 500) == measured.lookups
    assert asked == sum(answered)
    assert 100 <= asked < 1000
