"""Counts each lookup in a cachetools cache once, and times the loader that a miss costs.

Known: 5.3 to 8 (https://cachetools.readthedocs.io). A lookup is a call of a function decorated
by `cached` or `cachedmethod`, or `cache[key]` and `cache.get(key)` by the application; it is
named after the function, or after the class of the cache. What the library does on its own
account (evict, expire, pop, setdefault, iterate over items) is none: the frame that asks tells.
A decorated function misses when its loader is called, as in `cache_info()`; `__missing__` of a
subclass is a loader too. Lookups are only counted; what a loader gave is a write.

Functions decorated before this ran are measured too. Limits before version 8, whose decorators
are closures: lookups in what is no `cachetools.Cache`, such as a dict, are not counted, the
time of loaders is absent for functions decorated before, and a hit costs more, for the frame that
asks has to tell which function it is. In every version: a subclass whose `__getitem__` or `get`
does not call the library's is not seen.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from math import isfinite
from operator import getitem
from types import CodeType, FrameType, FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.integrations import cachetools_removals
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.decorated import Decorated, LoadingView, View
from perfsdk.wrapping.entries import Entries
from perfsdk.wrapping.lookups import Name, get_method, item_method, load, running
from perfsdk.wrapping.patches import Patches

VERSIONS = ((5, 3), (9,))

MAX_CLASSES = 100
"""Subclasses whose `__missing__` is timed; patched classes are kept alive."""
MAX_CALLERS = 10_000
"""Places in the code whose lookups are told quickly; their code is kept alive."""

CLASSES = ("Cache", "FIFOCache", "LFUCache", "LRUCache", "MRUCache", "RRCache")
TIMED_CLASSES = ("_TimedCache", "TLRUCache", "TTLCache")
DECORATED = ("_Basic", "_Locked", "_Condition", "_Info", "_LockedInfo", "_ConditionInfo")
LIBRARY = {"cachetools", "collections.abc", "perfsdk.wrapping.lookups"}
LIBRARY |= {f"cachetools.{n}" for n in ("_cached", "_cachedmethod", "_decorator", "_decorators")}
BIT = 1 << CACHE

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the classes of caches, then the decorators in the way of this version."""
    caches = Caches(module, patches, recorder)
    for name in CLASSES + TIMED_CLASSES:
        owner: Any = getattr(module, name, None)
        if "__getitem__" in getattr(owner, "__dict__", ()):
            before = vars(owner)["__getitem__"]
            patches.replace(owner, "__getitem__", item_method(caches))
            caches.measured[vars(owner)["__getitem__"]] = before
        if "get" in getattr(owner, "__dict__", ()):
            patches.replace(owner, "get", get_method(caches))
            caches.gets.add(vars(owner)["get"])
    try:
        decorators = import_module("cachetools._decorator")
    except ModuleNotFoundError:
        caches.closures = ("wrapper", "__call__")
        for owner in (module, import_module("cachetools.func")):
            for name in {"cached", "cachedmethod"} & set(vars(owner)):
                patches.replace(owner, name, functools.partial(_decorator, caches))
    else:
        for name in DECORATED:
            owner = getattr(decorators, f"{name}Mixin")
            Decorated(f"{owner.__name__}__func", caches.view_of).patch(owner, patches)
    cachetools_removals.patch(module, patches, recorder, caches.entries.known)
    patches.on_undo(recorder.on_sample(caches.entries.sample))
    patches.on_undo(lambda: setattr(caches, "stopped", True))


class Caches:
    """What is known of the application's caches."""

    def __init__(self, module: Any, patches: Patches, recorder: Recorder) -> None:
        self._patches = patches
        self._recorder = recorder
        self.measured: dict[Any, Call] = {}
        """The `__getitem__` that were replaced, by what stands for them."""
        self.gets: set[Any] = set()
        """What stands for the `get` that were."""
        self.by_item: set[type] = set()
        self.closures: tuple[str, ...] = ()
        """Before version 8: the names of the functions that decorators make."""
        self.stopped = False
        """Functions decorated before version 8 keep their timed loader."""
        self._names: dict[str, Name] = {}
        self.entries = Entries(recorder, functools.partial(_measure, module.Cache.getsizeof))
        self.known: Mapping[int, tuple[Any, Name]] = self.entries.known
        self.callers: dict[int, bool] = {}
        self._codes: list[CodeType] = []
        """The same, so that no other gets the `id` of one."""
        self._base = module.Cache
        self._get = module.Cache.get.__code__
        self._classes: set[type] = {module.Cache}

    def named(self, thing: Any) -> Name:
        """The name made of a function or class."""
        text = getattr(thing, "__qualname__", type(thing).__qualname__)
        name = self._names.get(text)
        return name or self._names.setdefault(text, Name(self._recorder, "cachetools", text))

    def view_of(self, decorated: Any, cache: Any) -> View:
        """What a decorated function is to see instead of its cache."""
        name, kind = self.named(decorated), type(cache)
        if kind is dict:
            return View(cache, name, getitem)
        if isinstance(cache, self._base) and id(cache) not in self.known:
            self._meet(cache, name)
        if kind in self.by_item:
            return View(cache, name, self.measured[kind.__getitem__])
        return LoadingView(cache, name, getitem)

    def asked(self, cache: Any, frame: FrameType | None) -> Name | None:
        """Under what a lookup counts that this frame asks for; None when it does not."""
        try:
            known, caller = self.known.get(id(cache)), frame
            while frame and frame.f_code.co_name == "__getitem__":
                frame = frame.f_back  # an overriding method, which calls the library's
            if (
                frame is None
                or frame.f_globals.get("__name__") not in LIBRARY
                or (frame.f_code is self._get and type(cache) in self.by_item)
            ):
                self._remember(caller, frame, counts=True)
                if counted.get() & BIT:
                    return None
                return known[1] if known else self._meet(cache, self.named(type(cache)))
            if frame.f_code.co_name in self.closures:
                if counted.get() & BIT:
                    return None
                scope = frame.f_locals
                name = self.named(scope["func"] if "func" in scope else scope["method"])
                return name if known else self._meet(cache, name)
            if known is None:
                lookup = running(frame)
                self._meet(cache, lookup[0] if lookup else self.named(type(cache)))
            else:
                self._remember(caller, frame, counts=False)
        except Exception:
            guard.failed("cachetools.asked")
        return None

    def _remember(self, caller: FrameType | None, asks: FrameType | None, *, counts: bool) -> None:
        """So that it need not be asked again, unless it is a method whose own caller tells."""
        if caller is not None and caller is asks and len(self._codes) < MAX_CALLERS:
            self._codes.append(caller.f_code)
            self.callers[id(caller.f_code)] = counts

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
        kind = type(cache)
        if kind not in self.by_item:
            own = kind.__getitem__ not in self.measured or kind.get not in self.gets
            if own or kind.__missing__ is not self._base.__missing__:
                name.by_frames = True
            elif len(self.by_item) < MAX_CLASSES:
                self.by_item.add(kind)
        self.entries.add(cache, name)
        return name


def _decorator(caches: Caches, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def decorator(*args: Any, **kwargs: Any) -> Call:
        decorate = wrapped(*args, **kwargs)

        @functools.wraps(decorate)
        def timed(function: Call) -> Any:
            try:
                name = caches.named(function)
            except Exception:
                guard.failed("cachetools.decorator")
                return decorate(function)

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
