"""The quickest way through a lookup of one key: timed, charged to its request, counted in one call.

What `calls`, `cache_gets` and `caches` do in several, for most calls of a cache are this one.
"""

from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.catalog import CACHE_OPERATION_DURATION, CACHE_REQUESTS
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, FOLD_AT, Account, lookups_of
from perfsdk.store.writer import SCRATCH
from perfsdk.wrapping.cache_gets import (
    REPEATED_AT_ONCE_SECONDS,
    REPEATED_GETS,
    REPEATED_GETS_AT_ONCE,
    REPEATED_SECONDS,
)
from perfsdk.wrapping.caches import LARGE_VALUE_BYTES, Cache
from perfsdk.wrapping.calls import Args, Kwargs, Operation

SIZED = {str, bytes}


class Lookup(Operation):
    """A lookup of one key in one cache. A hit is added to its cell, a miss is told to the cache.

    `key_at` is where the key stands among the arguments, `absent` is the answer when there is
    nothing.
    """

    __slots__ = ("_absent", "_cache", "_hit", "_key_at", "_requests")

    def __init__(self, recorder: Recorder, cache: Cache, *, key_at: int, absent: Any) -> None:
        durations = recorder.histogram(CACHE_OPERATION_DURATION)
        super().__init__(CACHE, durations, (*cache.labels, "get"))
        self._cache = cache
        self._key_at = key_at
        self._absent = absent
        self._requests = recorder.counter(CACHE_REQUESTS)
        labels = (*cache.labels, "hit")
        self._hit = self._requests[labels]

    @property
    def is_lasting(self) -> bool:
        return super().is_lasting and self._hit != SCRATCH

    def end(
        self,
        account: Account | None,
        started: float,
        args: Args,
        _kwargs: Kwargs,
        result: Any,
        error: BaseException | None,
    ) -> None:
        ended = perf_counter()
        try:
            if error is not None:
                key = (*self.labels, type(error).__name__)
                self.durations[key].observe(ended - started)
            else:
                self.successes.observe(ended - started)
            if account is not None and (events := account.events) is not None:
                events.append((ended, -CACHE))
                if len(events) >= FOLD_AT:
                    account.fold()
                gets = (account.lookups or lookups_of(account)).gets
                known = gets.get(self)
                if known is None:
                    gets[self] = [1, ended - started, ended]
                elif started >= known[2]:  # after the one before, not at the same time
                    known[0] += 1
                    known[1] += ended - started
                    known[2] = ended
                    if known[0] >= REPEATED_GETS and _is_repeated(known):
                        self._cache.found("get_in_loop")
                        known[:2] = 0, 0.0
                else:
                    known[2] = max(known[2], ended)
            if error is not None:
                return
            if result is self._absent:
                self._cache.miss(args[self._key_at])
                return
            self._requests.writer.values[self._hit] += 1.0
            if type(result) in SIZED and len(result) > LARGE_VALUE_BYTES:
                self._cache.found("large_value")
        except IndexError:  # not open yet, or forked
            self._cache.hit(args[self._key_at], result)
        except Exception:
            guard.failed("cache_lookup")


def _is_repeated(known: list[Any]) -> bool:
    count, seconds, _ = known
    return bool(
        seconds >= REPEATED_SECONDS
        or (count >= REPEATED_GETS_AT_ONCE and seconds >= REPEATED_AT_ONCE_SECONDS)
    )
