"""What the answers of Django's caches say: keys found, missed, written and removed."""

from collections.abc import Callable, Collection
from typing import Any

from perfsdk.wrapping.caches import UNKNOWN, Cache
from perfsdk.wrapping.calls import Args, Kwargs

ABSENT = object()
"""What `get` answers us when there is nothing."""


class Answers:
    """Inspections of calls; `of` gives the cache that a backend is."""

    def __init__(self, of: Callable[[Any], Cache]) -> None:
        self._of = of

    def was_asked(self, backend: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        key, cache = key_of(args, kwargs), self._of(backend)
        if value is ABSENT:
            cache.miss(key)
        else:
            cache.hit(key, value)

    def were_asked(self, backend: Any, args: Args, _kwargs: Kwargs, values: Any) -> None:
        missed = [key for key in args[0] if key not in values]
        self._of(backend).asked(values, missed)

    def was_set(self, backend: Any, args: Args, kwargs: Kwargs, _result: Any) -> None:
        value = args[1] if len(args) > 1 else kwargs.get("value")
        self._of(backend).wrote(key_of(args, kwargs), _seconds(backend, args[2:], kwargs), value)

    def was_added(self, backend: Any, args: Args, kwargs: Kwargs, added: Any) -> None:
        if added:
            self.was_set(backend, args, kwargs, added)

    def were_set(self, backend: Any, args: Args, kwargs: Kwargs, failed: Any) -> None:
        values = args[0] if args else kwargs["data"]
        seconds, cache = _seconds(backend, args[1:], kwargs), self._of(backend)
        failures = failed if isinstance(failed, Collection) else ()
        for key, value in values.items():
            if key not in failures:
                cache.wrote(key, seconds, value)

    def was_touched(self, backend: Any, args: Args, kwargs: Kwargs, touched: Any) -> None:
        if touched:
            self._of(backend).touched(key_of(args, kwargs))

    def was_deleted(self, backend: Any, _args: Args, _kwargs: Kwargs, deleted: Any) -> None:
        if deleted:
            self._of(backend).removed()

    def were_deleted(self, backend: Any, args: Args, _kwargs: Kwargs, _result: Any) -> None:
        self._of(backend).removed(len(args[0]))

    def was_cleared(self, backend: Any, _args: Args, _kwargs: Kwargs, _result: Any) -> None:
        self._of(backend).removed(reason="cleared")


def key_of(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _seconds(backend: Any, rest: Args, kwargs: Kwargs) -> Any:
    """How long a value stays; None: for ever. `rest` are the arguments from the timeout on."""
    timeout = rest[0] if rest else kwargs.get("timeout", UNKNOWN)
    if timeout is None or isinstance(timeout, int | float):
        return timeout
    return backend.default_timeout  # not given, or said to be the default
