"""What the tests of redis-py and of valkey-py, which are made alike, have in common."""

import socket
from collections import Counter
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib import import_module

import pytest

from perfsdk.request import CACHE, counted
from tests.integrations.contract import AsyncIntegrationContract, IntegrationContract
from tests.servers import HOST

DURATIONS = "cache_operation_duration_seconds"
REQUESTS = "cache_requests_total"
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["resp2", "resp3"])


def commandstats(*clients):
    """How often the servers have run each command."""
    return sum(
        (
            Counter({name: stats["calls"] for name, stats in client.info("commandstats").items()})
            for client in clients
        ),
        Counter(),
    )


def keyspace(*clients):
    """The lookups that the servers count themselves: found and not."""
    stats = [client.info("stats") for client in clients]
    return tuple(sum(each[f"keyspace_{what}"] for each in stats) for what in ("hits", "misses"))


@contextmanager
def unmeasured():
    """Calls that are not counted."""
    token = counted.set(1 << CACHE)
    try:
        yield
    finally:
        counted.reset(token)


class Measured:
    """A recording of what a client does, asked in short."""

    def __init__(self, recording):
        self.recording = recording

    @property
    def lookups(self):
        """Hits and misses."""
        return self.lookups_of()

    def lookups_of(self, **labels):
        """Those of some."""
        values = (
            self.recording.value(REQUESTS, cache_result=result, **labels)
            for result in ("hit", "miss")
        )
        return tuple(map(int, values))

    @property
    def operations(self):
        """How many of each kind, of those that were observed."""
        return self.operations_of()

    def operations_of(self, **labels):
        """Those of some."""
        counts = Counter()
        for series in self.recording.series(DURATIONS):
            if labels.items() <= series.items():
                counts[series["cache_operation"]] += self.recording.count(DURATIONS, **series)
        return {operation: count for operation, count in counts.items() if count}

    @property
    def writes(self):
        """How many keys were written, by the pattern that the request showed."""
        return self._by("cache_writes_total", "cache_pattern")

    @property
    def removals(self):
        """How many keys went, by the reason."""
        return self._by("cache_removals_total", "reason")

    def errors(self, error_type):
        """How many operations ended with an error."""
        return self.recording.count(DURATIONS, error_type=error_type)

    def _by(self, name, label):
        counts = Counter()
        for series in self.recording.series(name):
            counts[series[label]] += int(self.recording.value(name, **series))
        return dict(counts)


class RedisContract:
    """What the contracts need to know of a library; its clients are those of one server."""

    library = "redis"
    name = "Redis"
    """The class of the clients."""
    metric = DURATIONS
    error_type = "ResponseError"
    component = CACHE
    result = b"value"
    protocol = 2

    @property
    def labels(self):
        """Those of a hit."""
        return {
            "cache_system": self.library,
            "cache_name": "default",
            "cache_operation": "get",
        }

    @property
    def failure_labels(self):
        """Those of what the server refuses."""
        return self.labels | {"cache_operation": "incr"}

    @property
    def bounded(self):
        """All that these tests make."""
        return {
            "cache_system": {self.library},
            "cache_name": {"default"},
            "cache_operation": {"get", "incr", "pipeline"},
            "error_type": {"", "ResponseError"},
        }

    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self._enter([redis_server.port], redis_server.url)
        yield
        self._leave()

    def _enter(self, ports, url):
        self.url, self.ports = url, ports
        module = import_module(self.library)
        # Before anything is patched, and kept: nothing of it is measured.
        self.stack = ExitStack()
        client = getattr(module, self.name)
        self.control = self.stack.enter_context(client.from_url(url))
        own = module.client.Redis if self.library == "redis" else module.client.Valkey
        self.nodes = [self.stack.enter_context(own(HOST, port)) for port in ports]
        for node in self.nodes:
            node.flushall()
        self.control.set("key", "value")

    def _leave(self):
        with unmeasured():
            self.stack.close()

    def owners(self):
        """The clients and pipelines, of a server and of a cluster, and what a transaction is."""
        modules = [
            import_module(f"{self.library}.{name}")
            for name in ("client", "asyncio.client", "cluster", "asyncio.cluster")
        ]
        single = self.name.removesuffix("Cluster")
        names = (single, "Pipeline", f"{single}Cluster", "ClusterPipeline", "TransactionStrategy")
        return [
            vars(module)[name]
            for module in modules
            for name in names
            if getattr(vars(module).get(name), "__module__", "") == module.__name__
        ]

    @contextmanager
    def watch(self, client):
        """The commands that the servers ran."""
        calls = []
        with unmeasured():
            before = commandstats(*self.nodes)
        yield calls
        with unmeasured():
            after = commandstats(*self.nodes)
        calls += sorted((after - before).items())


class SyncRedisContract(RedisContract, IntegrationContract):
    """The sync client."""

    @contextmanager
    def client(self):
        """A client of the protocol."""
        client = getattr(import_module(self.library), self.name)
        with client.from_url(self.url, protocol=self.protocol) as one:
            yield one

    def succeed(self, client):
        """A hit."""
        return client.get("key")

    def succeed_inside_with(self, client):
        """On a connection of its own."""
        with client.client() as one:
            return one.get("key")

    def fail(self, client):
        """What the server refuses."""
        client.incr("key")

    def vary(self, client, number):
        """A key of its own, read and piped."""
        client.get(f"key-{number}")
        with client.pipeline() as pipeline:
            pipeline.get(f"key-{number}").execute()


class AsyncRedisContract(RedisContract, AsyncIntegrationContract):
    """The asyncio client."""

    @asynccontextmanager
    async def client(self):
        """A client of the protocol."""
        client = getattr(import_module(self.library).asyncio, self.name)
        async with client.from_url(self.url, protocol=self.protocol) as one:
            yield one

    async def succeed(self, client):
        """A hit."""
        return await client.get("key")

    async def succeed_inside_with(self, client):
        """On a connection of its own."""
        async with client.client() as one:
            return await one.get("key")

    async def fail(self, client):
        """What the server refuses."""
        await client.incr("key")

    async def vary(self, client, number):
        """A key of its own, read and piped."""
        await client.get(f"key-{number}")
        async with client.pipeline() as pipeline:
            await pipeline.get(f"key-{number}").execute()

    async def hang(self, client):
        """A write, while the servers make writers wait."""
        with ExitStack() as stack:
            for port in self.ports:
                stack.enter_context(paused(port))
            await client.set("key", "other")


@contextmanager
def paused(port):
    """A server that makes writers wait."""
    with socket.create_connection((HOST, port)) as control:
        control.sendall(b"CLIENT PAUSE 20000 WRITE\r\n")
        assert control.recv(16).startswith(b"+OK")
        try:
            yield
        finally:
            control.sendall(b"CLIENT UNPAUSE\r\n")
            assert control.recv(16).startswith(b"+OK")


class ClusterContract:
    """The same clients, of a cluster."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster):
        self._enter(redis_cluster.ports, redis_cluster.url)
        yield
        self._leave()


class SyncClusterContract(ClusterContract, SyncRedisContract):
    """The sync client of a cluster."""

    name = "RedisCluster"

    def succeed_inside_with(self, client):
        """With a client of its own."""
        with self.client() as one:
            return one.get("key")


class AsyncClusterContract(ClusterContract, AsyncRedisContract):
    """The asyncio client of a cluster."""

    name = "RedisCluster"

    async def succeed_inside_with(self, client):
        """With a client of its own."""
        async with self.client() as one:
            return await one.get("key")
