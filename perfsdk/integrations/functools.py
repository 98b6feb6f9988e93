"""Reads hits, misses, entries and evictions of functools.lru_cache and cache; no hit is slowed.

What is cached is asked for its `cache_info()` by the thread of the SDK: every function at the
level of a module, and every method, of the application's own modules. Functions of libraries
and those made inside of other functions are left out. A name is the function's `__qualname__`;
functions of one name are added up.

An eviction is a miss of a full cache: a call that raised, and thus kept nothing, counts as one
there. What a miss costs cannot be told without slowing every call.
"""

import sys
import weakref
from collections.abc import Iterator, Mapping
from functools import _lru_cache_wrapper
from types import ModuleType
from typing import Any, NamedTuple

from perfsdk.call_site import is_of_application
from perfsdk.catalog import CACHE_ENTRIES, CACHE_MAX_ENTRIES, CACHE_REMOVALS, CACHE_REQUESTS
from perfsdk.recorder import MAX_LABEL_LENGTH, Recorder
from perfsdk.store.fork import ForkLock
from perfsdk.wrapping.patches import Patches

VERSIONS = ((), (1,))  # of the standard library: no number of its own

SYSTEM = "functools"
MAX_CACHES = 1000
"""Cached functions that are read; more are left out."""
SAMPLES_BETWEEN_SEARCHES = 12
"""Modules are searched when there are more of them, and after so many samples."""


class Info(NamedTuple):
    """What a cached function says of itself, as `cache_info()` has it."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


def patch(_module: Any, patches: Patches, recorder: Recorder) -> None:
    """Nothing is patched: it is all read."""
    patches.on_undo(recorder.on_sample(CachedFunctions(recorder).sample))


class CachedFunctions:
    """The cached functions found so far, by weak references, and what they said last."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._last: dict[int, tuple[weakref.ref[Any], Info]] = {}
        self._modules = 0
        self._until_search = 0
        self._shown: set[str] = set()
        self._lock = ForkLock(self._start_in_child)

    def sample(self) -> None:
        """Write what they did since the last time."""
        with self._lock.held:
            self._until_search -= 1
            if self._until_search < 0 or len(sys.modules) != self._modules:
                self._search()
            entries: dict[str, float] = dict.fromkeys(self._shown, 0.0)
            most: dict[str, float] = {}
            for number, (reference, last) in list(self._last.items()):
                function = reference()
                if function is None:
                    del self._last[number]
                    continue
                name = _name(function)
                info = Info(*function.cache_info())
                self._last[number] = reference, info
                self._count(name, last, info)
                entries[name] = entries.get(name, 0.0) + info.currsize
                if info.maxsize is not None:
                    most[name] = most.get(name, 0.0) + info.maxsize
            for metric, values in ((CACHE_ENTRIES, entries), (CACHE_MAX_ENTRIES, most)):
                gauge = self._recorder.gauge(metric)
                for name, value in values.items():
                    gauge.set((SYSTEM, name), value)
            self._shown = set(entries)

    def _count(self, name: str, last: Info, info: Info) -> None:
        requests = self._recorder.counter(CACHE_REQUESTS)
        removals = self._recorder.counter(CACHE_REMOVALS)
        if info.hits < last.hits or info.misses < last.misses:
            removals.add((SYSTEM, name, "cleared"))
            last = Info(0, 0, None, 0)
        hits, misses = info.hits - last.hits, info.misses - last.misses
        if hits:
            requests.add((SYSTEM, name, "hit"), hits)
        if misses:
            requests.add((SYSTEM, name, "miss"), misses)
        evicted = misses - (info.currsize - last.currsize)
        if info.maxsize and info.currsize == info.maxsize and evicted > 0:
            removals.add((SYSTEM, name, "evicted"), evicted)

    def _search(self) -> None:
        self._modules = len(sys.modules)
        self._until_search = SAMPLES_BETWEEN_SEARCHES
        for module in list(sys.modules.values()):
            if type(module) is not ModuleType:
                continue  # to look into one that loads itself lazily would load it
            file = vars(module).get("__file__")
            if not isinstance(file, str) or not is_of_application(file):
                continue
            for function in _cached_functions(module):
                if id(function) not in self._last and len(self._last) < MAX_CACHES:
                    # From nothing: what it did before counts too.
                    self._last[id(function)] = weakref.ref(function), Info(0, 0, None, 0)

    def _start_in_child(self) -> None:
        """What the parent counted is the parent's."""
        for number, (reference, _) in list(self._last.items()):
            if (function := reference()) is not None:
                self._last[number] = reference, Info(*function.cache_info())


def _cached_functions(module: ModuleType) -> Iterator[Any]:
    """Those of a module and of the classes that it defines."""
    for value in list(vars(module).values()):
        if type(value) is _lru_cache_wrapper:
            if getattr(value, "__module__", None) == module.__name__:
                yield value
        # Not isinstance, which asks proxies for the class that they stand for.
        elif issubclass(type(value), type) and vars(value).get("__module__") == module.__name__:
            yield from _cached_methods(vars(value))


def _cached_methods(attributes: Mapping[str, Any]) -> Iterator[Any]:
    for attribute in list(attributes.values()):
        value = attribute
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif type(value) is property:
            value = value.fget
        if type(value) is _lru_cache_wrapper:
            yield value


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", "?"))[:MAX_LABEL_LENGTH]
