"""Wraps the methods of Redis clients: each command and pipeline is timed once, its answers told.

An operation is of the cache of its first key; without one that is known, of the default cache.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from perfsdk import guard
from perfsdk.integrations.redis_answers import CacheOf, Tell
from perfsdk.integrations.redis_commands import (
    KINDS,
    LEFT_ALONE,
    STREAM_READ,
    Kind,
    key_of,
    kind_of,
    tell,
)
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping import calls
from perfsdk.wrapping.answered import Answered
from perfsdk.wrapping.cache_keys import OTHER_USES
from perfsdk.wrapping.cache_lookup import Lookup
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Call, Find, Kwargs, Make, Operation

BIT = 1 << CACHE

QueueOf = Callable[[Any], tuple[Sequence[Args], bool]]
"""Gives the commands that a pipeline holds, and whether it sends something without any."""


class Command(Answered):
    """A kind of command, which tells the caches of its keys what was answered."""

    __slots__ = ("_cache_of", "_tell")

    def __init__(self, timed: Operation, tell: Tell, cache_of: CacheOf) -> None:
        super().__init__(timed, "redis.tell")
        self._tell = tell
        self._cache_of = cache_of

    def tell(self, args: Args, _kwargs: Kwargs, result: Any) -> None:
        self._tell(self._cache_of, args[1:], result)


class Clients:
    """The makers of wrappers for the clients of one library."""

    def __init__(self, recorder: Recorder, system: str) -> None:
        caches = Caches(recorder, system)
        self._cache_of: CacheOf = caches.of_key if recorder.cache_names else _unnamed(caches)
        self._default = caches.default
        self._find = _finder(recorder, self._cache_of, caches.default)

    def command(self, *, is_leaf: bool = False) -> Make:
        """For a method that sends the command that is its arguments."""
        return calls.timed(CACHE, self._find, is_leaf=is_leaf)

    def awaited_command(self) -> Make:
        """The same for an `async def` method."""
        return calls.timed_coroutine(CACHE, self._find)

    def pipeline(self, queue_of: QueueOf) -> Make:
        """For a method that sends all that is queued and gives a list of answers."""

        def make(wrapped: Call) -> Call:
            measured = calls.timed(CACHE, self._pipeline_finder(queue_of))(wrapped)

            @functools.wraps(wrapped)
            def execute(self_: Any, /, *args: Any, **kwargs: Any) -> Any:
                queued = _queued(queue_of, self_)
                answers = measured(self_, *args, **kwargs)
                self._tell_all(queued, answers)
                return answers

            return execute

        return make

    def awaited_pipeline(self, queue_of: QueueOf) -> Make:
        """The same for an `async def` method."""

        def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            measured = calls.timed_coroutine(CACHE, self._pipeline_finder(queue_of))(wrapped)

            @functools.wraps(wrapped)
            async def execute(self_: Any, /, *args: Any, **kwargs: Any) -> Any:
                queued = _queued(queue_of, self_)
                answers = await measured(self_, *args, **kwargs)
                self._tell_all(queued, answers)
                return answers

            return execute

        return make

    def _pipeline_finder(self, queue_of: QueueOf) -> Find:
        def find(instance: Any, _args: Args, _kwargs: Kwargs) -> Operation | None:
            queued, is_sent = queue_of(instance)
            kinds = [kind_of(args) for args in queued]
            if not (kinds or is_sent) or any(kind is LEFT_ALONE for kind, _ in kinds):
                return None
            key = key_of(*kinds[0]) if kinds else None
            return (self._cache_of(key) or self._default).operation("pipeline")

        return find

    def _tell_all(self, queued: Sequence[Args], answers: Any) -> None:
        """Count the answers of a pipeline, in which errors may stand where answers were due."""
        try:
            if queued and len(queued) == len(answers):
                for args, answer in zip(queued, answers, strict=True):
                    if not isinstance(answer, Exception):
                        tell(self._cache_of, args, answer)
        except Exception:
            guard.failed("redis.tell_all")


def _unnamed(caches: Caches) -> CacheOf:
    """The cache of a key, quickly, where there is only the default one."""
    default, of_key = caches.default, caches.of_key

    def cache_of(key: Any) -> Cache | None:
        if type(key) is str:
            return None if key.startswith(OTHER_USES) else default
        return of_key(key)

    return cache_of


def _finder(recorder: Recorder, cache_of: CacheOf, default: Cache) -> Find:
    lookups: dict[Cache | None, Operation] = {}
    commands: dict[tuple[Cache, Kind], Operation] = {}

    def find(_instance: Any, args: Args, _kwargs: Kwargs) -> Operation | None:
        if args[0] == "GET" and len(args) == 2:  # most calls
            cache = cache_of(args[1])
            operation = lookups.get(cache)
            if operation is not None:
                return operation
            if cache is not None:
                lookup = Lookup(recorder, cache, key_at=2, absent=None)
                if lookup.is_lasting:
                    lookups[cache] = lookup
                return lookup
        known = KINDS.get(args[0])
        kind = known
        if kind is None or kind is STREAM_READ:
            kind, args = kind_of(args)
        if kind.operation is None:
            return None
        if known is None and kind.tell is not None:  # in another spelling: told apart once more
            return Command(of(kind, args).operation(kind.operation), tell, cache_of)
        cache = of(kind, args)
        operation = commands.get((cache, kind))
        if operation is None:
            operation = cache.operation(kind.operation)
            if kind.tell is not None:
                operation = Command(operation, kind.tell, cache_of)
            if operation.is_lasting:
                commands[cache, kind] = operation
        return operation

    def of(kind: Kind, args: Args) -> Cache:
        return cache_of(args[kind.key]) or default if 0 < kind.key < len(args) else default

    return find


def _queued(queue_of: QueueOf, pipeline: Any) -> Sequence[Args]:
    """What `execute` will send, since it forgets that; nothing when it counts above."""
    try:
        return () if counted.get() & BIT else queue_of(pipeline)[0]
    except Exception:
        guard.failed("redis.queued")
        return ()
