"""Times each call of Django's caches once, on the outer layer, and counts hits and misses by key.

Known: Django 4.2 to 6.0 (https://docs.djangoproject.com/en/stable/topics/cache/), with all of its
backends, those of others such as django-redis, and the application's own: each class of backends
is measured when it is there or when a cache of it is made. A cache is named by its alias. What
sessions and templates keep in a cache counts under it.

A stored None, or a value that equals the default, is a hit: `get` is asked with a default of
ours. `get_or_set` is one lookup, and what it calls for the value is its loader. Where a backend
turns an error into the default (django-redis with `ignore_exceptions`), that is a miss. What a
cache in a database asks is measured as a database, too.
"""

import functools
from collections.abc import Callable, Collection
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.integrations.django_cache_answers import ABSENT, Answers, key_of
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation, timed, timed_coroutine
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.read_through import read_through

VERSIONS = ((4, 2), (6, 1))

SINGLE = ("get", "set", "add", "touch", "delete", "clear")
"""What an asynchronous method of Django's own class does by the plain one, which counts."""

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure all classes of backends, and those of caches that are made later."""
    backends = Backends(module, Caches(recorder, "django"), patches)
    for owner in [module.BaseCache, *_subclasses(module.BaseCache)]:
        backends.patch(owner)
    patches.replace(module.CacheHandler, "create_connection", backends.made)
    patches.on_undo(backends.caches.stop)


class Backends:
    """The classes of backends that are patched, and the caches by their aliases."""

    def __init__(self, module: Any, caches: Caches, patches: Patches) -> None:
        self._module = module
        self.caches = caches
        self._patches = patches
        self._known: set[type] = set()
        self._answers = Answers(self.of)

    def patch(self, owner: type) -> None:
        """Patch what the class itself defines."""
        if owner in self._known or self.caches.stopped:
            return
        self._known.add(owner)
        is_base = owner is self._module.BaseCache
        for name, make in self._makes().items():
            method = vars(owner).get(name)
            if not isinstance(method, FunctionType):
                continue
            if is_base and name in {f"a{single}" for single in SINGLE}:
                continue
            self._patches.replace(owner, name, make)

    def made(self, wrapped: Call) -> Call:
        """A wrapper of what makes the cache of an alias."""

        @functools.wraps(wrapped)
        def create_connection(handler: Any, alias: Any) -> Any:
            cache = wrapped(handler, alias)
            try:
                cache._perfsdk_alias = str(alias)  # noqa: SLF001 - our own attribute
                for owner in type(cache).__mro__:
                    if issubclass(owner, self._module.BaseCache):
                        self.patch(owner)
            except Exception:
                guard.failed("django_cache.made")
            return cache

        return create_connection

    def of(self, backend: Any) -> Cache:
        """The cache that a backend is."""
        alias = vars(backend).get("_perfsdk_alias")
        if alias is None:
            alias = backend._perfsdk_alias = self._alias(backend)  # noqa: SLF001 - our own
        return self.caches[alias]

    def _alias(self, backend: Any) -> str:
        """That of one made before; the name of the class for one that has none."""
        handler = self._module.caches
        for alias in handler:
            if getattr(handler._connections, alias, None) is backend:  # noqa: SLF001 - no other way
                return str(alias)
        return type(backend).__name__

    def _makes(self) -> dict[str, Call]:
        """The makers of wrappers, by the names of methods; with an `a` in front they await."""
        plain: dict[str, Call] = {
            "get": functools.partial(self._get, "get"),
            "get_many": functools.partial(self._get_many, "get_many"),
            "get_or_set": self._get_or_set,
            "set": self._timed("set", self._answers.was_set),
            "add": self._timed("set", self._answers.was_added),
            "set_many": self._timed("set_many", self._answers.were_set),
            "incr": self._timed("incr"),
            "decr": self._timed("incr"),
            "touch": self._timed("touch", self._answers.was_touched),
            "delete": self._timed("delete", self._answers.was_deleted),
            "delete_many": functools.partial(self._get_many, "delete"),
            "clear": self._timed("clear", self._answers.was_cleared),
            "has_key": self._timed("other"),
            "incr_version": self._timed("other"),
            "decr_version": self._timed("other"),
        }
        return plain | {f"a{name}": make for name, make in plain.items()}

    def _find(self, name: str) -> Find:
        def find(backend: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            return self.of(backend).operation(name)

        return find

    def _timed(self, name: str, inspect: Inspect | None = None) -> Call:
        find = self._find(name)

        def make(wrapped: Call) -> Call:
            timing = timed_coroutine if iscoroutinefunction(wrapped) else timed
            return timing(CACHE, find, inspect)(wrapped)

        return make

    def _get(self, name: str, wrapped: Call) -> Call:
        """`get(key, default, version)`, asked with a default of ours."""
        measured = self._timed(name, self._answers.was_asked)(wrapped)
        if iscoroutinefunction(wrapped):

            @functools.wraps(wrapped)
            async def aget(self: Any, *args: Any, **kwargs: Any) -> Any:
                default, args, kwargs = _with_our_default(args, kwargs)
                value = await measured(self, *args, **kwargs)
                return default if value is ABSENT else value

            return aget

        @functools.wraps(wrapped)
        def get(self: Any, *args: Any, **kwargs: Any) -> Any:
            default, args, kwargs = _with_our_default(args, kwargs)
            value = measured(self, *args, **kwargs)
            return default if value is ABSENT else value

        return get

    def _get_many(self, name: str, wrapped: Call) -> Call:
        """What takes several keys, which may come from something that gives them once only."""
        inspect = self._answers.were_asked if name == "get_many" else self._answers.were_deleted
        measured = self._timed(name, inspect)(wrapped)

        @functools.wraps(wrapped)
        def many(self: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(keys, Collection) and hasattr(keys, "__iter__"):
                keys = list(keys)
            return measured(self, keys, *args, **kwargs)

        if not iscoroutinefunction(wrapped):
            return many

        @functools.wraps(wrapped)
        async def amany(self: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
            return await many(self, keys, *args, **kwargs)

        return amany

    def _get_or_set(self, wrapped: Call) -> Call:
        """`get_or_set(key, default, timeout, version)`: one lookup and its loader."""
        if iscoroutinefunction(wrapped):

            @functools.wraps(wrapped)
            async def aget_or_set(backend: Any, *args: Any, **kwargs: Any) -> Any:
                read = self._read(backend, args, kwargs)
                if read is None:
                    return await wrapped(backend, *args, **kwargs)
                try:
                    args, kwargs = _with_a_loader(read, args, kwargs)
                    value = await wrapped(backend, *args, **kwargs)
                except BaseException as error:
                    read.end(error)
                    raise
                read.end()
                return value

            return aget_or_set

        @functools.wraps(wrapped)
        def get_or_set(backend: Any, *args: Any, **kwargs: Any) -> Any:
            read = self._read(backend, args, kwargs)
            if read is None:
                return wrapped(backend, *args, **kwargs)
            try:
                args, kwargs = _with_a_loader(read, args, kwargs)
                value = wrapped(backend, *args, **kwargs)
            except BaseException as error:
                read.end(error)
                raise
            read.end()
            return value

        return get_or_set

    def _read(self, backend: Any, args: Args, kwargs: Kwargs) -> Any:
        try:
            return read_through(self.of(backend), key_of(args, kwargs))
        except Exception:
            guard.failed("django_cache.get_or_set")
            return None


def _subclasses(owner: type[Any]) -> list[type[Any]]:
    return [found for one in owner.__subclasses__() for found in (one, *_subclasses(one))]


def _with_our_default(args: Args, kwargs: Kwargs) -> tuple[Any, Args, Kwargs]:
    """The application's default, and the arguments with ours in its place."""
    if len(args) > 1:
        return args[1], (args[0], ABSENT, *args[2:]), kwargs
    return kwargs.get("default"), args, {**kwargs, "default": ABSENT}


def _with_a_loader(read: Any, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments with what tells us that a value is needed in place of the default."""
    default = args[1] if len(args) > 1 else kwargs.get("default")
    loader = read.loading(default) if callable(default) else _at_hand(read, default)
    if len(args) > 1:
        return (args[0], loader, *args[2:]), kwargs
    return args, {**kwargs, "default": loader} if "default" in kwargs else kwargs


def _at_hand(read: Any, value: Any) -> Callable[[], Any]:
    def give() -> Any:
        read.missed()
        return value

    return give
