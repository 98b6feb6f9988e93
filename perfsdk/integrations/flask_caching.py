"""Counts each lookup of Flask-Caching once, whatever backend it has, and times loaders.

Known: Flask-Caching 2.5 (https://flask-caching.readthedocs.io). What `cached` and `memoize`
decorate is named by the function's `__qualname__`; it is a hit when the library takes a kept
value, also an empty one, and a miss when it calls the function: forced updates and stale values
are misses, calls that bypass the cache are neither. Functions decorated before are measured too,
since the frame that asks tells which one it is.

What the application asks by `get`, `get_many` and so on is of the cache `default`. There None
cannot be told from nothing: it is a miss. Versions that `memoize` keeps beside its values are no
lookups.
"""

import functools
import sys
from collections.abc import Callable
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.caches import UNKNOWN, Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Kwargs, Operation, silent, timed
from perfsdk.wrapping.patches import Patches

VERSIONS = ((2, 5), (3,))

BIT = 1 << CACHE

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure what the application calls, and what decorated functions do."""
    hooks = Hooks(module, Caches(recorder, "flask_caching"))
    owner = module.Cache
    for name, operation, inspect in (
        ("get", "get", hooks.was_asked),
        ("get_many", "get_many", hooks.were_asked),
        ("get_dict", "get_many", hooks.were_asked_by_name),
        ("set", "set", hooks.was_set),
        ("add", "set", hooks.was_added),
        ("set_many", "set_many", hooks.were_set),
        ("has", "other", None),
        ("delete", "delete", hooks.was_deleted),
        ("delete_many", "delete", hooks.were_deleted),
        ("unlink", "delete", hooks.were_deleted),
        ("clear", "clear", hooks.was_cleared),
    ):
        patches.replace(owner, name, timed(CACHE, hooks.find(name, operation), inspect))
    patches.replace(owner, "_memoize_version", hooks.version)
    patches.replace(owner, "_is_stale", hooks.found)
    patches.replace(owner, "_call_fn", hooks.loading)
    patches.on_undo(hooks.caches.stop)


class Hooks:
    """What is known of the decorated functions."""

    def __init__(self, module: Any, caches: Caches) -> None:
        self.caches = caches
        self._globals = vars(module)
        self._on_the_way: CodeType = module.Cache._call_fn_or_exception.__code__  # noqa: SLF001 - it calls the function that is decorated

    def find(self, method: str, name: str) -> Find:
        """The operation of a call, by whoever makes it."""

        def find(_cache: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            frame = _caller(sys._getframe(2), method)  # noqa: SLF001 - tells who asks
            return (self._decorated(frame) or self.caches.default).operation(name)

        return find

    def found(self, wrapped: Call) -> Call:
        """A wrapper of what the library asks about a value that it has found."""

        @functools.wraps(wrapped)
        def is_stale(*args: Any, **kwargs: Any) -> Any:
            stale = wrapped(*args, **kwargs)
            try:
                frame = sys._getframe(1)  # noqa: SLF001 - tells for which function
                cache = None if stale or counted.get() & BIT else self._decorated(frame)
                if cache is not None:
                    cache.hit(None, frame.f_locals.get("rv"))
            except Exception:
                guard.failed("flask_caching.found")
            return stale

        return is_stale

    def loading(self, wrapped: Call) -> Call:
        """A wrapper of what calls a decorated function."""

        @functools.wraps(wrapped)
        def call_fn(*args: Any, **kwargs: Any) -> Any:
            load = self._missed(sys._getframe(1))  # noqa: SLF001 - tells for which function
            if load is None:
                return wrapped(*args, **kwargs)
            try:
                return wrapped(*args, **kwargs)
            finally:
                _loaded(*load)

        return call_fn

    def version(self, wrapped: Call) -> Call:
        """A wrapper of what asks for versions, which is no lookup unless it fails."""
        silenced = silent(CACHE)(wrapped)

        @functools.wraps(wrapped)
        def memoize_version(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return silenced(*args, **kwargs)
            except Exception as error:
                self._failed(sys._getframe(1), started, error)  # noqa: SLF001 - for which function
                raise

        return memoize_version

    def was_asked(self, _cache: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        """The application asked for one key."""
        if self._decorated(_caller(sys._getframe(3), "get")) is not None:  # noqa: SLF001 - who asked
            return  # what is found there is not known yet
        if value is None:
            self.caches.default.miss(_key(args, kwargs))
        else:
            self.caches.default.hit(None, value)

    def were_asked(self, _cache: Any, args: Args, _kwargs: Kwargs, values: Any) -> None:
        """The application asked for several."""
        missed = [key for key, value in zip(args, values, strict=False) if value is None]
        self.caches.default.asked(range(len(args) - len(missed)), missed)

    def were_asked_by_name(self, cache: Any, args: Args, kwargs: Kwargs, values: Any) -> None:
        """The same, answered by a dict."""
        self.were_asked(cache, args, kwargs, [values.get(key) for key in args])

    def was_set(self, _cache: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value was written, by the application or for a decorated function."""
        if done is False:
            return
        decorated = self._decorated(_caller(sys._getframe(3), "set"))  # noqa: SLF001 - who sets
        if decorated is not None:
            decorated.wrote_as("read_through")
            return
        value = args[1] if len(args) > 1 else kwargs.get("value")
        self.caches.default.wrote(_key(args, kwargs), _seconds(args[2:], kwargs), value)

    def was_added(self, _cache: Any, args: Args, kwargs: Kwargs, done: Any) -> None:
        """A value was written where there was none."""
        if done:
            value = args[1] if len(args) > 1 else kwargs.get("value")
            self.caches.default.wrote(_key(args, kwargs), _seconds(args[2:], kwargs), value)

    def were_set(self, _cache: Any, args: Args, kwargs: Kwargs, _done: Any) -> None:
        """Several were."""
        values = args[0] if args else kwargs["mapping"]
        for key, value in values.items():
            self.caches.default.wrote(key, _seconds(args[1:], kwargs), value)

    def was_deleted(self, _cache: Any, _args: Args, _kwargs: Kwargs, done: Any) -> None:
        """One was removed."""
        if done:
            self.caches.default.removed()

    def were_deleted(self, _cache: Any, args: Args, _kwargs: Kwargs, done: Any) -> None:
        """Several were; later versions of the backends tell which."""
        self.caches.default.removed(len(done) if isinstance(done, list) else len(args))

    def was_cleared(self, _cache: Any, _args: Args, _kwargs: Kwargs, _done: Any) -> None:
        """All were."""
        self.caches.default.removed(reason="cleared")

    def _failed(self, frame: FrameType, started: float, error: Exception) -> None:
        """A lookup ends before it has begun, unless it is no lookup or an outer layer counts."""
        try:
            asks = frame.f_back if frame.f_code.co_name == "make_cache_key" else frame
            cache = None if counted.get() & BIT else self._decorated(asks)
            if cache is not None:
                cache.operation("get").end(None, started, (), {}, None, error)
        except Exception:
            guard.failed("flask_caching.failed")

    def _missed(self, frame: FrameType | None) -> tuple[Cache, Any, float] | None:
        """A load that begins, unless the function is called without having been looked up."""
        try:
            if frame is not None and frame.f_code is self._on_the_way:
                frame = frame.f_back
            cache = None if counted.get() & BIT else self._decorated(frame)
            if cache is None or frame is None or frame.f_locals.get("found") is not False:
                return None
            cache.missed()
            return cache, cache.loading(frame.f_locals.get("cache_key")), perf_counter()
        except Exception:
            guard.failed("flask_caching.missed")
            return None

    def _decorated(self, frame: FrameType | None) -> Cache | None:
        """The cache of the decorated function that a frame runs, None for any other."""
        if frame is None or frame.f_code.co_name != "decorated_function":
            return None
        if frame.f_globals is not self._globals:
            return None
        return self.caches[str(getattr(frame.f_locals["f"], "__qualname__", "?"))]


def _caller(frame: FrameType | None, method: str) -> FrameType | None:
    """Who calls a method of the library, also by one of a subclass that overrides it."""
    while frame is not None and frame.f_code.co_name == method:
        frame = frame.f_back
    return frame


def _loaded(cache: Cache, load: Any, started: float) -> None:
    cache.loaded(perf_counter() - started)
    if load is not None:
        cache.loads.end(load)


def _key(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _seconds(rest: Args, kwargs: Kwargs) -> Any:
    """How long a value stays; 0: for ever. Not given is what the backend has for it."""
    timeout = rest[0] if rest else kwargs.get("timeout")
    if timeout is None:
        return UNKNOWN
    return timeout or None
