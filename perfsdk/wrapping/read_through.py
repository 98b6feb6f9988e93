"""A lookup that calls a loader of the application on a miss: one lookup, and what it cost."""

import functools
import inspect
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.caches import Cache
from perfsdk.wrapping.calls import begin

BIT = 1 << CACHE

Call = Callable[..., Any]


class ReadThrough:
    """A lookup that runs. What its loader takes is no part of it, and measured as it is."""

    __slots__ = ("_account", "_key", "_keys", "_loaded", "_missed", "_spent", "_started", "cache")

    def __init__(self, cache: Cache, key: Any, keys: int) -> None:
        self.cache = cache
        self._key = key
        self._keys = keys
        self._missed = self._loaded = 0
        self._spent = 0.0
        counted.set(counted.get() | BIT)
        self._account, self._started = begin(CACHE)

    def loading(
        self, loader: Call, missed: Callable[[tuple[Any, ...]], Iterable[Any]] | None = None
    ) -> Call:
        """The loader, timed when it is called, plain or a coroutine function.

        `missed(args)` gives the keys that a call of it is to load; one key without.
        """
        if inspect.iscoroutinefunction(loader):

            @functools.wraps(loader)
            async def load_async(*args: Any, **kwargs: Any) -> Any:
                state = self._begin(args, missed)
                try:
                    result = await loader(*args, **kwargs)
                except BaseException:
                    self.end_load(state, failed=True)
                    raise
                self.end_load(state, failed=False)
                return result

            return load_async

        @functools.wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            state = self._begin(args, missed)
            try:
                result = loader(*args, **kwargs)
            except BaseException:
                self.end_load(state, failed=True)
                raise
            self.end_load(state, failed=False)
            return result

        return load

    def missed(self) -> None:
        """It is a miss whose value the application had at hand: there is nothing to load."""
        self._missed = self._loaded = 1

    def _begin(
        self, args: tuple[Any, ...], missed: Callable[[tuple[Any, ...]], Iterable[Any]] | None
    ) -> Any:
        try:
            keys = 1 if missed is None else sum(1 for _ in missed(args))
        except Exception:
            guard.failed("read_through.missed")
            keys = 1
        return self.begin_load(keys)

    def end(self, error: BaseException | None = None, *, stored: bool = True) -> None:
        """The lookup is over. `stored`: whether what was loaded is kept. Never raises.

        What the loader raises is no error of the cache.
        """
        try:
            counted.set(counted.get() & ~BIT)
            cache, missed = self.cache, min(self._missed, self._keys)
            operation = cache.operation("get" if self._keys == 1 else "get_many")
            loaded = min(self._loaded, self._keys)
            failed = error if missed == loaded else None
            operation.end(self._account, self._started + self._spent, (), {}, None, failed)
            if failed is not None:
                return
            if missed:
                cache.missed(missed)
                if stored and loaded == missed:
                    cache.wrote_as("read_through", missed)
            if self._keys > missed:
                cache.asked(range(self._keys - missed), ())
        except Exception:
            guard.failed("read_through.end")

    def begin_load(self, keys: int = 1, key: Any = None) -> Any:
        """A load of so many keys begins; what it returns is for `end_load`. Never raises."""
        try:
            self._missed += keys
            load = self.cache.loading(self._key if key is None else key) if keys == 1 else None
            outer = counted.get()
            counted.set(outer & ~BIT)
            started = perf_counter()
            if self._account is not None and self._account.events is not None:
                self._account.events.append((started, -CACHE))
            return started, load, keys, outer
        except Exception:
            guard.failed("read_through.begin_load")
            return None

    def end_load(self, state: Any, *, failed: bool) -> None:
        """It is over. Never raises."""
        try:
            if state is None:
                return
            started, load, keys, outer = state
            ended = perf_counter()
            self._spent += ended - started
            if load is not None:
                self.cache.loads.end(load)
            self.cache.loaded(ended - started)
            if not failed:
                self._loaded += keys
            counted.set(outer)  # as it was: the loader may run in a thread of its own
            if self._account is not None and self._account.events is not None:
                self._account.events.append((ended, CACHE))
        except Exception:
            guard.failed("read_through.end_load")


def read_through(cache: Cache, key: Any, *, keys: int = 1) -> ReadThrough | None:
    """Begin a lookup of a key, or of several at once; None when an outer layer counts it."""
    if counted.get() & BIT:
        return None
    try:
        return ReadThrough(cache, key, keys)
    except Exception:
        guard.failed("read_through")
        return None
