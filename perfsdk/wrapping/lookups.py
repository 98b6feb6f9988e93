"""A lookup in an in-process cache: timed, counted once as hit or miss, over when a loader begins.

Unlike `calls`, it leaves `counted` alone: what a loader calls, another cache or a database, is
the application's own call and measured as such.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cached_property
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.catalog import CACHE_LOAD_DURATION, CACHE_OPERATION_DURATION, CACHE_REQUESTS
from perfsdk.recorder import MAX_LABEL_LENGTH, Recorder
from perfsdk.request import CACHE, FOLD_AT, current

ABSENT = object()
"""The default to give a `get` that must tell a miss from a stored value."""


class Name:
    """The series of one cache name, bound once: past a bound, each use would be turned away.

    They are made when first used, so that what never happened is absent.
    """

    def __init__(self, recorder: Recorder, system: str, name: str) -> None:
        self.labels = (system, name[:MAX_LABEL_LENGTH])
        self.requests = recorder.counter(CACHE_REQUESTS)
        self.durations = recorder.histogram(CACHE_OPERATION_DURATION)
        self.loads = recorder.histogram(CACHE_LOAD_DURATION)

    @cached_property
    def hit(self) -> int:
        """The cell that counts hits."""
        system, text = self.labels
        return self.requests[system, text, "hit"]

    @cached_property
    def miss(self) -> int:
        """The cell that counts misses."""
        system, text = self.labels
        return self.requests[system, text, "miss"]

    @cached_property
    def get(self) -> Any:
        """The durations of lookups that gave a result."""
        system, text = self.labels
        return self.durations[system, text, "get", ""]


class Lookup:
    """A lookup while it runs. It ends once: with its result, or where a loader begins."""

    __slots__ = ("account", "ended", "name", "started")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.ended = False
        self.account = account = current.get()
        self.started = perf_counter()
        if account is not None and (events := account.events) is not None:
            events.append((self.started, CACHE))

    def end(self, *, hit: bool) -> None:
        """Record its result. Never raises."""
        if self.ended:
            return
        name = self.name
        try:
            self._end(name.get)
            name.requests.writer.values[name.hit if hit else name.miss] += 1.0
        except IndexError:
            name.requests.add((*name.labels, "hit" if hit else "miss"))
        except Exception:
            guard.failed("lookups.end")

    def fail(self, error: BaseException) -> None:
        """Record that it gave no result: neither hit nor miss. Never raises."""
        if self.ended:
            return
        try:
            key = (*self.name.labels, "get", type(error).__name__)
            self._end(self.name.durations[key])
        except Exception:
            guard.failed("lookups.fail")

    def _end(self, series: Any) -> None:
        self.ended = True
        ended = perf_counter()
        account = self.account
        if account is not None and (events := account.events) is not None:
            events.append((ended, -CACHE))
            if len(events) >= FOLD_AT:
                account.fold()
        series.observe(ended - self.started)


running: ContextVar[Lookup | None] = ContextVar("perfsdk_lookup", default=None)
"""The lookup that the running code is part of; None again while a loader runs."""


def look_up(
    lookup: Lookup,
    miss: type[BaseException] | tuple[()],
    wrapped: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """What the library answers; it is a miss when it raises `miss` or answers `ABSENT`."""
    before = running.get()
    running.set(lookup)
    try:
        result = wrapped(*args, **kwargs)
    except miss:
        lookup.end(hit=False)
        raise
    except BaseException as error:
        lookup.fail(error)
        raise
    finally:
        running.set(before)
    lookup.end(hit=result is not ABSENT)
    return result


def load(
    name: Name,
    wrapped: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    nothing: type[BaseException] | tuple[()] = (),
) -> Any:
    """What the loader answers; it ends the lookup that it is called from, as a miss.

    When it raises `nothing` it is no loader after all, and its time is not recorded.
    """
    lookup = running.get()
    if lookup is not None:
        lookup.end(hit=False)
    running.set(None)
    started = perf_counter()
    try:
        result = wrapped(*args, **kwargs)
    except nothing:
        raise
    except BaseException:
        _loaded(name, started)
        raise
    finally:
        running.set(lookup)
    _loaded(name, started)
    return result


def _loaded(name: Name, started: float) -> None:
    try:
        name.loads.observe(name.labels, perf_counter() - started)
    except Exception:
        guard.failed("lookups.load")


class Loader:
    """A function that is timed when a lookup calls it."""

    __slots__ = ("name", "wrapped")

    def __init__(self, wrapped: Callable[..., Any], name: Name) -> None:
        self.wrapped = wrapped
        self.name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if running.get() is None:
            return self.wrapped(*args, **kwargs)
        return load(self.name, self.wrapped, args, kwargs)
