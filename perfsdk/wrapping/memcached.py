"""What calls of memcached clients say of keys, whatever the client calls their arguments."""

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.wrapping.answered import Answered
from perfsdk.wrapping.cache_lookup import Lookup
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Kwargs, Operation

ABSENT = object()
"""What a `get` answers us when there is nothing."""

Tell = Callable[[Cache, Any, Args, Kwargs, Any], None]
"""Takes the cache, the key, the arguments after it, the keyword arguments and the answer."""


class KeyCall(Answered):
    """A call for one key, which tells its cache what was answered."""

    __slots__ = ("_cache", "_tell")

    def __init__(self, timed: Operation, cache: Cache, tell: Tell) -> None:
        super().__init__(timed, "memcached.tell")
        self._cache = cache
        self._tell = tell

    def tell(self, args: Args, kwargs: Kwargs, result: Any) -> None:
        key = args[1] if len(args) > 1 else kwargs.get("key")
        self._tell(self._cache, key, args[2:], kwargs, result)


class Memcached:
    """The finds and inspections of one client's methods. `seconds` names the argument of those."""

    def __init__(self, recorder: Recorder, caches: Caches, seconds: str) -> None:
        self._recorder = recorder
        self._caches = caches
        self._seconds = seconds
        self._lookups: dict[Cache | None, Operation] = {}

    def lookup(self, key: Any) -> Operation:
        """Of a `get` that was asked with `ABSENT` as its default, after the client and the key."""
        cache = self._caches.of_key(key)
        known = self._lookups.get(cache)
        if known is not None:
            return known
        if cache is None:  # timed, but no lookup
            return self._caches.default.operation("get")
        known = Lookup(self._recorder, cache, key_at=1, absent=ABSENT)
        if known.is_lasting:
            self._lookups[cache] = known
        return known

    def find_lookup(self, _client: Any, args: Args, _kwargs: Kwargs) -> Operation:
        """The same, as a find."""
        return self.lookup(args[0])

    def find(self, operation: str, tell: Tell | None = None) -> Find:
        """Of methods whose first argument is a key; `tell` is told what a cache's key has."""
        known: dict[Cache | None, Operation] = {}

        def find(_client: Any, args: Args, kwargs: Kwargs) -> Operation:
            cache = self._caches.of_key(args[0] if args else kwargs.get("key"))
            call = known.get(cache)
            if call is None:
                call = (cache or self._caches.default).operation(operation)
                if cache is not None and tell is not None:
                    call = KeyCall(call, cache, tell)
                if call.is_lasting:
                    known[cache] = call
            return call

        return find

    def find_many(self, operation: str) -> Find:
        """Of methods whose first argument has the keys: the first of them names the cache."""

        def find(_client: Any, args: Args, kwargs: Kwargs) -> Operation:
            keys = args[0] if args else next(iter(kwargs.values()), ())
            key = next(islice(keys, 1), None) if isinstance(keys, Collection) else None
            return (self._caches.of_key(key) or self._caches.default).operation(operation)

        return find

    def find_whole(self, operation: str) -> Find:
        """Of methods without a key."""
        whole = self._caches.default.operation
        return lambda _client, _args, _kwargs: whole(operation)

    @staticmethod
    def got(is_absent: Callable[[Args, Kwargs, Any], bool]) -> Tell:
        """Of an answer for one key, which need not be the value alone."""

        def tell(cache: Cache, key: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
            if is_absent(args, kwargs, answer):
                cache.miss(key)
            else:
                cache.hit(key, answer)

        return tell

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

    def stored(self, cache: Cache, key: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
        """One value was written, if the answer is true."""
        if answer:
            value = args[0] if args else kwargs.get("value")
            seconds = args[1] if len(args) > 1 else kwargs.get(self._seconds, 0)
            cache.wrote(key, seconds or None, value)

    def stored_by_token(
        self, cache: Cache, key: Any, args: Args, kwargs: Kwargs, answer: Any
    ) -> None:
        """The same of a method that takes a token after the value."""
        self.stored(cache, key, (*args[:1], *args[2:]), kwargs, answer)

    def wrote(self, key: Any, kwargs: Kwargs, value: Any, rest: Args) -> None:
        """A value was written; the seconds are the first of `rest` or in `kwargs`, 0: for ever."""
        cache = self._caches.of_key(key)
        if cache is not None:
            seconds = rest[0] if rest else kwargs.get(self._seconds, 0)
            cache.wrote(key, seconds or None, value)

    def deleted(self, cache: Cache, _key: Any, _args: Args, _kwargs: Kwargs, answer: Any) -> None:
        """One entry was removed, if the answer is true."""
        if answer:
            cache.removed()

    def touched(self, cache: Cache, key: Any, _args: Args, _kwargs: Kwargs, answer: Any) -> None:
        """An entry has another end, if the answer is true."""
        if answer:
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
