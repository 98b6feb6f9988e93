"""What calls of memcached clients say of keys, whatever the client calls their arguments."""

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation

ABSENT = object()
"""What a `get` answers us when there is nothing."""


class Memcached:
    """The finds and inspections of one client's methods. `seconds` names the argument of those."""

    def __init__(self, caches: Caches, seconds: str) -> None:
        self._caches = caches
        self._seconds = seconds

    def find(self, operation: str) -> Find:
        """Of methods whose first argument is a key."""

        def find(_client: Any, args: Args, kwargs: Kwargs) -> Operation:
            return self._cache(_first(args, kwargs, "key")).operation(operation)

        return find

    def find_many(self, operation: str) -> Find:
        """Of methods whose first argument has the keys: the first of them names the cache."""

        def find(_client: Any, args: Args, kwargs: Kwargs) -> Operation:
            keys = args[0] if args else next(iter(kwargs.values()), ())
            key = next(islice(keys, 1), None) if isinstance(keys, Collection) else None
            return self._cache(key).operation(operation)

        return find

    def find_whole(self, operation: str) -> Find:
        """Of methods without a key."""
        whole = self._caches.default.operation
        return lambda _client, _args, _kwargs: whole(operation)

    def got(self, is_absent: Callable[[Args, Kwargs, Any], bool]) -> Inspect:
        """An inspection of the answer for one key."""

        def inspect(_client: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
            key = _first(args, kwargs, "key")
            cache = self._caches.of_key(key)
            if cache is None:
                return
            if is_absent(args, kwargs, answer):
                cache.miss(key)
            else:
                cache.hit(key, answer)

        return inspect

    def asked(self, keys: Iterable[Any], found: Collection[Any]) -> None:
        """Several keys were asked for; those `found` are there."""
        for key in keys:
            cache = self._caches.of_key(key)
            if cache is None:
                continue
            if key in found:
                cache.hit(key)
            else:
                cache.miss(key)

    def stored(self, _client: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
        """One value was written, if the answer is true."""
        if answer:
            value = args[1] if len(args) > 1 else kwargs.get("value")
            self.wrote(_first(args, kwargs, "key"), kwargs, value, args[2:])

    def wrote(self, key: Any, kwargs: Kwargs, value: Any, rest: Args) -> None:
        """A value was written; the seconds are the first of `rest` or in `kwargs`, 0: for ever."""
        cache = self._caches.of_key(key)
        if cache is not None:
            seconds = rest[0] if rest else kwargs.get(self._seconds, 0)
            cache.wrote(key, seconds or None, value)

    def deleted(self, _client: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
        """One entry was removed, if the answer is true."""
        cache = self._caches.of_key(_first(args, kwargs, "key")) if answer else None
        if cache is not None:
            cache.removed()

    def touched(self, _client: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
        """An entry has another end, if the answer is true."""
        key = _first(args, kwargs, "key")
        cache = self._caches.of_key(key) if answer else None
        if cache is not None:
            cache.touched(key)

    def flushed(self, _client: Any, _args: Args, _kwargs: Kwargs, _answer: Any) -> None:
        """All entries were removed."""
        self._caches.default.removed(reason="cleared")

    def removed(self, keys: Iterable[Any]) -> None:
        """Entries were removed, as far as one knows."""
        for key in keys:
            cache = self._caches.of_key(key)
            if cache is not None:
                cache.removed()

    def _cache(self, key: Any) -> Cache:
        return self._caches.of_key(key) or self._caches.default


def _first(args: Args, kwargs: Kwargs, name: str) -> Any:
    return args[0] if args else kwargs.get(name)
