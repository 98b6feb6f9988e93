"""A lookup in an in-process cache: timed, counted once as hit or miss, over when a loader begins.

Unlike `calls`, it leaves `counted` alone: what a loader calls, another cache or a database, is
the application's own call and measured as such.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from types import FrameType
from typing import Any

from perfsdk import catalog, guard
from perfsdk.recorder import MAX_LABEL_LENGTH, Recorder
from perfsdk.request import CACHE, FOLD_AT, Account, current

ABSENT = object()

Call = Callable[..., Any]
Lookup = list[Any]
"""Its name and when it started; empty when it is over. An object would cost 0.25 us more."""

FRAMES = 12
"""How many frames above a loader its lookup may be: subclasses that call up, and the library."""


class Name:
    """The series of one cache name; those that a hit needs are bound at the first lookup.

    A name past the bound of the catalog is thus turned away once, not at each hit.
    """

    __slots__ = ("_durations", "hit", "labels", "loads", "observe", "requests", "writes")

    def __init__(self, recorder: Recorder, system: str, name: str) -> None:
        self.labels = (system, name[:MAX_LABEL_LENGTH])
        self.requests = recorder.counter(catalog.CACHE_REQUESTS)
        self.loads = recorder.histogram(catalog.CACHE_LOAD_DURATION)
        self.writes = recorder.counter(catalog.CACHE_WRITES)
        self._durations = recorder.histogram(catalog.CACHE_OPERATION_DURATION)
        self.observe: Callable[[float], None] = self._bind
        self.hit = 0

    def _bind(self, seconds: float) -> None:
        system, name = self.labels
        self.hit = self.requests[system, name, "hit"]
        observe = self._durations[system, name, "get", ""].observe
        self.observe = observe
        observe(seconds)

    def observe_failure(self, error: BaseException, seconds: float) -> None:
        """Count a lookup without a result: neither hit nor miss."""
        self._durations.observe((*self.labels, "get", type(error).__name__), seconds)


def lookup_method(
    name_of: Callable[[Any], Name | None], miss: type[BaseException] | tuple[()]
) -> Callable[[Call], Call]:
    """A maker of wrappers for a method that looks up, for `Patches.replace`.

    `name_of(instance)` is None for a call that is not to be counted; it may not raise. A miss
    is what raises `miss` or calls a `load`.
    """

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def lookup_call(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            name = name_of(instance)
            if name is None:
                return wrapped(instance, *args, **kwargs)
            started = perf_counter()
            lookup = [name, started]
            try:
                result = wrapped(instance, *args, **kwargs)
            except BaseException as error:
                _end(lookup, None if isinstance(error, miss) else error)
                raise
            if lookup:
                _found(name, started)
            return result

        return lookup_call

    return make


def item_method(
    name_of: Callable[[Any], Name | None], miss: type[BaseException]
) -> Callable[[Call], Call]:
    """The same for `__getitem__`, which is quicker because it takes one argument."""

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def lookup_call(instance: Any, key: Any, /, *rest: Any, **options: Any) -> Any:
            if rest or options:  # a default argument of the library's own is given
                return wrapped(instance, key, *rest, **options)
            name = name_of(instance)
            if name is None:
                return wrapped(instance, key)
            started = perf_counter()
            lookup = [name, started]
            try:
                result = wrapped(instance, key)
            except BaseException as error:
                _end(lookup, None if isinstance(error, miss) else error)
                raise
            if lookup:
                _found(name, started)
            return result

        return lookup_call

    return make


def get_method(
    name_of: Callable[[Any], Name | None], miss: type[BaseException]
) -> Callable[[Call], Call]:
    """The same for `get`, which answers a default of ours instead of the caller's for a miss."""

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def lookup_call(instance: Any, key: Any, default: Any = None) -> Any:
            name = name_of(instance)
            if name is None:
                return wrapped(instance, key, default)
            started = perf_counter()
            lookup = [name, started]
            try:
                result = wrapped(instance, key, ABSENT)
            except BaseException as error:
                _end(lookup, None if isinstance(error, miss) else error)
                raise
            if result is ABSENT:
                _end(lookup)
                return default
            if lookup:
                _found(name, started)
            return result

        return lookup_call

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


class Loader:
    """A function that is timed when a lookup calls it."""

    __slots__ = ("name", "wrapped")

    def __init__(self, wrapped: Call, name: Name) -> None:
        self.wrapped = wrapped
        self.name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        lookup = running(sys._getframe(1))  # noqa: SLF001 - the only way to ask who calls
        if not lookup:
            return self.wrapped(*args, **kwargs)
        return load(self.name, lookup, self.wrapped, args, kwargs)


def _found(name: Name, started: float) -> None:
    try:
        ended = perf_counter()
        name.observe(ended - started)
        if (account := current.get()) is not None:
            _charge(account, started, ended)
        name.requests.writer.values[name.hit] += 1.0
    except IndexError:
        name.requests.add((*name.labels, "hit"))
    except Exception:
        guard.failed("lookups.found")


def _end(lookup: Lookup | None, error: BaseException | None = None) -> None:
    """End a lookup that is not over yet: as a miss, or with the error that it raised."""
    if not lookup:
        return
    try:
        ended = perf_counter()
        name, started = lookup
        lookup.clear()
        if error is None:
            name.observe(ended - started)
            name.requests.add((*name.labels, "miss"))
        else:
            name.observe_failure(error, ended - started)
        if (account := current.get()) is not None:
            _charge(account, started, ended)
    except Exception:
        guard.failed("lookups.end")


def _charge(account: Account, started: float, ended: float) -> None:
    events = account.events
    if events is not None:
        events += ((started, CACHE), (ended, -CACHE))
        if len(events) >= FOLD_AT:
            account.fold()


def _loaded(name: Name, started: float, *, gave: bool = False) -> None:
    try:
        name.loads.observe(name.labels, perf_counter() - started)
        if gave:
            name.writes.add((*name.labels, "read_through"))
    except Exception:
        guard.failed("lookups.load")
