"""Counts each lookup of aiocache once, whatever backend it has, and times loaders.

Known: aiocache 0.12 (https://aiocache.aio-libs.org). What `cached`, `cached_stampede` and
`multi_cached` decorate is named by the function's `__qualname__`, also if decorated before. With
one key, a call is a miss when it comes to the function, also because it may not read the cache;
an error of the cache, which the library takes for nothing, is neither hit nor miss.

What the application asks itself is named by the namespace of the cache, `default` without one.
None cannot be told from nothing there: it is a miss; with plugins, which see the arguments, so is
a value that is the very default. A call of a cache that AIOCACHE_DISABLE disables is a miss.
"""

import functools
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from perfsdk.integrations import aiocache_decorators
from perfsdk.integrations.aiocache_decorators import asking, within
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation, timed_coroutine
from perfsdk.wrapping.patches import Patches

VERSIONS = ((0, 12), (0, 13))

ABSENT = object()
"""What `get` answers us when there is nothing."""

Call = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure what all backends inherit, and what decorated functions do."""
    hooks = Hooks(Caches(recorder, "aiocache"))
    owner = module.base.BaseCache
    for name, operation, inspect in (
        ("add", "set", hooks.was_set),
        ("delete", "delete", hooks.was_deleted),
        ("increment", "incr", None),
        ("expire", "touch", hooks.was_touched),
        ("exists", "other", None),
        ("clear", "clear", hooks.was_cleared),
    ):
        patches.replace(owner, name, hooks.timed(operation, inspect))
    patches.replace(owner, "get", hooks.get)
    patches.replace(owner, "set", hooks.set)
    patches.replace(owner, "multi_get", _listed(hooks.timed("get_many", hooks.were_asked)))
    patches.replace(owner, "multi_set", _listed(hooks.timed("set_many", hooks.were_set)))
    aiocache_decorators.patch(module, patches, hooks.caches)
    patches.on_undo(hooks.caches.stop)


class Hooks:
    """What is told of each method."""

    def __init__(self, caches: Caches) -> None:
        self.caches = caches

    def timed(self, name: str, inspect: Inspect | None) -> Callable[[Call], Call]:
        """A maker of wrappers for a method of a cache."""
        return timed_coroutine(CACHE, self._find(name), inspect)

    def get(self, wrapped: Call) -> Call:
        """`get` is asked with a default of ours, since a value may equal the application's."""
        measured = self.timed("get", self._was_asked)(wrapped)

        @functools.wraps(wrapped)
        async def get(self: Any, *args: Any, **kwargs: Any) -> Any:
            default = _default(args, kwargs)
            if default is not None and not self.plugins:
                if len(args) > 1:
                    args = (args[0], ABSENT, *args[2:])
                else:
                    kwargs = {**kwargs, "default": ABSENT}
            try:
                value = await measured(self, *args, **kwargs)
            except Exception as error:
                if (call := within()) is not None:
                    call.error = error
                raise
            return default if value is ABSENT else value

        return get

    def set(self, wrapped: Call) -> Call:
        """`set`, which decorated functions use to keep what they loaded."""
        measured = self.timed("set", self.was_set)(wrapped)

        @functools.wraps(wrapped)
        async def set_value(*args: Any, **kwargs: Any) -> Any:
            done = await measured(*args, **kwargs)
            if done and (call := within()) is not None:
                call.cache.wrote_as("read_through")
            return done

        return set_value

    def were_asked(self, backend: Any, args: Args, kwargs: Kwargs, values: Any) -> None:
        """Several keys were asked for."""
        keys = args[0] if args else kwargs["keys"]
        missed = [key for key, value in zip(keys, values, strict=False) if value is None]
        cache = self._of(backend)
        if asking.get() is not None:  # what is loaded and kept is known
            cache.missed(len(missed))
            missed = []
        cache.asked(range(sum(value is not None for value in values)), missed)

    def was_set(self, backend: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value was written."""
        if done:
            value = args[1] if len(args) > 1 else kwargs.get("value")
            self._of(backend).wrote(_key(args, kwargs), _seconds(backend, args[2:], kwargs), value)

    def were_set(self, backend: Any, args: Args, kwargs: Kwargs, _done: Any) -> None:
        """Several were."""
        pairs, cache = args[0] if args else kwargs["pairs"], self._of(backend)
        if asking.get() is not None:
            cache.wrote_as("read_through", len(pairs))
            return
        seconds = _seconds(backend, args[1:], kwargs)
        for key, value in pairs:
            cache.wrote(key, seconds, value)

    def was_deleted(self, backend: Any, _args: Args, _kwargs: Kwargs, number: Any) -> None:
        """So many were removed."""
        self._of(backend).removed(int(number or 0))

    def was_touched(self, backend: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value has another end."""
        if done and (args[1] if len(args) > 1 else kwargs.get("ttl")):
            self._of(backend).touched(_key(args, kwargs))

    def was_cleared(self, backend: Any, _args: Args, _kwargs: Kwargs, _done: Any) -> None:
        """All were removed."""
        self._of(backend).removed(reason="cleared")

    def _was_asked(self, backend: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        if value is None or value is ABSENT or value is _default(args, kwargs):
            self._of(backend).miss(_key(args, kwargs))
        else:
            self._of(backend).hit(None, value)

    def _find(self, name: str) -> Find:
        def find(backend: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            return self._of(backend).operation(name)

        return find

    def _of(self, backend: Any) -> Cache:
        cache = asking.get()
        if cache is not None:
            return cache
        namespace = backend.namespace
        return self.caches[namespace] if namespace.__class__ is str else self.caches.default


def _key(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _default(args: Args, kwargs: Kwargs) -> Any:
    return args[1] if len(args) > 1 else kwargs.get("default")


def _seconds(backend: Any, rest: Args, kwargs: Kwargs) -> Any:
    """How long a value stays; None: for ever. Not given is what the backend has for it."""
    seconds = rest[0] if rest else kwargs.get("ttl", ABSENT)
    if seconds is not None and not isinstance(seconds, int | float):
        seconds = backend.ttl
    return seconds or None


def _listed(make: Callable[[Call], Call]) -> Callable[[Call], Call]:
    """Keys that can be taken only once are taken into a list, to be looked at again."""

    def making(wrapped: Call) -> Call:
        measured = make(wrapped)

        @functools.wraps(wrapped)
        async def several(self: Any, *args: Any, **kwargs: Any) -> Any:
            if args and not isinstance(args[0], Collection) and hasattr(args[0], "__iter__"):
                args = (list(args[0]), *args[1:])
            return await measured(self, *args, **kwargs)

        return several

    return making
