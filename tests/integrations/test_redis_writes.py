"""What redis-py writes, prolongs and removes, and which cache a key is of, on a real server."""

from contextlib import contextmanager
from time import perf_counter, time

import pytest
import redis
import redis.asyncio

from perfsdk.findings import Findings
from perfsdk.integrations import redis as integration
from perfsdk.integrations.redis_commands import tell
from perfsdk.request import Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.caches import LARGE_VALUE_BYTES, UNKNOWN
from perfsdk.wrapping.patches import Patches
from tests.integrations.redis_contract import Measured, unmeasured
from tests.servers import HOST

FINDINGS = "cache_findings_total"
NAMES = {"user:*": "users", "session:*": "sessions", "lock:shop": "locks", "all": "lists"}


class Written:
    """In place of a cache: notes what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.told.append((name, *args, *kwargs.values()))


@pytest.fixture
def control(redis_server):
    """A client that was there before, of the emptied server."""
    with redis.Redis(HOST, redis_server.port) as control:
        control.flushall()
        yield control


@contextmanager
def measuring(names):
    """redis-py, measured; keys name caches."""
    patches = Patches()
    with Recording() as recording:
        recording.recorder.cache_names = names
        integration.patch(redis, patches, recording.recorder)
        yield Measured(recording)
        patches.undo()


@pytest.fixture
def measured():
    """redis-py, measured from here on."""
    with measuring({}) as measured:
        yield measured


@pytest.fixture
def client(redis_server, control, measured):
    """A measured client."""
    with redis.Redis(HOST, redis_server.port) as client:
        yield client


@pytest.fixture
def named(redis_server, control):
    """A measured client and what is measured, where keys name caches."""
    with measuring(NAMES) as measured, redis.Redis(HOST, redis_server.port) as client:
        yield client, measured


@contextmanager
def request_of(measured):
    """A request being served; at its end, what it found is counted."""
    findings = Findings(measured.recording.recorder)
    account = Account(perf_counter())
    token = current.set(account)
    try:
        yield
    finally:
        current.reset(token)
        if account.lookups is not None:
            findings.record_lookups("/", account.lookups, account.queries)


def found(measured):
    """How many findings of each kind."""
    return {
        series["kind"]: int(measured.recording.value(FINDINGS, **series))
        for series in measured.recording.series(FINDINGS)
    }


def test_what_was_missed_and_then_set_is_aside(client, measured):
    """In one request, whatever the miss and the write were; it tells what the miss cost."""
    with request_of(measured):
        client.get("a")
        client.set("a", "x", ex=60)
        client.mget("b", "c")
        client.execute_command("SETEX", "b", 60, "x")
        client.psetex(b"c", 60_000, "x")
        client.hget("hash", "field")
        client.hset("hash", "field", "x")
        client.set("other", "x", px=5)
    assert {"aside": 4, "unknown": 1} == measured.writes
    assert 4 == measured.recording.count("cache_load_duration_seconds", cache_name="default")
    assert {} == found(measured)


def test_a_pipeline_tells_of_writes_in_their_order(client, measured):
    """A read that missed and a write of the same key, in one pipeline or the next."""
    with request_of(measured), client.pipeline() as pipeline:
        pipeline.get("a").get("b").execute()
        pipeline.set("a", "x").expire("a", 60).set("b", "x", ex=60).execute()
    assert {"aside": 2} == measured.writes
    assert {} == found(measured)


async def test_asyncio_tells_of_writes(redis_server, control, measured):
    """Commands and pipelines that are awaited."""
    with request_of(measured):
        async with redis.asyncio.Redis(host=HOST, port=redis_server.port) as client:
            await client.get("a")
            await client.set("a", "x", ex=60)
            async with client.pipeline() as pipeline:
                await pipeline.get("b").set("b", "x", ex=60).delete("a", "b", "c").execute()
    assert {"aside": 2} == measured.writes
    assert {"explicit": 2} == measured.removals


@pytest.mark.parametrize("decoded", [False, True])
def test_what_hurts_is_found(redis_server, control, measured, decoded):
    """What stays for ever, and what is large, written or read."""
    client = redis.Redis(HOST, redis_server.port, decode_responses=decoded)
    with request_of(measured):
        client.set("a", "x")
        client.expire("a", 60)
        client.set("b", "x", ex=60)
    assert {} == found(measured)
    with request_of(measured):
        client.set("a", "x")
    assert {"no_ttl": 1} == found(measured)
    large = "x" * (LARGE_VALUE_BYTES + 1)
    calls = (
        lambda: client.set("a", large, ex=60),
        lambda: client.set("a", large.encode(), ex=60),
        lambda: client.get("a"),
        lambda: client.getex("a"),
        lambda: client.mget("b", "a"),
    )
    for expected, call in enumerate(calls, 1):
        with request_of(measured):
            call()
        assert {"no_ttl": 1, "large_value": expected} == found(measured)
    client.close()


def test_single_keys_asked_for_in_a_row_are_found(client, measured):
    """Once a request; a pipeline or MGET does it right."""
    client.mset({str(number): "x" for number in range(300)})
    with request_of(measured):
        client.mget(map(str, range(300)))
        with client.pipeline() as pipeline:
            for number in range(300):
                pipeline.get(str(number))
            pipeline.execute()
    assert {} == found(measured)
    with request_of(measured):
        for number in range(300):
            client.get(str(number))
    assert {"get_in_loop": 1} == found(measured)


async def test_keys_asked_for_at_the_same_time_are_not_in_a_row(redis_server, control, measured):
    """What overlaps waits once."""
    import asyncio

    async with redis.asyncio.Redis(host=HOST, port=redis_server.port) as client:
        with request_of(measured):
            await asyncio.gather(*(client.get("a") for _ in range(50)))
    assert {} == found(measured)


def test_removals_are_what_was_there(client, measured):
    """By the server's answer; a flush is one."""
    client.mset({"a": 1, "b": 2, "c": 3, "lock:a": 1})
    client.delete("a", "absent")
    client.unlink("b")
    client.delete("absent")
    client.delete("lock:a")
    client.getdel("c")
    client.getdel("c")
    assert {"explicit": 3} == measured.removals
    client.flushdb()
    assert {"explicit": 3, "cleared": 1} == measured.removals


def test_keys_name_caches(named):
    """By how they begin; a setting makes a cache of what otherwise is none."""
    client, measured = named
    client.set("user:1", "x", ex=60)
    client.mget("user:1", "other", b"session:1", "lock:shop", "lock:other")
    client.hget("session:1", "field")
    client.get("user:1")
    client.get("absent")
    client.get(b"user:2")
    client.delete("user:1", "other")
    client.lpush("all", "x")
    client.ping()
    with client.pipeline() as pipeline:
        pipeline.get("user:1").get("other").execute()
        pipeline.ping().execute()
    assert (2, 2) == measured.lookups_of(cache_name="users")
    assert (0, 2) == measured.lookups_of(cache_name="sessions")
    assert (0, 1) == measured.lookups_of(cache_name="locks")
    assert (0, 3) == measured.lookups_of(cache_name="default")
    users = {"set": 1, "get_many": 1, "get": 2, "delete": 1, "pipeline": 1}
    assert users == measured.operations_of(cache_name="users")
    assert {"get": 1} == measured.operations_of(cache_name="sessions")
    assert {"other": 1} == measured.operations_of(cache_name="lists")
    expected = {"get": 1, "other": 1, "pipeline": 1}
    assert expected == measured.operations_of(cache_name="default")
    with unmeasured():
        client.set("user:3", "x")
        client.set("other", "x")
    client.delete("user:3", "absent")
    assert {} == measured.removals, "nobody can tell which of the two it was"
    with unmeasured():
        client.mset({"user:3": "x", "other": "x"})
    client.delete("user:3", "other")
    assert {"explicit": 2} == measured.removals


@pytest.mark.parametrize("key", ["session:1", b"lock:a", "rq:job", "_kombu.x", "unacked"])
def test_what_is_no_cache_is_timed_and_no_more(client, measured, key):
    """Brokers, queues, locks and sessions: neither lookups, writes nor removals."""
    client.set(key, "x")
    client.get(key)
    client.expire(key, 5)
    client.delete(key)
    with client.pipeline() as pipeline:
        pipeline.set(key, "x").get(key).execute()
    expected = {"set": 1, "get": 1, "touch": 1, "delete": 1, "pipeline": 1}
    assert expected == measured.operations_of(cache_name="default")
    assert ((0, 0), {}, {}) == (measured.lookups, measured.writes, measured.removals)


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (lambda client: client.set("new", "x", nx=True), 1),
        (lambda client: client.set("old", "x", nx=True), 0),
        (lambda client: client.set("old", "x", xx=True), 1),
        (lambda client: client.set("new", "x", xx=True), 0),
        (lambda client: client.set("new", "x", get=True), 1),
        (lambda client: client.set("old", "x", get=True), 1),
        (lambda client: client.set("new", "x", xx=True, get=True), 0),
        (lambda client: client.set("old", "x", xx=True, get=True), 1),
        (lambda client: client.execute_command("set", "old", "x", "nx", b"get"), 0),
        (lambda client: client.execute_command("SET", "new", "x", "NX", "GET"), 1),
        (lambda client: client.setnx("new", "x"), 1),
        (lambda client: client.setnx("old", "x"), 0),
        (lambda client: client.getset("new", "x"), 1),
        (lambda client: client.append("new", "x"), 1),
        (lambda client: client.setrange("new", 0, "x"), 1),
        (lambda client: client.mset({"a": 1, "b": 2}), 2),
        (lambda client: client.msetnx({"a": 1, "b": 2}), 2),
        (lambda client: client.msetnx({"a": 1, "old": 2}), 0),
        (lambda client: client.hset("hash", mapping={"a": 1, "b": 2}), 1),
        (lambda client: client.hset("hash", "there", "y"), 1),
        (lambda client: client.hsetnx("hash", "there", "y"), 0),
        (lambda client: client.hsetnx("hash", "new", "y"), 1),
        (lambda client: client.execute_command("HMSET", "hash", "a", "1"), 1),
        (lambda client: client.incr("number"), 0),
        (lambda client: client.lpush("list", "x"), 0),
    ],
)
def test_writes_are_what_was_written(client, measured, call, written):
    """A condition that did not hold wrote nothing; a hash is one key."""
    with unmeasured():
        client.set("old", "y")
        client.hset("hash", "there", "x")
    call(client)
    assert ({"unknown": written} if written else {}) == measured.writes


def test_a_write_that_failed_is_none(client, measured):
    """An error of the server is an operation with an error and no more."""
    client.lpush("list", "x")
    with pytest.raises(redis.ResponseError):
        client.append("list", "x")
    assert {} == measured.writes
    assert 1 == measured.errors("ResponseError")


@pytest.mark.parametrize(
    ("command", "answer", "expected"),
    [
        (("SET", "a", "x"), True, [("wrote", "a", None, "x")]),
        (("SET", "a", "x", "EX", 60), True, [("wrote", "a", 60, "x")]),
        (("SET", "a", "x", b"px", "1500", "nx"), True, [("wrote", "a", 1.5, "x")]),
        (("SET", "a", "x", "XX", "KEEPTTL"), True, [("wrote", "a", UNKNOWN, "x")]),
        (("SET", "a", "x", "IFEQ", "EX"), True, [("wrote", "a", None, "x")]),
        (("SETEX", "a", "60", "x"), True, [("wrote", "a", 60, "x")]),
        (("PSETEX", "a", 250, "x"), True, [("wrote", "a", 0.25, "x")]),
        (("GETSET", "a", "x"), b"y", [("wrote", "a", None, "x")]),
        (("HSET", "a", "field", "x"), 0, [("wrote", "a", UNKNOWN, None)]),
        (("HSETEX", "a", "FIELDS", 1, "f", "x"), 1, [("wrote", "a", UNKNOWN, None)]),
        (("HSETEX", "a", "FNX", "FIELDS", 1, "f", "x"), 0, []),
        (("MSET", "a", 1, "b", 2), True, [("wrote", "a", None, 1), ("wrote", "b", None, 2)]),
        (("MSETEX", 1, "a", 1, "EX", 9), 1, [("wrote", "a", 9, 1)]),
        (("MSETEX", 1, "a", 1, "NX", "KEEPTTL"), 1, [("wrote", "a", UNKNOWN, 1)]),
        (("MSETEX", 1, "a", 1, "NX", "EX", 9), 0, []),
        (("JSON.SET", "a", "$", "{}"), True, [("wrote", "a", UNKNOWN, None)]),
        (("JSON.SET", "a", "$", "{}", "NX"), None, []),
        (
            ("JSON.MSET", "a", "$", "1", "b", "$", "2"),
            True,
            [("wrote", "a", UNKNOWN, "1"), ("wrote", "b", UNKNOWN, "2")],
        ),
        (("EXPIRE", "a", 60), True, [("touched", "a")]),
        (("PEXPIREAT", "a", 60), False, []),
        (("GETEX", "a", "EX", 60), b"x", [("hit", "a", b"x"), ("touched", "a")]),
        (("GETEX", "a", "PERSIST"), b"x", [("hit", "a", b"x")]),
        (("GETEX", "a"), b"x", [("hit", "a", b"x")]),
        (("GETDEL", "a"), b"x", [("hit", "a", b"x"), ("removed",)]),
    ],
)
def test_how_long_a_value_stays(command, answer, expected):
    """The arguments tell, or cannot; what is not there is not prolonged."""
    cache = Written()
    tell(lambda _key: cache, command, answer)
    assert expected == cache.told


@pytest.mark.parametrize(("option", "unit"), [("EXAT", 1), ("PXAT", 1000)])
def test_a_value_may_stay_until_a_time_of_the_calendar(option, unit):
    """Its time to live is what is left of it."""
    cache = Written()
    at = int((time() + 3600) * unit)
    tell(lambda _key: cache, ("SET", "a", "x", option, at), answer=True)
    ((_, _, ttl, _),) = cache.told
    assert 0 < ttl <= 3600
