"""Counts a cache that only the application knows: `perfsdk.cache("sessions")`."""

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from perfsdk import guard, recorder
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.read_through import ReadThrough, read_through

F = TypeVar("F", bound=Callable[..., Any])
Pattern = Literal["aside", "read_through", "write_through", "write_behind", "unknown"]
Reason = Literal["explicit", "expired", "evicted", "cleared"]

SYSTEM = "application"
_PATTERNS = ("aside", "read_through", "write_through", "write_behind", "unknown")
_REASONS = ("explicit", "expired", "evicted", "cleared")

_caches: tuple[Recorder, Caches] | None = None
"""Those of the recorder that ran when they were asked for last."""

_running: ContextVar[tuple[ReadThrough, ...]] = ContextVar("perfsdk_own_lookups", default=())
"""The decorated lookups that the running code is in."""


class cache:  # noqa: N801 - it is read as a word of the language, as `allow` is
    """A cache of the application's own, such as a dict: its figures are shown under `name`.

    Make it once, before or after `instrument`. Either say what happens by `hit`, `miss` and
    `load`, or decorate the function that looks up: each call of it is a hit, unless it comes
    to a `load`. Nothing of it raises; where nothing is measured, nothing happens.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def hit(self, count: int = 1) -> None:
        """So many keys were found."""
        if (known := _known(self.name)) is not None:
            known.asked(range(count), ())

    def miss(self, count: int = 1) -> None:
        """So many keys were not found."""
        if (known := _known(self.name)) is not None:
            known.missed(count)

    def load(self, key: str | bytes | int | None = None) -> "_Loading":
        """`with sessions.load():` around what a miss costs, or `@sessions.load()` on the loader.

        With `key`, three that load the same one at once are found as a stampede.
        """
        return _Loading(self, key)

    def wrote(self, pattern: Pattern = "unknown", count: int = 1) -> None:
        """So many values were written; a `load` counts as one already."""
        if (known := _known(self.name)) is not None:
            known.wrote_as(_one_of(_PATTERNS, pattern, "unknown"), count)

    def removed(self, reason: Reason = "explicit", count: int = 1) -> None:
        """So many values were removed."""
        if (known := _known(self.name)) is not None:
            known.removed(count, _one_of(_REASONS, reason, "explicit"))

    def __call__(self, function: F) -> F:
        """Decorate the function, or coroutine function, that looks up one key.

        Raises:
            TypeError: it is a generator function, which looks up nothing when it is called.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"cache: {function.__qualname__} is a generator function")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def look_up_async(*args: Any, **kwargs: Any) -> Any:
                read, token = self._enter()
                try:
                    result = await function(*args, **kwargs)
                except BaseException as error:
                    _leave(read, token, error)
                    raise
                _leave(read, token, None)
                return result

            return cast("F", look_up_async)

        @functools.wraps(function)
        def look_up(*args: Any, **kwargs: Any) -> Any:
            read, token = self._enter()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                _leave(read, token, error)
                raise
            _leave(read, token, None)
            return result

        return cast("F", look_up)

    def _enter(self) -> Any:
        known = _known(self.name)
        read = None if known is None else read_through(known, None)
        if read is None:
            return None, None
        return read, _running.set((*_running.get(), read))


def _known(name: str) -> Cache | None:
    """What counts a cache; None when nothing is measured, or an outer layer counts."""
    try:
        running = recorder.running
        if running is None or (counted.get() & 1 << CACHE and not _looks_up(name)):
            return None
        return _of(running)[name]
    except Exception:
        guard.failed("by_hand.cache")
        return None


def _looks_up(name: str) -> bool:
    return any(read.cache.labels == (SYSTEM, name) for read in _running.get())


def _of(running: Recorder) -> Caches:
    global _caches
    if _caches is None or _caches[0] is not running:
        _caches = running, Caches(running, SYSTEM)
    return _caches[1]


class _Loading:
    """One load, or with every call of what it decorates one."""

    def __init__(self, of: cache, key: Any) -> None:
        self._of = of
        self._key = key
        self._entered: list[Any] = []

    def __enter__(self) -> None:
        self._entered.append(self._begin())

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _end(self._entered.pop(), failed=error_type is not None)

    def __call__(self, loader: F) -> F:
        """Decorate a loader, plain or a coroutine function."""
        of, key = self._of, self._key
        if inspect.iscoroutinefunction(loader):

            @functools.wraps(loader)
            async def load_async(*args: Any, **kwargs: Any) -> Any:
                with _Loading(of, key):
                    return await loader(*args, **kwargs)

            return cast("F", load_async)

        @functools.wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            with _Loading(of, key):
                return loader(*args, **kwargs)

        return cast("F", load)

    def _begin(self) -> Any:
        known = _known(self._of.name)
        if known is None:
            return None
        running = _running.get()
        if running and running[-1].cache is known:
            return running[-1], running[-1].begin_load(key=self._key)
        load = known.loading(self._key) if self._key is not None else None
        return known, (perf_counter(), load)


def _end(entered: Any, *, failed: bool) -> None:
    try:
        if entered is None:
            return
        of, state = entered
        if isinstance(of, ReadThrough):
            of.end_load(state, failed=failed)
            return
        started, load = state
        of.loaded(perf_counter() - started)
        if load is not None:
            of.loads.end(load)
        if not failed:
            of.wrote_as("read_through")
    except Exception:
        guard.failed("by_hand.load")


def _leave(read: ReadThrough | None, token: Any, error: BaseException | None) -> None:
    if read is None:
        return
    read.end(error)
    try:
        _running.reset(token)
    except ValueError:
        pass  # entered in another context: nothing to take back there


def _one_of(known: tuple[str, ...], given: str, otherwise: str) -> str:
    if given in known:
        return given
    guard.log_once(
        f"by_hand {given}", "perfsdk: %r is not one of %s", str(given)[:100], ", ".join(known)
    )
    return otherwise
