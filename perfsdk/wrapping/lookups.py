"""A lookup in an in-process cache: counted once as hit or miss, over when a loader begins.

It is neither timed nor charged to the request being served: that would cost several times the
lookup itself. Failures, neither hit nor miss, are thus not recorded. What a loader calls, another
cache or a database, is the application's own call and measured as such.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from sys import _getframe
from time import perf_counter
from types import FrameType
from typing import Any, Protocol

from perfsdk import catalog, guard
from perfsdk.recorder import MAX_LABEL_LENGTH, Recorder
from perfsdk.request import counted
from perfsdk.store.writer import SCRATCH

ABSENT = object()

UNBOUND = sys.maxsize
"""The cell of hits before there is one: no index is as great."""

FRAMES = 12
"""How many frames above a loader its lookup may be: subclasses that call up, and the library."""

Call = Callable[..., Any]
Lookup = list["Name"]
"""Its name; empty when it is over."""


class Asking(Protocol):
    """Tells under what lookups count.

    `known` are caches that were seen already and their names, by `id`. `callers` are codes that
    were, by `id`: whether what they ask for counts. Of caches of the types `by_item`, which are
    the library's own in this, a `get` that finds something counts as the `__getitem__` in it.
    """

    known: Mapping[int, tuple[Any, "Name"]]
    callers: dict[int, bool]
    by_item: set[type]

    def asked(self, cache: Any, frame: FrameType) -> "Name | None":
        """Under what a lookup counts that a frame asks for, None: it does not. Never raises."""


class AbsentError(KeyError):
    """In place of a default."""


class Name:
    """The series of one cache name; that of its hits is bound at the first hit.

    A name past the bound of the catalog is thus turned away once, not at each hit.
    """

    __slots__ = ("by_frames", "hit", "labels", "loads", "requests", "writer", "writes")

    def __init__(self, recorder: Recorder, system: str, name: str) -> None:
        self.labels = (system, name[:MAX_LABEL_LENGTH])
        self.requests = recorder.counter(catalog.CACHE_REQUESTS)
        self.loads = recorder.histogram(catalog.CACHE_LOAD_DURATION)
        self.writes = recorder.counter(catalog.CACHE_WRITES)
        self.writer = self.requests.writer
        self.hit = UNBOUND
        self.by_frames = False
        """Whether a cache of this name has methods of the application's in which it looks up, or
        loads: the frames tell what is part of what."""

    def found(self) -> None:
        """Count a hit. Never raises; who counts many tries `writer.values[hit] += 1.0` first."""
        try:
            labels = (*self.labels, "hit")
            if self.hit == UNBOUND and (cell := self.requests[labels]) != SCRATCH:
                self.hit = cell
            self.requests.add(labels)
        except Exception:
            guard.failed("lookups.found")

    def missed(self) -> None:
        """Count a miss. Never raises."""
        try:
            self.requests.add((*self.labels, "miss"))
        except Exception:
            guard.failed("lookups.missed")


def lookup_call(name: Name, look_up: Call, cache: Any, key: Any) -> Any:
    """What `look_up(cache, key)` gives, counted; a miss raises KeyError or calls a `load`."""
    lookup = [name]
    try:
        result = look_up(cache, key)
    except KeyError:
        _end(lookup)
        raise
    if lookup:
        name.found()
    return result


def item_method(asking: Asking) -> Callable[[Call], Call]:
    """A maker of wrappers for `__getitem__`, for `Patches.replace`."""
    known, callers = asking.known, asking.callers

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def item(self: Any, key: Any, cache_getitem: Any = ABSENT) -> Any:
            if cache_getitem is not ABSENT:  # a default argument of the library's own is given
                return wrapped(self, key, cache_getitem)
            name: Name | None
            try:
                if not callers[id(_getframe(1).f_code)]:
                    return wrapped(self, key)
                name = asking.asked(self, _getframe(1)) if counted.get() else known[id(self)][1]
            except KeyError:
                name = asking.asked(self, _getframe(1))
            if name is None:
                return wrapped(self, key)
            if name.by_frames:
                name = asking.asked(self, _getframe(1))
                return lookup_call(name, wrapped, self, key) if name else wrapped(self, key)
            try:
                result = wrapped(self, key)
            except KeyError:
                name.missed()
                raise
            try:
                name.writer.values[name.hit] += 1.0
            except Exception:
                name.found()
            return result

        return item

    return make


def get_method(asking: Asking) -> Callable[[Call], Call]:
    """The same for `get`, which answers a default of ours instead of the caller's for a miss."""
    by_item = asking.by_item

    def make(wrapped: Call) -> Call:
        def present(self: Any, key: Any) -> Any:
            value = wrapped(self, key, ABSENT)
            if value is ABSENT:
                raise AbsentError
            return value

        @functools.wraps(wrapped)
        def get(self: Any, key: Any, default: Any = None) -> Any:
            if type(self) not in by_item:
                name = asking.asked(self, _getframe(1))
                if name is None:
                    return wrapped(self, key, default)
                if type(self) not in by_item:  # it was not known yet
                    try:
                        return lookup_call(name, present, self, key)
                    except AbsentError:
                        return default
            result = wrapped(self, key, ABSENT)
            if result is not ABSENT:
                return result
            name = asking.asked(self, _getframe(1))
            if name is not None:
                name.missed()
            return default

        return get

    return make


def running(frame: FrameType | None) -> Lookup | None:
    """The lookup that a frame is part of, found without any cost to lookups that hit."""
    for _ in range(FRAMES):
        if frame is None:
            break
        if frame.f_code.co_name == "lookup_call" and frame.f_globals is globals():
            return frame.f_locals.get("lookup")
        frame = frame.f_back
    return None


def load(
    name: Name,
    lookup: Lookup | None,
    wrapped: Call,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    nothing: type[BaseException] | tuple[()] = (),
) -> Any:
    """What the loader answers; it ends the lookup that it is called from, as a miss.

    When it raises `nothing` it is no loader after all, and its time is not recorded.
    """
    _end(lookup)
    started = perf_counter()
    try:
        result = wrapped(*args, **kwargs)
    except nothing:
        raise
    except BaseException:
        _loaded(name, started)
        raise
    _loaded(name, started, gave=True)
    return result


def _end(lookup: Lookup | None) -> None:
    """End a lookup as a miss, if it is not over yet."""
    if lookup:
        lookup.pop().missed()


def _loaded(name: Name, started: float, *, gave: bool = False) -> None:
    try:
        name.loads.observe(name.labels, perf_counter() - started)
        if gave:
            name.writes.add((*name.labels, "read_through"))
    except Exception:
        guard.failed("lookups.load")
