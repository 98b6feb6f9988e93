"""Counts each lookup in a region of dogpile.cache once, whatever backend it has, with its loader.

Known: dogpile.cache 1.1 and newer (https://dogpilecache.sqlalchemy.org). A cache is named by its
region, `default` when that has no name. `get_or_create`, which `cache_on_arguments` calls, is one
lookup although the library asks twice under its lock: a miss when it calls the creator. A value
that is out of date and given all the same while another one is made in the background is a hit,
and what that one costs is a load. A stored None is a hit; only dogpile's NO_VALUE is a miss.
"""

import functools
from collections.abc import Callable, Collection
from threading import get_ident
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import UNKNOWN, Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Kwargs, Operation, timed
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.read_through import ReadThrough, read_through

VERSIONS = ((1, 1), (2,))

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure regions, those that are there and those to come."""
    hooks = Hooks(module.api.NO_VALUE, Caches(recorder, "dogpile"))
    owner = module.CacheRegion
    for name, operation, inspect in (
        ("get", "get", hooks.was_asked),
        ("get_multi", "get_many", hooks.were_asked),
        ("set", "set", hooks.was_set),
        ("set_multi", "set_many", hooks.were_set),
        ("delete", "delete", hooks.was_deleted),
        ("delete_multi", "delete", hooks.were_deleted),
    ):
        make = timed(CACHE, hooks.find(operation), inspect)
        several = name in ("get_multi", "delete_multi")
        patches.replace(owner, name, functools.partial(_listed, make) if several else make)
    patches.replace(owner, "get_or_create", hooks.creating)
    patches.replace(owner, "get_or_create_multi", hooks.creating_several)
    patches.on_undo(hooks.caches.stop)


class Hooks:
    """What is told of each method."""

    def __init__(self, nothing: Any, caches: Caches) -> None:
        self._nothing = nothing
        self.caches = caches

    def find(self, name: str) -> Find:
        """The operation of a region."""

        def find(region: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            return self._of(region).operation(name)

        return find

    def creating(self, wrapped: Call) -> Call:
        """A wrapper of `get_or_create(key, creator, ...)`."""

        @functools.wraps(wrapped)
        def get_or_create(region: Any, key: Any, creator: Any, *args: Any, **kwargs: Any) -> Any:
            read = self._read(region, key)
            if read is None:
                return wrapped(region, key, creator, *args, **kwargs)
            loader, running = read.loading(creator), [True]
            if region.async_creation_runner is not None:
                loader = _unless_in_background(read, loader, creator, running)
            try:
                return _looked_up(read, wrapped, region, key, loader, args, kwargs)
            finally:
                running.clear()

        return get_or_create

    def creating_several(self, wrapped: Call) -> Call:
        """A wrapper of `get_or_create_multi(keys, creator, ...)`."""

        @functools.wraps(wrapped)
        def get_or_create_multi(
            region: Any, keys: Any, creator: Any, *args: Any, **kwargs: Any
        ) -> Any:
            if not isinstance(keys, Collection) and hasattr(keys, "__iter__"):
                keys = list(keys)
            read = self._read(region, None, keys)
            if read is None:
                return wrapped(region, keys, creator, *args, **kwargs)
            loader = read.loading(creator, missed=lambda keys: keys)
            return _looked_up(read, wrapped, region, keys, loader, args, kwargs)

        return get_or_create_multi

    def was_asked(self, region: Any, args: Args, kwargs: Kwargs, value: Any) -> None:
        """One key was asked for."""
        if value is self._nothing:
            self._of(region).miss(_key(args, kwargs))
        else:
            self._of(region).hit(None, value)

    def were_asked(self, region: Any, args: Args, _kwargs: Kwargs, values: Any) -> None:
        """Several were."""
        missed = [k for k, value in zip(args[0], values, strict=False) if value is self._nothing]
        self._of(region).asked(range(len(values) - len(missed)), missed)

    def was_set(self, region: Any, args: Args, kwargs: Kwargs, _done: Any) -> None:
        """A value was written."""
        value = args[1] if len(args) > 1 else kwargs.get("value")
        self._of(region).wrote(_key(args, kwargs), _seconds(region), value)

    def were_set(self, region: Any, args: Args, kwargs: Kwargs, _done: Any) -> None:
        """Several were."""
        values = args[0] if args else kwargs["mapping"]
        for key, value in values.items():
            self._of(region).wrote(key, _seconds(region), value)

    def was_deleted(self, region: Any, _args: Args, _kwargs: Kwargs, _done: Any) -> None:
        """One was removed, if it was there."""
        self._of(region).removed()

    def were_deleted(self, region: Any, args: Args, _kwargs: Kwargs, _done: Any) -> None:
        """Several were."""
        self._of(region).removed(len(args[0]))

    def _read(self, region: Any, key: Any, keys: Collection[Any] = (0,)) -> ReadThrough | None:
        try:
            number = len(set(keys))
        except TypeError:
            return None  # the library says what is wrong with them
        try:
            return read_through(self._of(region), key, keys=number)
        except Exception:
            guard.failed("dogpile.read")
            return None

    def _of(self, region: Any) -> Cache:
        name = region.name
        return self.caches[str(name)] if name else self.caches.default


def _looked_up(
    read: ReadThrough, wrapped: Call, region: Any, asked: Any, loader: Call, args: Args, kwargs: Any
) -> Any:
    kept: list[bool] | None = None
    decide = args[1] if len(args) > 1 else kwargs.get("should_cache_fn")
    if decide is not None:
        kept = []
        decide = _noted(decide, kept)
        if len(args) > 1:
            args = (args[0], decide, *args[2:])
        else:
            kwargs = {**kwargs, "should_cache_fn": decide}
    try:
        value = wrapped(region, asked, loader, *args, **kwargs)
    except BaseException as error:
        read.end(error)
        raise
    read.end(stored=kept is None)
    if kept and any(kept):
        read.cache.wrote_as("read_through", sum(kept))
    return value


def _noted(decide: Call, kept: list[bool]) -> Call:
    """`should_cache_fn`, of which it is noted how it decides."""

    @functools.wraps(decide)
    def should_cache(value: Any) -> Any:
        decision = decide(value)
        kept.append(bool(decision))
        return decision

    return should_cache


def _unless_in_background(
    read: ReadThrough, loader: Call, creator: Call, running: list[bool]
) -> Call:
    """The loader while the lookup runs; later, or in another thread, it is no part of that."""
    thread = get_ident()

    @functools.wraps(creator)
    def create(*args: Any, **kwargs: Any) -> Any:
        if running and get_ident() == thread:
            return loader(*args, **kwargs)
        started = perf_counter()
        try:
            return creator(*args, **kwargs)
        finally:
            read.cache.loaded(perf_counter() - started)

    return create


def _listed(make: Callable[[Call], Call], wrapped: Call) -> Call:
    """Keys that can be taken only once are taken into a list, to be looked at again."""
    measured = make(wrapped)

    @functools.wraps(wrapped)
    def several(region: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(keys, Collection) and hasattr(keys, "__iter__"):
            keys = list(keys)
        return measured(region, keys, *args, **kwargs)

    return several


def _key(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs.get("key")


def _seconds(region: Any) -> Any:
    """How long a value counts as one; backends may have another end, which is not known."""
    return region.expiration_time or UNKNOWN
