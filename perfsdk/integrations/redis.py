"""Times each command and pipeline of redis-py once, and counts hits and misses by key.

Known: redis-py 5 to 8, sync and asyncio (https://redis.readthedocs.io); clusters and pub/sub are
left alone. Entry points: `Redis.execute_command`, through which a command goes once whatever is
retried below it; `Pipeline.execute`, one operation for all that was queued; and
`Pipeline.immediate_execute_command`, for commands between WATCH and MULTI.

A key is a hit when the answer holds a value, also an empty one, and a miss when it holds none.
Of a hash, it is the field or the fields asked for that must be there, while the server's own
keyspace_hits ask for the hash alone. Neither hit nor miss: answers that are errors; commands
whose empty answer may be a value (GETRANGE, SUBSTR); keys of brokers, queues and locks. Commands
that wait, and pipelines with one of them, are not timed. An answer of the client-side cache is a
hit like any other. What a Sentinel is asked, mostly by redis-py itself, is left alone too.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from perfsdk import guard
from perfsdk.catalog import CACHE_OPERATION_DURATION, CACHE_REQUESTS
from perfsdk.recorder import Counter, Histogram, Labels, Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping import calls
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation
from perfsdk.wrapping.patches import Patches

VERSIONS = ((5,), (9,))

CACHE_LABELS = ("redis", "default")
HIT, MISS = (*CACHE_LABELS, "hit"), (*CACHE_LABELS, "miss")
PIPELINE = (*CACHE_LABELS, "pipeline")
BIT = 1 << CACHE

OTHER_USES = ("_kombu", "arq:", "celery-task-meta-", "celery-taskset-meta-", "lock:", "rq:")
"""How the keys of brokers, queues and locks begin; looking one up is not asking a cache."""
OTHER_USES_BYTES = tuple(prefix.encode() for prefix in OTHER_USES)

Count = tuple[int, int]
"""Hits and misses."""


class Kind(NamedTuple):
    """What a command is: the labels of its duration, None to leave it alone; its lookups."""

    labels: Labels | None
    lookups: Callable[[Args, Any], Count] | None = None


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the clients and pipelines that are there and those to come."""
    requests = recorder.counter(CACHE_REQUESTS)
    durations = recorder.histogram(CACHE_OPERATION_DURATION)
    find, inspect = _finder(durations), _inspector(requests)
    find_pipeline = functools.partial(_find_pipeline, durations)

    def pipeline(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        measured = calls.timed(CACHE, find_pipeline)(wrapped)

        @functools.wraps(wrapped)
        def execute(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            queued = _queued(self)
            answers = measured(self, *args, **kwargs)
            _count_all(inspect, queued, answers)
            return answers

        return execute

    def async_pipeline(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        measured = calls.timed_coroutine(CACHE, find_pipeline)(wrapped)

        @functools.wraps(wrapped)
        async def execute(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            queued = _queued(self)
            answers = await measured(self, *args, **kwargs)
            _count_all(inspect, queued, answers)
            return answers

        return execute

    asyncio_client = import_module("redis.asyncio.client")
    for client, command, execute in (
        (module.client, calls.timed(CACHE, find, inspect, is_leaf=True), pipeline),
        (asyncio_client, calls.timed_coroutine(CACHE, find, inspect), async_pipeline),
    ):
        patches.replace(client.Redis, "execute_command", command)
        patches.replace(client.Pipeline, "immediate_execute_command", command)
        patches.replace(client.Pipeline, "execute", execute)


def _finder(durations: Histogram) -> Find:
    by_name: dict[Any, Operation] = {}

    def find(_instance: Any, args: Args, _kwargs: Kwargs) -> Operation | None:
        operation = by_name.get(args[0])
        if operation is None and (labels := _labels(args)) is not None:
            operation = Operation(CACHE, durations, labels)
            if KINDS.get(args[0], STREAM_READ) is not STREAM_READ:
                by_name[args[0]] = operation  # no other name: those are without end
        return operation

    return find


def _labels(args: Args) -> Labels | None:
    """Those of a command's duration; None to leave it alone, as what waits."""
    kind = KINDS.get(args[0]) or _spelled(args)[0]
    if kind is STREAM_READ:
        return None if _waits(args) else OTHER.labels
    return kind.labels


def _inspector(requests: Counter) -> Inspect:
    def inspect(_instance: Any, args: Args, _kwargs: Kwargs, answer: Any) -> None:
        kind = KINDS.get(args[0])
        if kind is GET and type(key := args[1]) is str:  # what most calls are, done quickly
            if not key.startswith(OTHER_USES):
                requests.add(MISS if answer is None else HIT)
            return
        if kind is None:
            kind, args = _spelled(args)
        hits, misses = kind.lookups(args, answer) if kind.lookups else (0, 0)
        if hits:
            requests.add(HIT, hits)
        if misses:
            requests.add(MISS, misses)

    return inspect


def _find_pipeline(
    durations: Histogram, instance: Any, _args: Args, _kwargs: Kwargs
) -> Operation | None:
    queued = instance.command_stack
    is_sent = queued or instance.watching
    if not is_sent or any(_labels(command) is None for command, _ in queued):
        return None
    return Operation(CACHE, durations, PIPELINE)


def _queued(pipeline: Any) -> Sequence[tuple[Args, Any]]:
    """A copy of what `execute` will send, since it forgets that; nothing when it counts above."""
    try:
        return () if counted.get() & BIT else pipeline.command_stack[:]
    except Exception:
        guard.failed("redis.queued")
        return ()


def _count_all(inspect: Inspect, queued: Sequence[tuple[Args, Any]], answers: Any) -> None:
    """Count the answers of a pipeline, in which errors may stand where answers were due."""
    try:
        if queued and len(queued) == len(answers):
            for (args, _), answer in zip(queued, answers, strict=True):
                if not isinstance(answer, Exception):
                    inspect(None, args, {}, answer)
    except Exception:
        guard.failed("redis.count_all")


def _spelled(args: Args) -> tuple[Kind, Args]:
    """A command in another spelling: lower case, or words in one, as redis-py splits them."""
    name = args[0]
    words = (name if isinstance(name, str) else bytes(name).decode("latin-1")).split()
    args = (words[0].upper() if words else "", *words[1:], *args[1:])
    return KINDS.get(args[0], OTHER), args


def _waits(args: Args) -> bool:
    """Whether a reader of streams waits for them: BLOCK comes before STREAMS."""
    for arg in args[1:]:
        word = arg.upper() if isinstance(arg, str | bytes) else arg
        if word in {"BLOCK", b"BLOCK"}:
            return True
        if word in {"STREAMS", b"STREAMS"}:
            return False
    return False


def _is_other_use(key: Any) -> bool:
    if isinstance(key, str):
        return key.startswith(OTHER_USES)
    return isinstance(key, bytes) and key.startswith(OTHER_USES_BYTES)


def _one(args: Args, answer: Any) -> Count:
    """The answer is the value, None when there is none."""
    if _is_other_use(args[1]):
        return 0, 0
    return (0, 1) if answer is None else (1, 0)


def _each(args: Args, answer: Any) -> Count:
    """The answer has one value for each key."""
    values = [v for key, v in zip(args[1:], answer, strict=False) if not _is_other_use(key)]
    misses = sum(value is None for value in values)
    return len(values) - misses, misses


def _some(args: Args, answer: Any) -> Count:
    """The answer has one value for each field of one hash."""
    return _one(args, next((value for value in answer or () if value is not None), None))


def _all(args: Args, answer: Any) -> Count:
    """The answer has all fields of one hash: none when there is no such hash."""
    return _one(args, answer or None)


LEFT_ALONE = Kind(None)
STREAM_READ = Kind(None)
OTHER = Kind((*CACHE_LABELS, "other"))
GET = Kind((*CACHE_LABELS, "get"), _one)

NAMES = {
    GET: "GET GETDEL GETEX HGET JSON.GET",
    Kind((*CACHE_LABELS, "get"), _all): "HGETALL",
    Kind((*CACHE_LABELS, "get")): "GETRANGE SUBSTR",
    Kind((*CACHE_LABELS, "get_many"), _each): "JSON.MGET MGET",
    Kind((*CACHE_LABELS, "get_many"), _some): "HGETDEL HGETEX HMGET",
    Kind((*CACHE_LABELS, "set")): (
        "APPEND GETSET HSET HSETEX HSETNX JSON.SET PSETEX SET SETEX SETNX SETRANGE"
    ),
    Kind((*CACHE_LABELS, "set_many")): "HMSET JSON.MSET MSET MSETEX MSETNX",
    Kind((*CACHE_LABELS, "delete")): "DEL HDEL JSON.DEL UNLINK",
    Kind((*CACHE_LABELS, "incr")): (
        "DECR DECRBY HINCRBY HINCRBYFLOAT INCR INCRBY INCRBYFLOAT JSON.NUMINCRBY"
    ),
    Kind((*CACHE_LABELS, "touch")): (
        "EXPIRE EXPIREAT HEXPIRE HPERSIST HPEXPIRE PERSIST PEXPIRE PEXPIREAT TOUCH"
    ),
    Kind((*CACHE_LABELS, "clear")): "FLUSHALL FLUSHDB",
    OTHER: (
        "EVAL EVALSHA EXISTS HEXISTS HKEYS HLEN HVALS LLEN LPOP LPUSH LRANGE LREM PING PTTL "
        "PUBLISH RPOP RPUSH SADD SCAN SCARD SISMEMBER SMEMBERS SREM TTL TYPE WATCH XACK XADD "
        "ZADD ZCARD ZINCRBY ZRANGE ZREM ZSCORE"
    ),
    LEFT_ALONE: (
        "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN MONITOR PSUBSCRIBE "
        "SENTINEL SSUBSCRIBE SUBSCRIBE WAIT WAITAOF"
    ),
}
"""Commands by kind; what is in no list is of the kind `OTHER`, only found less quickly."""

KINDS: dict[Any, Kind] = {name: kind for kind, names in NAMES.items() for name in names.split()}
KINDS |= {"XREAD": STREAM_READ, "XREADGROUP": STREAM_READ}
KINDS |= {name.encode(): kind for name, kind in KINDS.items()}
