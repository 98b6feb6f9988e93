"""Counts each lookup in a cachetools cache once, and times the loader that a miss costs.

Known: 5.3 to 8 (https://cachetools.readthedocs.io). A lookup is a call of a function decorated
by `cached` or `cachedmethod`, or `cache[key]` and `cache.get(key)` by the application; it is
named after the function, or after the class of the cache. What the library does on its own
account (evict, expire, pop, setdefault, iterate over items) is none: the frame that asks tells.
A decorated function misses when its loader is called, as in `cache_info()`; `__missing__` of a
subclass is a loader too. Writes are not timed; what a loader gave is counted as one.

Functions decorated before this ran are measured too. Limits before version 8, whose decorators
are closures: lookups in what is no `cachetools.Cache`, such as a dict, are not counted, and the
time of loaders is absent for functions decorated before. In every version: a subclass whose
`__getitem__` or `get` does not call the library's is not seen.
"""

import functools
import sys
import weakref
from collections.abc import Callable
from importlib import import_module
from math import isfinite
from types import FrameType, FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.integrations import cachetools_removals
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.entries import Entries
from perfsdk.wrapping.lookups import (
    Loader,
    Name,
    get_method,
    item_method,
    load,
    lookup_method,
    running,
)
from perfsdk.wrapping.patches import Patches

VERSIONS = ((5, 3), (9,))

MAX_CLASSES = 100
"""Subclasses whose `__missing__` is timed; patched classes are kept alive."""

CLASSES = ("Cache", "FIFOCache", "LFUCache", "LRUCache", "MRUCache", "RRCache")
TIMED_CLASSES = ("_TimedCache", "TLRUCache", "TTLCache")
DECORATED = ("_Basic", "_Locked", "_Condition", "_Info", "_LockedInfo", "_ConditionInfo")
LIBRARY = {"cachetools", "collections.abc"}
LIBRARY |= {f"cachetools.{n}" for n in ("_cached", "_cachedmethod", "_decorator", "_decorators")}
BIT = 1 << CACHE

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the classes of caches, then the decorators in the way of this version."""
    caches = Caches(module, patches, recorder)
    for name in CLASSES + TIMED_CLASSES:
        owner = getattr(module, name, None)
        if "__getitem__" in getattr(owner, "__dict__", ()):
            patches.replace(owner, "__getitem__", item_method(caches.asked, KeyError))
        if "get" in getattr(owner, "__dict__", ()):
            patches.replace(owner, "get", get_method(caches.asked, KeyError))
    try:
        decorators = import_module("cachetools._decorator")
    except ModuleNotFoundError:
        caches.closures = ("wrapper", "__call__")
        for owner in (module, import_module("cachetools.func")):
            for name in {"cached", "cachedmethod"} & set(vars(owner)):
                patches.replace(owner, name, functools.partial(_decorator, caches))
    else:
        caches.decorators = vars(decorators)
        for name in DECORATED:
            owner = getattr(decorators, f"{name}Mixin")
            loaders = Loaders(caches, f"{owner.__name__}__func")
            patches.replace(owner, "__call__", lookup_method(loaders.name_of_call, ()))
            patches.on_undo(loaders.restore)
    cachetools_removals.patch(module, patches, recorder, caches.entries.known)
    patches.on_undo(recorder.on_sample(caches.entries.sample))
    patches.on_undo(lambda: setattr(caches, "stopped", True))


class Caches:
    """What is known of the application's caches."""

    def __init__(self, module: Any, patches: Patches, recorder: Recorder) -> None:
        self._patches = patches
        self._recorder = recorder
        self.closures: tuple[str, ...] = ()
        """Before version 8: the names of the functions that decorators make."""
        self.decorators: dict[str, Any] = {}
        """From version 8: the globals of what decorated functions are made of."""
        self.stopped = False
        """Functions decorated before version 8 keep their timed loader."""
        self._names: dict[str, Name] = {}
        self.entries = Entries(recorder, functools.partial(_measure, module.Cache.getsizeof))
        self._known = self.entries.known
        self._classes: set[type] = {module.Cache}

    def named(self, thing: Any) -> Name:
        """The name made of a function or class."""
        text = getattr(thing, "__qualname__", type(thing).__qualname__)
        name = self._names.get(text)
        return name or self._names.setdefault(text, Name(self._recorder, "cachetools", text))

    def asked(self, cache: Any) -> Name | None:
        """Under what a lookup counts that calls the calling wrapper; None when it does not."""
        try:
            known = self._known.get(id(cache))
            frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - tells who asks
            if frame and known and frame.f_globals is self.decorators:
                return None  # a decorated function counts; its way is kept short
            while frame and frame.f_code.co_name == "__getitem__":
                frame = frame.f_back  # an overriding method, which calls the library's
            if frame is None or frame.f_globals.get("__name__") not in LIBRARY:
                if counted.get() & BIT:
                    return None
                return known[1] if known else self._meet(cache, self.named(type(cache)))
            if frame.f_code.co_name in self.closures and not counted.get() & BIT:
                scope = frame.f_locals
                name = self.named(scope["func"] if "func" in scope else scope["method"])
                return name if known else self._meet(cache, name)
            if known is None:
                lookup = running(frame)
                self._meet(cache, lookup[0] if lookup else self.named(type(cache)))
        except Exception:
            guard.failed("cachetools.asked")
        return None

    def _meet(self, cache: Any, name: Name) -> Name:
        """Remember a cache seen for the first time; the name."""
        # Without a lock, which a fork could leave locked: `_missing` twice on a class is harmless.
        for owner in type(cache).__mro__:
            missing = vars(owner).get("__missing__")
            if owner in self._classes or not isinstance(missing, FunctionType):
                continue
            if len(self._classes) <= MAX_CLASSES:
                self._classes.add(owner)
                self._patches.replace(owner, "__missing__", _missing)
        self.entries.add(cache, name)
        return name


class Loaders:
    """The loaders put into decorated functions of one kind, at the first call of each."""

    def __init__(self, caches: Caches, attribute: str) -> None:
        self._caches = caches
        self._attribute = attribute
        self._decorated: weakref.WeakSet[Any] = weakref.WeakSet()

    def name_of_call(self, decorated: Any) -> Name | None:
        """The name of a decorated function, None when a layer above counts its call."""
        if counted.get() & BIT:
            return None
        try:
            loader = decorated.__dict__[self._attribute]
            if type(loader) is not Loader:
                loader = Loader(loader, self._caches.named(decorated))
                setattr(decorated, self._attribute, loader)
                self._decorated.add(decorated)
            return loader.name
        except Exception:
            guard.failed("cachetools.name_of_call")
            return None

    def restore(self) -> None:
        """Take all of them out again."""
        for decorated in list(self._decorated):
            setattr(decorated, self._attribute, vars(decorated)[self._attribute].wrapped)


def _decorator(caches: Caches, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def decorator(*args: Any, **kwargs: Any) -> Call:
        decorate = wrapped(*args, **kwargs)

        @functools.wraps(decorate)
        def timed(function: Call) -> Any:
            name = caches.named(function)

            @functools.wraps(function)
            def loader(*args: Any, **kwargs: Any) -> Any:
                if caches.stopped or counted.get() & BIT:
                    return function(*args, **kwargs)
                return load(name, None, function, args, kwargs)

            decorated = decorate(loader)
            decorated.__wrapped__ = function
            return decorated

        return timed

    return decorator


def _missing(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def missing(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        lookup = running(sys._getframe(1))  # noqa: SLF001 - tells which lookup this is part of
        if not lookup:
            return wrapped(self, *args, **kwargs)
        return load(lookup[0], lookup, wrapped, (self, *args), kwargs, nothing=KeyError)

    return missing


def _measure(getsizeof: Call, cache: Any) -> tuple[float, float | None]:
    """What a cache keeps, not `len(cache)`: that would expire entries, without a lock.

    Expired entries count until they are removed. Sizes by a `getsizeof` are no entries.
    """
    state = vars(cache)
    limit = state["_Cache__maxsize"]
    limited = cache.getsizeof is getsizeof and isfinite(limit)
    return len(state["_Cache__data"]), limit if limited else None
