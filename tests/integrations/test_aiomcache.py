"""aiomcache against a real memcached: the contract, hits and misses, and what stays as it is."""

import asyncio
from contextlib import asynccontextmanager, contextmanager

import aiomcache
import pytest

from perfsdk.integrations import aiomcache as integration
from perfsdk.request import CACHE, counted
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches
from tests.integrations.contract import AsyncIntegrationContract
from tests.servers import HOST

DURATION = "cache_operation_duration_seconds"
LABELS = {"cache_system": "memcached", "cache_name": "default"}


@asynccontextmanager
async def connected(server):
    """A client whose connections are closed at the end."""
    client = aiomcache.Client(HOST, server.port)
    try:
        yield client
    finally:
        await client.close()


class TestContract(AsyncIntegrationContract):
    """The contract on `get`; a key that is text is refused."""

    library = "aiomcache"
    metric = DURATION
    labels = {**LABELS, "cache_operation": "get"}  # noqa: RUF012 - read only
    error_type = "ValidationException"
    bounded = {  # noqa: RUF012 - read only
        "cache_system": {"memcached"},
        "cache_name": {"default"},
        "cache_operation": {"get", "set"},
        "error_type": {"", "ValidationException"},
    }
    component = CACHE
    result = b"value"

    @pytest.fixture(autouse=True)
    def _server(self, memcached):
        self.server = memcached

    def owners(self):
        return [aiomcache, aiomcache.Client, aiomcache.FlagClient]

    @asynccontextmanager
    async def client(self):
        async with connected(self.server) as client:
            await client.set(b"key", b"value")
            yield client

    async def succeed(self, client):
        return await client.get(b"key")

    async def succeed_inside_with(self, client):
        async with asyncio.timeout(5):
            return await client.get(b"key")

    async def fail(self, client):
        await client.get("text")

    async def vary(self, client, number):
        await client.get(b"key:%d" % number)

    async def hang(self, client):
        async def never():
            await asyncio.Event().wait()

        client._pool.acquire = never
        try:
            await client.get(b"key")
        finally:
            del client._pool.acquire

    @contextmanager
    def watch(self, client):
        """What is sent."""
        sent = []
        fetch = client._multi_get

        async def watched(connection, *keys, with_cas=True):
            sent.append(keys)
            return await fetch(connection, *keys, with_cas=with_cas)

        client._multi_get = watched
        yield sent
        del client._multi_get


@pytest.fixture
def recording(tmp_path):
    """Where the values go, while aiomcache is measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(aiomcache, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
async def client(memcached, recording):
    """A measured client of an empty server."""
    memcached.flush()
    async with connected(memcached) as client:
        yield client


def results(recording):
    """Hits and misses."""
    return tuple(
        recording.value("cache_requests_total", cache_result=result) for result in ("hit", "miss")
    )


def operations(recording):
    """How often each operation ran."""
    return {
        series["cache_operation"]: recording.count(DURATION, **series)
        for series in recording.series(DURATION)
    }


async def test_each_lookup_counts_its_keys_once(client, recording):
    """The answers are the library's own."""
    await client.set(b"a", b"")
    await client.set(b"b", b"0")
    assert b"" == await client.get(b"a")
    assert b"default" == await client.get(b"absent", b"default")
    assert None is await client.get(b"absent", default=None)
    assert (1, 2) == results(recording)
    assert (b"", None, b"0") == await client.multi_get(b"a", b"absent", b"b")
    assert () == await client.multi_get()
    assert (3, 3) == results(recording)
    value, token = await client.gets(b"a")
    assert b"" == value
    assert (None, None) == await client.gets(b"absent")
    assert (4, 4) == results(recording)
    assert await client.cas(b"a", b"new", token, 60)
    assert {"get": 5, "get_many": 2, "set": 3} == operations(recording)


async def test_other_calls_are_no_lookups(client, recording):
    """They are operations, and what they write and remove is counted."""
    assert await client.set(b"a", b"1", 60)
    assert not await client.add(b"a", b"2")
    assert await client.replace(b"a", b"3", exptime=60)
    assert await client.append(b"a", b"3")
    assert 34 == await client.incr(b"a")
    assert await client.touch(b"a", 60)
    assert await client.delete(b"a")
    assert not await client.delete(b"a")
    await client.flush_all()
    assert (0, 0) == results(recording)
    expected = {"set": 4, "incr": 1, "touch": 1, "delete": 2, "clear": 1}
    assert expected == operations(recording)
    assert 2 == recording.value("cache_writes_total")
    assert 1 == recording.value("cache_removals_total", reason="explicit")
    assert 1 == recording.value("cache_removals_total", reason="cleared")


async def test_an_outer_layer_counts_alone(client, recording):
    """And defaults stay the application's."""
    token = counted.set(1 << CACHE)
    assert b"default" == await client.get(b"absent", b"default")
    counted.reset(token)
    assert {} == operations(recording)
