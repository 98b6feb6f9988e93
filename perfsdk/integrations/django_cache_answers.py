"""What the answers of Django's caches say: keys found, missed, written and removed."""

import functools
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

from perfsdk.wrapping.caches import UNKNOWN, Cache
from perfsdk.wrapping.calls import Args, Kwargs

ABSENT = object()
"""What `get` answers us when there is nothing."""

below: ContextVar[bool | None] = ContextVar("perfsdk_django_cache_below", default=None)
"""Whether the class below one of the application's own has found the key, None: not asked."""

interrupted: ContextVar[type[Exception] | None] = ContextVar(
    "perfsdk_django_cache_interrupted", default=None
)
"""The kind of the last error that a backend may have been told to ignore."""


class Answers:
    """Inspections of calls; `of` gives the cache that a backend is."""

    def __init__(self, of: Callable[[Any], Cache]) -> None:
        self._of = of

    def was_asked(self, backend: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        key, cache = key_of(args, kwargs), self._of(backend)
        if value is not ABSENT:
            cache.hit(key, value)
        elif ignored(backend) is None:
            cache.miss(key)

    def was_asked_of_own(self, backend: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        """The same of a class that got the application's default."""
        told = below.get()
        is_default = value is (args[1] if len(args) > 1 else kwargs.get("default"))
        if told or not (is_default or (told is False and value is None)):
            self._of(backend).hit(None, value)
        elif ignored(backend) is None:
            self._of(backend).miss(key_of(args, kwargs))

    def were_asked(self, backend: Any, args: Args, _kwargs: Kwargs, values: Any) -> None:
        found = [key for key in args[0] if key in values]  # also one that is asked for twice
        missed = [] if ignored(backend) else [key for key in args[0] if key not in values]
        self._of(backend).asked(found, missed)

    def was_set(self, backend: Any, args: Args, kwargs: Kwargs, _result: Any) -> None:
        if ignored(backend) is not None:
            return
        value = args[1] if len(args) > 1 else kwargs.get("value")
        self._of(backend).wrote(key_of(args, kwargs), _seconds(backend, args[2:], kwargs), value)

    def was_added(self, backend: Any, args: Args, kwargs: Kwargs, added: Any) -> None:
        if added:
            self.was_set(backend, args, kwargs, added)

    def were_set(self, backend: Any, args: Args, kwargs: Kwargs, failed: Any) -> None:
        if ignored(backend) is not None:
            return
        values = args[0] if args else kwargs["data"]
        seconds, cache = _seconds(backend, args[1:], kwargs), self._of(backend)
        failures = failed if isinstance(failed, Collection) else ()
        for key, value in values.items():
            if key not in failures:
                cache.wrote(key, seconds, value)

    def was_touched(self, backend: Any, args: Args, kwargs: Kwargs, touched: Any) -> None:
        if touched and _seconds(backend, args[1:], kwargs) is not None:
            self._of(backend).touched(key_of(args, kwargs))

    def was_deleted(self, backend: Any, _args: Args, _kwargs: Kwargs, deleted: Any) -> None:
        if deleted:
            self._of(backend).removed()

    def were_deleted(self, backend: Any, args: Args, _kwargs: Kwargs, _result: Any) -> None:
        if ignored(backend) is None:
            self._of(backend).removed(len(args[0]))

    def was_cleared(self, backend: Any, _args: Args, _kwargs: Kwargs, _result: Any) -> None:
        if ignored(backend) is None:
            self._of(backend).removed(reason="cleared")


def begun(backend: Any) -> None:
    """A call of a cache begins: nothing of it has been ignored yet."""
    if vars(backend).get("_ignore_exceptions"):
        interrupted.set(None)


def ignored(backend: Any) -> Exception | None:
    """An error like the one that the backend has ignored in the call that ends."""
    kind = interrupted.get() if vars(backend).get("_ignore_exceptions") else None
    return None if kind is None else kind.__new__(kind)


def noting(wrapped: Callable[..., None]) -> Callable[..., None]:
    """A wrapper of the `__init__` of what is raised, ignored or not."""

    @functools.wraps(wrapped)
    def init(self: Exception, *args: Any, **kwargs: Any) -> None:
        interrupted.set(type(self))
        wrapped(self, *args, **kwargs)

    return init


def key_of(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _seconds(backend: Any, rest: Args, kwargs: Kwargs) -> Any:
    """How long a value stays; None: for ever. `rest` are the arguments from the timeout on."""
    timeout = rest[0] if rest else kwargs.get("timeout", UNKNOWN)
    if timeout is None or isinstance(timeout, int | float):
        return timeout
    return backend.default_timeout  # not given, or said to be the default
