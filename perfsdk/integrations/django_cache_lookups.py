"""What looks one key up in Django's caches: `get`, and `get_or_set` with its loader."""

import functools
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from perfsdk import guard
from perfsdk.integrations.django_cache_answers import ABSENT, begun, below, ignored, key_of
from perfsdk.request import CACHE, counted
from perfsdk.wrapping.caches import Cache
from perfsdk.wrapping.calls import Args, Kwargs
from perfsdk.wrapping.read_through import ReadThrough, read_through

BIT = 1 << CACHE

Call = Callable[..., Any]


def get(time: Callable[[Call], Call], wrapped: Call) -> Call:
    """A wrapper of `get(key, default, version)`, asked with a default of ours."""
    measured = time(wrapped)
    if iscoroutinefunction(wrapped):

        @functools.wraps(wrapped)
        async def aget(self: Any, *args: Any, **kwargs: Any) -> Any:
            default, args, kwargs = _with_our_default(args, kwargs)
            return _answer(await measured(self, *args, **kwargs), default)

        return aget

    @functools.wraps(wrapped)
    def get(self: Any, *args: Any, **kwargs: Any) -> Any:
        default, args, kwargs = _with_our_default(args, kwargs)
        return _answer(measured(self, *args, **kwargs), default)

    return get


def get_of_its_own(time: Callable[[Call], Call], wrapped: Call) -> Call:
    """The same for a class that may look at the default: it gets the application's."""
    measured = time(wrapped)
    if iscoroutinefunction(wrapped):

        @functools.wraps(wrapped)
        async def aget(*args: Any, **kwargs: Any) -> Any:
            below.set(None)
            return await measured(*args, **kwargs)

        return aget

    @functools.wraps(wrapped)
    def get(*args: Any, **kwargs: Any) -> Any:
        below.set(None)
        return measured(*args, **kwargs)

    return get


def get_or_set(of: Callable[[Any], Cache], is_known: bool, wrapped: Call) -> Call:
    """A wrapper of `get_or_set(key, default, timeout, version)`: one lookup and its loader."""

    def begin(backend: Any, args: Args, kwargs: Kwargs) -> ReadThrough | None:
        try:
            if not is_known and not callable(_default(args, kwargs)):
                return None  # a value stays one; whatever it asks and sets counts as that
            begun(backend)
            return read_through(of(backend), key_of(args, kwargs))
        except Exception:
            guard.failed("django_cache.get_or_set")
            return None

    if iscoroutinefunction(wrapped):

        @functools.wraps(wrapped)
        async def aget_or_set(backend: Any, *args: Any, **kwargs: Any) -> Any:
            read = begin(backend, args, kwargs)
            if read is None:
                return await wrapped(backend, *args, **kwargs)
            try:
                args, kwargs = _with_a_loader(read, args, kwargs)
                value = await wrapped(backend, *args, **kwargs)
            except BaseException as error:
                read.end(error)
                raise
            read.end(ignored(backend))
            return value

        return aget_or_set

    @functools.wraps(wrapped)
    def get_or_set(backend: Any, *args: Any, **kwargs: Any) -> Any:
        read = begin(backend, args, kwargs)
        if read is None:
            return wrapped(backend, *args, **kwargs)
        try:
            args, kwargs = _with_a_loader(read, args, kwargs)
            value = wrapped(backend, *args, **kwargs)
        except BaseException as error:
            read.end(error)
            raise
        read.end(ignored(backend))
        return value

    return get_or_set


def _with_our_default(args: Args, kwargs: Kwargs) -> tuple[Any, Args, Kwargs]:
    """The application's default, and the arguments with ours in its place."""
    if len(args) > 1:
        return args[1], (args[0], ABSENT, *args[2:]), kwargs
    return kwargs.get("default"), args, {**kwargs, "default": ABSENT}


def _answer(value: Any, default: Any) -> Any:
    """What the application gets; a layer above, which counts, learns what was found."""
    if counted.get() & BIT:
        below.set(value is not ABSENT)
    return default if value is ABSENT else value


def _default(args: Args, kwargs: Kwargs) -> Any:
    return args[1] if len(args) > 1 else kwargs.get("default")


def _with_a_loader(read: ReadThrough, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments with what tells us that a value is needed in place of the default."""
    default = _default(args, kwargs)
    loader = read.loading(default) if callable(default) else _at_hand(read, default)
    if len(args) > 1:
        return (args[0], loader, *args[2:]), kwargs
    return args, {**kwargs, "default": loader} if "default" in kwargs else kwargs


def _at_hand(read: ReadThrough, value: Any) -> Callable[[], Any]:
    def give() -> Any:
        read.missed()
        return value

    return give
