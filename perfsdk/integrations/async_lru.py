"""Counts the hits and misses of async_lru, and times what its functions do on a miss.

Known: async_lru 2.1 and newer (https://github.com/aio-libs/async-lru). A name is the
`__qualname__` of the decorated function; functions decorated before are measured too. A call
that joins another one which still runs is a hit, as in `cache_info()`. A miss costs the time
from the call until the value is there, the wait of its task for the event loop included.

Removals are those that give way to others, `cache_invalidate` and `cache_clear`; entries that
expire go without a call that could be seen.
"""

import functools
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.catalog import CACHE_REMOVALS
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.entries import Entries
from perfsdk.wrapping.lookups import Name
from perfsdk.wrapping.patches import Patches

VERSIONS = ((2, 1), (3,))

BIT = 1 << CACHE
MAX_NAMES = 1000
"""Names that are told apart; the catalog shows fewer."""
MAX_RUNNING = 10_000
"""Loads that are timed at once; of more the time is not known."""

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure all decorated functions, through the methods that count for `cache_info()`."""
    functions = Functions(recorder)
    owner = module._LRUCacheWrapper  # noqa: SLF001 - it has no public name
    patches.replace(owner, "_cache_hit", functions.hit)
    patches.replace(owner, "_cache_miss", functions.miss)
    patches.replace(owner, "_task_done_callback", functions.done)
    patches.replace(owner, "cache_invalidate", functions.invalidated)
    patches.replace(owner, "cache_clear", functions.cleared)
    patches.on_undo(recorder.on_sample(functions.entries.sample))


class Functions:
    """What is known of the decorated functions."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._names: dict[str, Name] = {}
        self._removals = recorder.counter(CACHE_REMOVALS)
        self._started: dict[tuple[int, Any], float] = {}
        """When the loads that run began, by function and key."""
        self.entries = Entries(recorder, _measure)

    def hit(self, wrapped: Call) -> Call:
        """A maker of the wrapper for what counts a hit."""

        @functools.wraps(wrapped)
        def cache_hit(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = wrapped(function, *args, **kwargs)
            self._count(function, "hit")
            return result

        return cache_hit

    def miss(self, wrapped: Call) -> Call:
        """The same for a miss, with which a load begins."""

        @functools.wraps(wrapped)
        def cache_miss(function: Any, key: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = wrapped(function, key, *args, **kwargs)
            if self._count(function, "miss") and len(self._started) < MAX_RUNNING:
                self._started[id(function), key] = perf_counter()
            # It adds the new entry, then drops the oldest if there are too many.
            if "dropped_key" in sys._getframe(1).f_locals:  # noqa: SLF001 - no method tells
                self._removed(function, "evicted")
            return result

        return cache_miss

    def done(self, wrapped: Call) -> Call:
        """The same for what is called when the value is there, or will not come."""

        @functools.wraps(wrapped)
        def task_done(function: Any, key: Any, /, *args: Any, **kwargs: Any) -> Any:
            try:
                started = self._started.pop((id(function), key), None)
                if started is not None:
                    name = self._named(function)
                    name.loads.observe(name.labels, perf_counter() - started)
            except Exception:
                guard.failed("async_lru.done")
            return wrapped(function, key, *args, **kwargs)

        return task_done

    def invalidated(self, wrapped: Call) -> Call:
        """The same for what removes one entry, and says whether it was there."""

        @functools.wraps(wrapped)
        def cache_invalidate(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            was_there = wrapped(function, *args, **kwargs)
            if was_there:
                self._removed(function, "explicit")
            return was_there

        return cache_invalidate

    def cleared(self, wrapped: Call) -> Call:
        """The same for what removes all."""

        @functools.wraps(wrapped)
        def cache_clear(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = wrapped(function, *args, **kwargs)
            self._removed(function, "cleared")
            return result

        return cache_clear

    def _removed(self, function: Any, reason: str) -> None:
        try:
            if not counted.get() & BIT:
                self._removals.add((*self._named(function).labels, reason))
        except Exception:
            guard.failed("async_lru.removed")

    def _count(self, function: Any, result: str) -> bool:
        try:
            if counted.get() & BIT:
                return False
            name = self._named(function)
            name.requests.add((*name.labels, result))
            if id(function) not in self.entries.known:
                self.entries.add(function, name)
        except Exception:
            guard.failed("async_lru.count")
            return False
        return True

    def _named(self, function: Any) -> Name:
        text = str(getattr(function, "__qualname__", "?"))
        name = self._names.get(text)
        if name is None:
            name = Name(self._recorder, "async_lru", text)
            if len(self._names) < MAX_NAMES:
                self._names[text] = name
        return name


def _measure(function: Any) -> tuple[float, float | None]:
    info = function.cache_info()
    return info.currsize, info.maxsize
