"""Counts each lookup of aiocache once, whatever backend it has, and times loaders.

Known: aiocache 0.12 (https://aiocache.aio-libs.org). What `cached` and `cached_stampede` decorate
is named by the function's `__qualname__`: a call is a miss when it comes to the function, also
because it may not read the cache, or because an error of the cache was taken for nothing, as the
library does. Functions decorated before are measured too.

What the application asks itself, and `multi_cached` asks, is named by the namespace of the cache,
`default` without one. None cannot be told from nothing there: it is a miss. A call with a cache
that is disabled by AIOCACHE_DISABLE is a lookup all the same.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation, timed_coroutine
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.read_through import read_through

VERSIONS = ((0, 12), (0, 13))

ABSENT = object()
"""What `get` answers us when there is nothing."""

Call = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure what all backends inherit, and what decorated functions do."""
    hooks = Hooks(Caches(recorder, "aiocache"))
    owner = module.base.BaseCache
    for name, operation, inspect in (
        ("multi_get", "get_many", hooks.were_asked),
        ("set", "set", hooks.was_set),
        ("add", "set", hooks.was_set),
        ("multi_set", "set_many", hooks.were_set),
        ("delete", "delete", hooks.was_deleted),
        ("increment", "incr", None),
        ("expire", "touch", hooks.was_touched),
        ("exists", "other", None),
        ("clear", "clear", hooks.was_cleared),
    ):
        patches.replace(owner, name, hooks.timed(operation, inspect))
    patches.replace(owner, "get", hooks.get)
    for decorator in (module.cached, module.cached_stampede):
        patches.replace(decorator, "decorator", hooks.decorated)
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
        async def get(self: Any, key: Any, default: Any = None, *args: Any, **kwargs: Any) -> Any:
            value = await measured(self, key, ABSENT, *args, **kwargs)
            return default if value is ABSENT else value

        return get

    def decorated(self, wrapped: Call) -> Call:
        """A wrapper of what a decorated function does when it is called."""

        @functools.wraps(wrapped)
        async def decorator(decorates: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            name = str(getattr(function, "__qualname__", "?"))
            read = read_through(self.caches[name], None)
            if read is None:
                return await wrapped(decorates, function, *args, **kwargs)
            try:
                value = await wrapped(decorates, read.loading(function), *args, **kwargs)
            except BaseException as error:
                read.end(error)
                raise
            read.end()
            return value

        return decorator

    def were_asked(self, backend: Any, args: Args, kwargs: Kwargs, values: Any) -> None:
        """Several keys were asked for."""
        keys = args[0] if args else kwargs["keys"]
        missed = [key for key, value in zip(keys, values, strict=False) if value is None]
        self._of(backend).asked(range(len(values) - len(missed)), missed)

    def was_set(self, backend: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value was written."""
        if done:
            value = args[1] if len(args) > 1 else kwargs.get("value")
            self._of(backend).wrote(_key(args, kwargs), _seconds(backend, args[2:], kwargs), value)

    def were_set(self, backend: Any, args: Args, kwargs: Kwargs, _done: Any) -> None:
        """Several were."""
        seconds = _seconds(backend, args[1:], kwargs)
        for key, value in args[0] if args else kwargs["pairs"]:
            self._of(backend).wrote(key, seconds, value)

    def was_deleted(self, backend: Any, _args: Args, _kwargs: Kwargs, number: Any) -> None:
        """So many were removed."""
        self._of(backend).removed(int(number or 0))

    def was_touched(self, backend: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value has another end."""
        if done:
            self._of(backend).touched(_key(args, kwargs))

    def was_cleared(self, backend: Any, _args: Args, _kwargs: Kwargs, _done: Any) -> None:
        """All were removed."""
        self._of(backend).removed(reason="cleared")

    def _was_asked(self, backend: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        if value is ABSENT:
            self._of(backend).miss(_key(args, kwargs))
        else:
            self._of(backend).hit(None, value)

    def _find(self, name: str) -> Find:
        def find(backend: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            return self._of(backend).operation(name)

        return find

    def _of(self, backend: Any) -> Cache:
        namespace = backend.namespace
        return self.caches[namespace] if namespace.__class__ is str else self.caches.default


def _key(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _seconds(backend: Any, rest: Args, kwargs: Kwargs) -> Any:
    """How long a value stays; None: for ever. Not given is what the backend has for it."""
    seconds = rest[0] if rest else kwargs.get("ttl", backend.ttl)
    return seconds if isinstance(seconds, int | float) and seconds else None
