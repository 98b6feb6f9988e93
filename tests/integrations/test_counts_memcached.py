"""Hits and misses equal memcached's own `get_hits` and `get_misses`, key by key.

The mapping is plain: each key that a client asks for counts on both sides, one that is asked for
twice in a call twice. What is not asked by `get` or `gets` (incr, touch, delete) has counters of
its own there and is no lookup here.
"""

import random
from contextlib import AsyncExitStack, ExitStack, closing

import aiomcache
import pymemcache
import pytest

from perfsdk.integrations import aiomcache as aiomcache_integration
from perfsdk.integrations import pymemcache as pymemcache_integration
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.servers import HOST

KINDS = ("get", "get_many", "gets", "set", "delete", "incr", "touch")
WEIGHTS = (45, 15, 5, 20, 8, 4, 3)


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while both libraries are measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        pymemcache_integration.patch(pymemcache, patches, recording.recorder)
        aiomcache_integration.patch(aiomcache, patches, recording.recorder)
        yield recording
        patches.undo()


def plan(seed, operations):
    """A mixed load that is the same every time."""
    chance = random.Random(seed)
    for _ in range(operations):
        keys = [f"key:{chance.randrange(300)}" for _ in range(chance.randrange(1, 8))]
        yield chance.choices(KINDS, WEIGHTS)[0], keys


def sync_load(client, operations):
    """The load by a client of pymemcache."""
    for kind, keys in operations:
        if kind == "get_many":
            client.get_many(keys)
        elif kind == "set":
            client.set(keys[0], "7", 60)
        elif kind == "incr":
            client.incr(keys[0], 1)
        else:
            getattr(client, kind)(keys[0])


async def async_load(client, operations):
    """The load by aiomcache, which takes no key twice."""
    for kind, keys in operations:
        key = keys[0].encode()
        if kind == "get_many":
            await client.multi_get(*{key.encode() for key in keys})
        elif kind == "set":
            await client.set(key, b"7", 60)
        elif kind == "touch":
            await client.touch(key, 60)
        elif kind != "incr":  # it raises for what is not there
            await getattr(client, kind)(key)


async def test_every_key_is_counted_as_the_server_counts_it(memcached, recording):
    """10,000 operations of all clients."""
    memcached.flush()
    address = (HOST, memcached.port)
    before = memcached.stats()
    with ExitStack() as stack:
        clients = [
            pymemcache.Client(address, no_delay=True),
            pymemcache.PooledClient(address, no_delay=True),
            pymemcache.HashClient([address], no_delay=True),
            pymemcache.HashClient([address], use_pooling=True, no_delay=True),
        ]
        for seed, client in enumerate(clients):
            sync_load(stack.enter_context(closing(client)), plan(seed, 2000))
    async with AsyncExitStack() as async_stack:
        client = aiomcache.Client(HOST, memcached.port)
        async_stack.push_async_callback(client.close)
        await async_load(client, plan(9, 2000))
    after = memcached.stats()
    server = {name: int(after[name]) - int(before[name]) for name in ("get_hits", "get_misses")}
    assert server == {
        "get_hits": recording.value("cache_requests_total", cache_result="hit"),
        "get_misses": recording.value("cache_requests_total", cache_result="miss"),
    }
    assert min(server.values()) > 1000
