"""redis-py, against a real server: operations, hits and misses, in both protocols."""

import asyncio
import socket
from collections import Counter

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from perfsdk.integrations import redis as integration
from perfsdk.integrations.redis_commands import tell
from perfsdk.request import CACHE, counted
from perfsdk.testing import Recording
from perfsdk.wrapping.caches import Caches
from perfsdk.wrapping.patches import Patches
from tests.integrations.redis_contract import (
    PROTOCOLS,
    AsyncRedisContract,
    Measured,
    SyncRedisContract,
)
from tests.servers import HOST, free_port, wait_until


class TestRedis(SyncRedisContract):
    """The sync client."""


class TestRedisResp3(SyncRedisContract):
    """The sync client with the newer protocol."""

    protocol = 3


class TestAsyncRedis(AsyncRedisContract):
    """The asyncio client."""


class TestAsyncRedisResp3(AsyncRedisContract):
    """The asyncio client with the newer protocol."""

    protocol = 3


@pytest.fixture
def measured():
    """redis-py, measured from here on."""
    patches = Patches()
    with Recording() as recording:
        integration.patch(redis, patches, recording.recorder)
        yield Measured(recording)
        patches.undo()


@pytest.fixture
def server(redis_server):
    """The server, emptied."""
    with socket.create_connection((HOST, redis_server.port)) as control:
        control.sendall(b"FLUSHALL\r\n")
        assert control.recv(16).startswith(b"+OK")
    return redis_server


@pytest.fixture
def client(server, measured, protocol):
    """A measured client."""
    with redis.Redis.from_url(server.url, protocol=protocol) as client:
        yield client


@pytest.fixture
async def aclient(server, measured, protocol):
    """A measured asyncio client."""
    async with redis.asyncio.from_url(server.url, protocol=protocol) as client:
        yield client


@PROTOCOLS
@pytest.mark.parametrize("value", ["", "0", "text"])
def test_a_stored_value_is_a_hit_however_empty(client, measured, value):
    """Only the absence of a key is a miss."""
    client.set("key", value)
    assert value.encode() == client.get("key")
    assert client.get("absent") is None
    assert (1, 1) == measured.lookups


@PROTOCOLS
def test_lookups_count_keys(client, measured):
    """Each kind of read counts what it asked for, once for each key."""
    client.mset({"a": 1, "b": ""})
    client.hset("hash", mapping={"field": "", "other": "x"})
    expected = Counter()
    for call, hits, misses in (
        (lambda: client.mget("a", "absent", "b", "a"), 3, 1),
        (lambda: client.getex("a", ex=60), 1, 0),
        (lambda: client.getdel("a"), 1, 0),
        (lambda: client.getdel("a"), 0, 1),
        (lambda: client.hget("hash", "field"), 1, 0),
        (lambda: client.hget("hash", "absent"), 0, 1),
        (lambda: client.hmget("hash", "absent", "field"), 1, 0),
        (lambda: client.hmget("absent", "field", "other"), 0, 1),
        (lambda: client.hgetall("hash"), 1, 0),
        (lambda: client.hgetall("absent"), 0, 1),
        (lambda: client.getrange("absent", 0, 1), 0, 0),
        (lambda: client.substr("absent", 0, 1), 0, 0),
        (lambda: client.exists("hash", "absent"), 0, 0),
        (lambda: client.lpop("absent"), 0, 0),
    ):
        call()
        expected += Counter(hits=hits, misses=misses)
        assert (expected["hits"], expected["misses"]) == measured.lookups


@PROTOCOLS
def test_counts_equal_those_of_the_server(server, client, measured):
    """For reads of keys, ours are the server's own keyspace_hits and keyspace_misses."""
    client.mset({f"key:{number}": number for number in range(0, 100, 3)})
    client.hset("hash", "field", "value")
    client.config_resetstat()
    for number in range(100):
        client.get(f"key:{number}")
        client.mget([f"key:{other}" for other in range(number, number + 5)])
        client.hget("hash" if number % 4 else "absent", "field")
    with client.pipeline(transaction=False) as pipeline:
        for number in range(20):
            pipeline.get(f"key:{number}")
        pipeline.execute()
    stats = client.info("stats")
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == measured.lookups


@PROTOCOLS
async def test_counts_of_asyncio_equal_those_of_the_server(aclient, measured):
    """The same for the asyncio client, with calls that overlap."""
    await aclient.mset({f"key:{number}": number for number in range(0, 100, 3)})
    await aclient.hset("hash", "field", "value")
    await aclient.config_resetstat()
    await asyncio.gather(*(aclient.get(f"key:{number}") for number in range(20)))
    await asyncio.gather(*(aclient.mget("key:0", "key:1", "key:3") for _ in range(20)))
    await asyncio.gather(*(aclient.hget(name, "field") for name in ("hash", "absent")))
    async with aclient.pipeline() as pipeline:
        await pipeline.get("key:0").get("absent").mget("key:3", "key:4").execute()
    stats = await aclient.info("stats")
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == measured.lookups
    assert 1 == measured.operations["pipeline"]


@PROTOCOLS
def test_operations_are_of_a_fixed_set(client, measured):
    """A command is observed under the operation that it is."""
    client.set("a", 1)
    client.mset({"b": 2})
    client.incr("a")
    client.expire("a", 60)
    client.get("a")
    client.mget("a", "b")
    client.delete("a")
    client.lpush("list", "x")
    client.config_get("save")
    client.eval("return 1", 0)
    client.flushdb()
    expected = dict.fromkeys(("set", "set_many", "incr", "touch", "get", "get_many"), 1)
    assert expected | {"delete": 1, "clear": 1, "other": 3} == measured.operations


@PROTOCOLS
@pytest.mark.parametrize(
    "command",
    [("GET", "key"), ("get", "key"), (b"GET", b"key"), (b"get", "key"), ("GET key",), ("get key",)],
)
def test_a_command_is_known_however_it_is_spelled(client, measured, command):
    """Case, bytes and words in one string make no difference."""
    client.set("key", "value")
    assert b"value" == client.execute_command(*command)
    assert (1, 0) == measured.lookups
    assert {"set": 1, "get": 1} == measured.operations


@PROTOCOLS
@pytest.mark.parametrize(
    "key", ["_kombu.binding.x", "celery-task-meta-1", "rq:job:1", "arq:job:1", "lock:a", b"rq:job"]
)
def test_keys_of_queues_and_locks_are_no_lookups(client, measured, key):
    """Their reads are timed, but are neither hits nor misses."""
    client.get(key)
    client.mget(key, "absent")
    assert (0, 1) == measured.lookups
    assert {"get": 1, "get_many": 1} == measured.operations


@PROTOCOLS
def test_commands_that_wait_are_not_timed(client, measured):
    """A command that waits for others says nothing about the cache's latency."""
    client.rpush("list", "a", "b", "c")
    client.xadd("stream", {"a": 1})
    client.blpop("list", 1)
    client.brpop("list", 1)
    client.blmove("list", "target", 1)
    client.bzpopmin("sorted", 0.01)
    client.wait(0, 1)
    client.xread({"stream": "$"}, block=1)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.get("absent").blpop("list", 0.01).execute()
    assert {"other": 2} == measured.operations
    client.xread({"stream": "0"})
    assert {"other": 3} == measured.operations
    assert (0, 1) == measured.lookups


def test_what_a_sentinel_is_asked_is_left_alone(server, measured):
    """redis-py asks it to find the server of a call, which is what counts."""
    with redis.Redis.from_url(server.url) as client:
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.sentinel_masters()
        client.get("key")
    assert {"get": 1} == measured.operations


@PROTOCOLS
def test_pub_sub_is_left_alone(client, measured):
    """Subscribing and listening are no operations; publishing is one."""
    with client.pubsub() as pubsub:
        pubsub.subscribe("channel")
        wait_until(lambda: pubsub.get_message(timeout=0.01))
        client.publish("channel", "text")
        message = wait_until(lambda: pubsub.get_message(timeout=0.01))
    assert b"text" == message["data"]
    assert {"other": 1} == measured.operations


@PROTOCOLS
@pytest.mark.parametrize("transaction", [True, False])
def test_a_pipeline_is_one_operation(client, measured, transaction):
    """All that was queued is timed as one, and its reads count by key."""
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("a", "").get("a").get("absent").mget("a", "absent").hgetall("absent")
        assert [True, b"", None, [b"", None], {}] == pipeline.execute()
        assert [] == pipeline.execute()
        pipeline.get("a")
        assert [b""] == pipeline.execute()
    assert {"pipeline": 2} == measured.operations
    assert (3, 3) == measured.lookups


@PROTOCOLS
@pytest.mark.parametrize("transaction", [True, False])
def test_errors_within_a_pipeline_are_neither_hit_nor_miss(client, measured, transaction):
    """Answers keep their places beside errors; when the pipeline raises nothing is counted."""
    client.set("text", "x")
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.get("text").hget("text", "field").get("absent")
        answers = pipeline.execute(raise_on_error=False)
        assert isinstance(answers[1], redis.ResponseError)
        assert (1, 1) == measured.lookups
        pipeline.get("text").hget("text", "field")
        with pytest.raises(redis.ResponseError):
            pipeline.execute()
    assert (1, 1) == measured.lookups
    assert 1 == measured.errors("ResponseError")


@PROTOCOLS
def test_a_transaction_that_lost_its_race_counts_nothing(client, measured):
    """Reads before MULTI count as they are made; those of a WatchError never happened."""
    with client.pipeline() as pipeline:
        pipeline.watch("key")
        assert pipeline.get("key") is None
        pipeline.multi()
        client.set("key", "changed")
        pipeline.get("key")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert (0, 1) == measured.lookups
    assert 1 == measured.errors("WatchError")
    assert {"other": 1, "get": 1, "set": 1, "pipeline": 1} == measured.operations


@PROTOCOLS
async def test_pipelines_of_asyncio(aclient, measured):
    """One operation, reads by key, errors in place, WATCH: as in the sync client."""
    await aclient.set("text", "")
    async with aclient.pipeline(transaction=True) as pipeline:
        pipeline.get("text").hget("text", "field").get("absent")
        answers = await pipeline.execute(raise_on_error=False)
        assert isinstance(answers[1], redis.ResponseError)
        assert [b"", None] == [answers[0], answers[2]]
        await pipeline.watch("text")
        assert b"" == await pipeline.get("text")
        pipeline.multi()
        await aclient.set("text", "changed")
        with pytest.raises(redis.WatchError):
            await pipeline.get("text").execute()
    assert (2, 1) == measured.lookups
    assert {"set": 2, "pipeline": 2, "other": 1, "get": 1} == measured.operations


@PROTOCOLS
def test_an_error_of_the_server_is_neither_hit_nor_miss(client, measured):
    """A refused read is an operation with an error, and no lookup."""
    client.lpush("list", "x")
    with pytest.raises(redis.ResponseError):
        client.get("list")
    assert (0, 0) == measured.lookups
    assert 1 == measured.errors("ResponseError")


def test_retries_are_one_operation(measured):
    """A server that cannot be reached is one error, however often it was tried."""
    retry = Retry(NoBackoff(), 3)
    client = redis.Redis(HOST, free_port(), retry=retry)
    with client, pytest.raises(redis.ConnectionError):
        client.get("key")
    assert 1 == measured.errors("ConnectionError")
    assert (0, 0) == measured.lookups


async def test_retries_of_asyncio_are_one_operation(measured):
    """The same, and a pipeline that cannot be sent is one too."""
    retry = AsyncRetry(NoBackoff(), 3)
    async with redis.asyncio.Redis(host=HOST, port=free_port(), retry=retry) as client:
        with pytest.raises(redis.ConnectionError):
            await client.get("key")
        with pytest.raises(redis.ConnectionError):
            await client.pipeline().get("key").execute()
    assert {"get": 1, "pipeline": 1} == measured.operations
    assert 2 == measured.errors("ConnectionError")
    assert (0, 0) == measured.lookups


@PROTOCOLS
def test_a_layer_above_counts_alone(client, measured):
    """Where a cache library has counted the call, redis-py stays silent."""
    token = counted.set(1 << CACHE)
    client.get("key")
    with client.pipeline() as pipeline:
        pipeline.get("key").execute()
    counted.reset(token)
    assert {} == measured.operations
    assert (0, 0) == measured.lookups


@PROTOCOLS
def test_decoded_answers_and_callbacks_of_the_application_are_its_own(server, measured, protocol):
    """What the application makes of an answer is what it gets, and counts as what it is."""
    url = server.url
    with redis.Redis.from_url(url, protocol=protocol, decode_responses=True) as client:
        client.set("key", "")
        assert "" == client.get("key")
        client.set_response_callback("GET", lambda answer, **_: answer and int(answer))
        client.set("number", "0")
        assert 0 == client.get("number")
        assert client.get("absent") is None
    assert (2, 1) == measured.lookups


def test_the_client_side_cache_does_not_count_twice(server, measured, monkeypatch):
    """An answer from redis-py's own cache is one hit, like one from the server."""
    caching = pytest.importorskip("redis.cache")
    # redis-py asks for 7.4, though older servers can do what this needs.
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "6.0.0")
    config = caching.CacheConfig(max_size=10)
    with redis.Redis.from_url(server.url, protocol=3, cache_config=config) as client:
        client.set("key", "value")
        before = client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]
        assert [b"value"] * 3 == [client.get("key") for _ in range(3)]
        assert 1 == client.info("commandstats")["cmdstat_get"]["calls"] - before
    assert (3, 0) == measured.lookups
    assert {"set": 1, "get": 3, "other": 2} == measured.operations


@pytest.mark.parametrize(
    ("command", "answer", "expected"),
    [
        (("JSON.GET", "key"), {}, (1, 0)),
        (("JSON.GET", "key"), None, (0, 1)),
        (("JSON.MGET", "a", "b", "rq:c", "$"), [[1], None, None], (1, 1)),
        (("HGETDEL", "key", "FIELDS", 1, "f"), [None], (0, 1)),
        (("HGETEX", "key", "FIELDS", 2, "f", "g"), [None, b""], (1, 0)),
    ],
)
def test_commands_that_this_server_does_not_have(recording, command, answer, expected):
    """Modules and later versions answer in the shapes that their documentation gives."""
    tell(Caches(recording.recorder, "redis").of_key, command, answer)
    assert expected == Measured(recording).lookups
