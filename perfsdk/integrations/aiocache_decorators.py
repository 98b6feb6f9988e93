"""What aiocache's decorators look up, load and keep, under the name of the function."""

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from perfsdk.request import CACHE, counted
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.read_through import read_through

BIT = 1 << CACHE

Method = Callable[..., Awaitable[Any]]


class Decorated:
    """One call of a decorated function."""

    __slots__ = ("cache", "error", "since")

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.error: Exception | None = None
        """What the cache raised, which the library takes for nothing."""
        self.since: float | None = None
        """When the function was called, as far as that is known."""

    def loaded(self) -> None:
        """The function has answered, if it was called at all."""
        if self.since is not None:
            self.cache.loaded(perf_counter() - self.since)
            self.since = None


running: ContextVar[Decorated | None] = ContextVar("perfsdk_aiocache_running", default=None)
asking: ContextVar[Cache | None] = ContextVar("perfsdk_aiocache_asking", default=None)
"""The cache for which `multi_cached` asks or sets now."""


def patch(module: Any, patches: Patches, caches: Caches) -> None:
    """Measure what is decorated, before and after."""
    for decorator in (module.cached, module.cached_stampede):
        patches.replace(decorator, "decorator", functools.partial(_one_key, caches))
    several = module.multi_cached
    patches.replace(several, "decorator", functools.partial(_several_keys, caches))
    patches.replace(several, "get_from_cache", _asking)
    patches.replace(several, "set_in_cache", _setting)


def within() -> Decorated | None:
    """The call of a decorated function that asks the cache now; not what its function asks."""
    return running.get() if counted.get() & BIT else None


def _one_key(caches: Caches, wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def decorator(decorates: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        cache = _named(caches, function)
        read = read_through(cache, None)
        if read is None:
            return await wrapped(decorates, function, *args, **kwargs)
        # No token: a coroutine may be closed in another context than it ran in.
        call, outer = Decorated(cache), running.get()
        running.set(call)
        try:
            value = await wrapped(decorates, read.loading(function), *args, **kwargs)
        except BaseException as error:
            read.end(error)
            raise
        finally:
            running.set(outer)
        # What is kept is counted where it is set, which may be in the background.
        read.end(call.error, stored=False)
        return value

    return decorator


def _several_keys(caches: Caches, wrapped: Method) -> Method:
    """Not `read_through`: the library reads the code of the function, so it stays as it is."""

    @functools.wraps(wrapped)
    async def decorator(decorates: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        if counted.get() & BIT:
            return await wrapped(decorates, function, *args, **kwargs)
        call, outer = Decorated(_named(caches, function)), running.get()
        running.set(call)
        try:
            return await wrapped(decorates, function, *args, **kwargs)
        finally:
            running.set(outer)
            call.loaded()

    return decorator


def _asking(wrapped: Method) -> Method:
    """A wrapper of `multi_cached.get_from_cache(*keys)`; the function is called after it."""

    @functools.wraps(wrapped)
    async def get_from_cache(self: Any, *keys: Any) -> Any:
        call = running.get()
        if call is None or counted.get() & BIT:
            return await wrapped(self, *keys)
        asking.set(call.cache)
        try:
            values = await wrapped(self, *keys)
        finally:
            asking.set(None)
        if any(value is None for value in values):  # `in` would compare, which arrays refuse
            call.since = perf_counter()
        return values

    return get_from_cache


def _setting(wrapped: Method) -> Method:
    """A wrapper of `multi_cached.set_in_cache(...)`; the function has answered before it."""

    @functools.wraps(wrapped)
    async def set_in_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = running.get()
        if call is None or counted.get() & BIT:
            return await wrapped(self, *args, **kwargs)
        call.loaded()
        asking.set(call.cache)
        try:
            return await wrapped(self, *args, **kwargs)
        finally:
            asking.set(None)

    return set_in_cache


def _named(caches: Caches, function: Any) -> Cache:
    return caches[str(getattr(function, "__qualname__", "?"))]
