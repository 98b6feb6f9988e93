"""Counts what cachetools removes on its own account: evicted for room, expired, cleared.

Removals by the application's own `del` and `pop` are not counted, nor those of a cache that was
never looked up in. `clear` counts from the version on in which it is a method of the library.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from perfsdk import guard
from perfsdk.catalog import CACHE_REMOVALS
from perfsdk.recorder import Recorder
from perfsdk.wrapping.lookups import Name
from perfsdk.wrapping.patches import Patches

EVICTING = ("FIFOCache", "LFUCache", "LRUCache", "MRUCache", "RRCache", "TLRUCache", "TTLCache")
EXPIRING = ("TLRUCache", "TTLCache")

Call = Callable[..., Any]


def patch(
    module: Any, patches: Patches, recorder: Recorder, known: Mapping[int, tuple[Any, Name]]
) -> None:
    """Measure the classes; `known` are the caches seen so far, by `id`."""
    removals = recorder.counter(CACHE_REMOVALS)

    def removed(cache: Any, count: int, reason: str) -> None:
        seen = known.get(id(cache))
        if seen is not None and count > 0:
            removals.add((*seen[1].labels, reason), count)

    for name in EVICTING:
        owner = getattr(module, name, None)
        if "popitem" in getattr(owner, "__dict__", ()):
            patches.replace(owner, "popitem", functools.partial(_popitem, removed, module.__name__))
    for name in EXPIRING:
        patches.replace(getattr(module, name), "expire", functools.partial(_expire, removed))
    if "clear" in vars(module.Cache):
        patches.replace(module.Cache, "clear", functools.partial(_clear, removed))


def _popitem(removed: Call, library: str, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def popitem(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = wrapped(self, *args, **kwargs)
        try:
            frame = sys._getframe(1)  # noqa: SLF001 - tells whether it is for room
            while frame.f_code.co_name == "popitem" and frame.f_back is not None:
                frame = frame.f_back  # an overriding method, which calls the library's
            if frame.f_code.co_name == "__setitem__" and frame.f_globals.get("__name__") == library:
                removed(self, 1, "evicted")
        except Exception:
            guard.failed("cachetools.popitem")
        return result

    return popitem


def _expire(removed: Call, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def expire(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        before = _entries(self)
        result = wrapped(self, *args, **kwargs)
        removed(self, before - _entries(self), "expired")
        return result

    return expire


def _clear(removed: Call, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def clear(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = wrapped(self, *args, **kwargs)
        removed(self, 1, "cleared")
        return result

    return clear


def _entries(cache: Any) -> int:
    """What it keeps, not `len(cache)`, which would expire entries."""
    try:
        return len(vars(cache)["_Cache__data"])
    except Exception:
        guard.failed("cachetools.entries")
        return 0
