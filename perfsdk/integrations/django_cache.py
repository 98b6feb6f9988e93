"""Times each call of Django's caches once, on the outer layer, and counts hits and misses by key.

Known: Django 4.2 to 6.1 (https://docs.djangoproject.com/en/stable/topics/cache/), with all of its
backends, those of others such as django-redis, and the application's own: each class of backends
is measured when it is there or when a cache of it is made. A cache is named by its alias. What
sessions and templates keep in a cache counts under it.

A stored None, or a value that equals the default, is a hit: Django's `get` is asked with a
default of ours. `get_or_set` is one lookup, and what it calls for the value is its loader. An
error that django-redis is told to ignore makes no miss. What a cache in a database asks is
measured as a database, too.

A class of backends that is not known gets the application's arguments as they are: what its
`get` answers is a hit unless it is the default, or what the class it inherits from has found.
"""

import functools
from collections.abc import Callable, Collection
from importlib import import_module
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.integrations.django_cache_answers import Answers, begun, noting
from perfsdk.integrations.django_cache_lookups import get, get_of_its_own, get_or_set
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Cache, Caches
from perfsdk.wrapping.calls import Args, Find, Inspect, Kwargs, Operation, timed, timed_coroutine
from perfsdk.wrapping.patches import Patches

VERSIONS = ((4, 2), (6, 2))

KNOWN = ("django.core.cache.", "django_redis.")
"""Where classes come from that hand a default on without looking at it."""
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
        self._not_configured = import_module("django.core.exceptions").ImproperlyConfigured

    def patch(self, owner: type) -> None:
        """Patch what the class itself defines."""
        if owner in self._known or self.caches.stopped:
            return
        self._known.add(owner)
        if owner.__module__ == "django_redis.cache":
            errors = import_module("django_redis.exceptions")
            self._patches.replace(errors.ConnectionInterrupted, "__init__", noting)
        is_base = owner is self._module.BaseCache
        is_known = f"{owner.__module__}.".startswith(KNOWN)
        for name, make in self._makes(is_known=is_known).items():
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
        try:
            for alias in handler:
                if getattr(handler._connections, alias, None) is backend:  # noqa: SLF001 - no other way
                    return str(alias)
        except self._not_configured:
            pass  # a cache can be made without any settings
        return type(backend).__name__

    def _makes(self, *, is_known: bool) -> dict[str, Call]:
        """The makers of wrappers, by the names of methods; with an `a` in front they await."""
        answers = self._answers
        if is_known:
            lookup = functools.partial(get, self._timed("get", answers.was_asked))
        else:
            lookup = functools.partial(get_of_its_own, self._timed("get", answers.was_asked_of_own))
        plain: dict[str, Call] = {
            "get": lookup,
            "get_many": functools.partial(self._get_many, "get_many"),
            "get_or_set": functools.partial(get_or_set, self.of, is_known),
            "set": self._timed("set", answers.was_set),
            "add": self._timed("set", answers.was_added),
            "set_many": self._timed("set_many", answers.were_set),
            "incr": self._timed("incr"),
            "decr": self._timed("incr"),
            "touch": self._timed("touch", answers.was_touched),
            "delete": self._timed("delete", answers.was_deleted),
            "delete_many": functools.partial(self._get_many, "delete"),
            "clear": self._timed("clear", answers.was_cleared),
            "has_key": self._timed("other"),
            "incr_version": self._timed("other"),
            "decr_version": self._timed("other"),
        }
        return plain | {f"a{name}": make for name, make in plain.items()}

    def _find(self, name: str) -> Find:
        def find(backend: Any, _args: Args, _kwargs: Kwargs) -> Operation:
            begun(backend)
            return self.of(backend).operation(name)

        return find

    def _timed(self, name: str, inspect: Inspect | None = None) -> Call:
        find = self._find(name)

        def make(wrapped: Call) -> Call:
            timing = timed_coroutine if iscoroutinefunction(wrapped) else timed
            return timing(CACHE, find, inspect)(wrapped)

        return make

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


def _subclasses(owner: type[Any]) -> list[type[Any]]:
    return [found for one in owner.__subclasses__() for found in (one, *_subclasses(one))]
