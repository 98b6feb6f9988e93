"""Has objects that cache a function count their lookups, by the code that they have.

Their `__call__` reads the cache from `self`, asks it for a key, and calls the function when the
key is missing. It is made anew from the same code, in which one name is replaced: the cache is
then a `View` of it, which counts. The function is replaced by a `Loader`. What the application
reads, such as the attribute `cache`, is what it was. A wrapper around it all costs twice as much.
"""

import functools
import weakref
from collections.abc import Callable
from operator import getitem
from time import sleep
from types import FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.request import CACHE, counted
from perfsdk.wrapping import lookups
from perfsdk.wrapping.lookups import Name
from perfsdk.wrapping.patches import Patches

BIT = 1 << CACHE

VIEW = "_perfsdk_view"
"""What the code reads in place of the cache."""
KEPT = "_perfsdk_kept"
"""Where a decorated function keeps its view."""

KNOWN = {"cache", "KeyError", "ValueError", "setdefault", "add", "notify_all", "remove", "wait"}
"""What else the code may name: of the cache a view has `setdefault`, the others are not its."""

Call = Callable[..., Any]


class View:
    """A cache as the code of one decorated function sees it: lookups count, all else goes on."""

    # No `__getattr__`: with one, each attribute would take six times as long.
    __slots__ = ("_look_up", "cache", "name")

    def __init__(self, cache: Any, name: Name, look_up: Callable[[Any, Any], Any]) -> None:
        """`look_up(cache, key)` gives a value that is there, or raises KeyError."""
        self.cache = cache
        self.name = name
        self._look_up = look_up

    def __getitem__(self, key: Any) -> Any:
        name = self.name
        try:
            value = self._look_up(self.cache, key)
        except KeyError:
            name.missed()
            raise
        try:
            name.writer.values[name.hit] += 1.0
        except Exception:
            name.found()
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self.cache[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.cache[key]

    def __contains__(self, key: Any) -> bool:
        return key in self.cache

    def setdefault(self, key: Any, value: Any) -> Any:
        """As the cache has it."""
        return self.cache.setdefault(key, value)


class LoadingView(View):
    """The same of a cache that may load by itself, which is a miss; told by `lookups.load`."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return lookups.lookup_call(self.name, getitem, self.cache, key)


class Loader:
    """A function that is timed when a lookup calls it."""

    __slots__ = ("_name", "wrapped")

    def __init__(self, wrapped: Call, name: Name) -> None:
        self.wrapped = wrapped
        self._name = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if counted.get() & BIT:  # an outer layer counts
            return self.wrapped(*args, **kwargs)
        return lookups.load(self._name, None, self.wrapped, args, kwargs)


class Decorated:
    """Decorated functions of one class. `attribute` is where they keep the function.

    `view_of(decorated, cache)` makes a view, for the first call and when the cache is another.
    """

    def __init__(self, attribute: str, view_of: Callable[[Any, Any], View]) -> None:
        self._attribute = attribute
        self._view_of = view_of
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def patch(self, owner: type, patches: Patches) -> None:
        """Measure what is decorated by this class, already or later."""
        patches.replace(owner, "__call__", functools.partial(self._renamed, owner, patches))

    def _renamed(self, owner: type, patches: Patches, wrapped: FunctionType) -> Call:
        """The same function, reading another attribute.

        Raises:
            LookupError: it does not read the cache and the function from `self`.
        """
        code = wrapped.__code__
        others = {name for name in code.co_names if not name.startswith(("_", "cache_"))}
        if not {"cache", self._attribute} <= set(code.co_names) or not others <= KNOWN:
            raise LookupError(f"{wrapped.__qualname__} is made in a way that is not known")
        setattr(owner, VIEW, property(_viewing(self._new_view)))
        patches.on_undo(functools.partial(self._restore, owner))
        renamed = FunctionType(
            code.replace(co_names=tuple(VIEW if n == "cache" else n for n in code.co_names)),
            wrapped.__globals__,
            wrapped.__name__,
            wrapped.__defaults__,
            wrapped.__closure__,
        )
        renamed.__kwdefaults__ = wrapped.__kwdefaults__
        return functools.update_wrapper(renamed, wrapped)

    def _new_view(self, decorated: Any, cache: Any) -> Any:
        try:
            attributes = decorated.__dict__
            view = self._view_of(decorated, cache)
            function = attributes[self._attribute]
            if type(function) is not Loader:
                attributes[self._attribute] = Loader(function, view.name)
            attributes[KEPT] = view
            self._seen.add(decorated)
        except Exception:
            guard.failed("decorated.view")
            return cache
        return view

    def _restore(self, owner: type) -> None:
        # Another thread may be in the code and not have read the attribute yet: let it.
        sleep(0.001)
        delattr(owner, VIEW)
        for decorated in list(self._seen):
            attributes = decorated.__dict__
            attributes.pop(KEPT, None)
            function = attributes[self._attribute]
            if type(function) is Loader:
                attributes[self._attribute] = function.wrapped


def _viewing(new_view: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """What gives the view of a decorated function's cache, made by `new_view` if need be."""

    def view_of(decorated: Any) -> Any:
        cache = decorated.cache
        if counted.get() & BIT:  # an outer layer counts
            return cache
        try:
            view = decorated._perfsdk_kept  # noqa: SLF001 - as `KEPT` says, and twice as fast
        except AttributeError:
            return new_view(decorated, cache)
        # The cache may be another by now, or the view copied with the attributes of another.
        return view if view.cache is cache else new_view(decorated, cache)

    return view_of
