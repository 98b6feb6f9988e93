"""Times a batch as one operation and counts its sets of parameters, whatever they come from."""

import functools
from collections.abc import Awaitable, Callable
from itertools import count
from operator import itemgetter
from typing import Any, cast

from perfsdk import guard
from perfsdk.request import DB, counted
from perfsdk.wrapping.calls import Args, Call, Find, Kwargs, Make, timed, timed_coroutine
from perfsdk.wrapping.statement import Statement

_BIT = 1 << DB
_FIRST = itemgetter(0)


def timed_batch(find: Find, keyword: str) -> Make:
    """A maker of wrappers for `executemany(statement, sets)`.

    `keyword` is the name of the argument that the sets may be given by. Sets that have no
    length are counted while the library takes them.
    """

    def make(wrapped: Call) -> Call:
        measured = timed(DB, find)(wrapped)

        @functools.wraps(wrapped)
        def executemany(*args: Any, **kwargs: Any) -> Any:
            if counted.get() & _BIT:
                return wrapped(*args, **kwargs)
            args, kwargs, number = _watched(args, kwargs, keyword)
            try:
                return measured(*args, **kwargs)
            finally:
                _tell(find, args, kwargs, number)

        return executemany

    return make


def timed_coroutine_batch(find: Find, keyword: str) -> Make:
    """The same for an `async def` method, or one that gives what is to be awaited."""

    def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        measured = timed_coroutine(DB, find)(wrapped)

        @functools.wraps(wrapped)
        async def executemany(*args: Any, **kwargs: Any) -> Any:
            if counted.get() & _BIT:
                return await wrapped(*args, **kwargs)
            args, kwargs, number = _watched(args, kwargs, keyword)
            try:
                return await measured(*args, **kwargs)
            finally:
                _tell(find, args, kwargs, number)

        return executemany

    return make


def _watched(args: Args, kwargs: Kwargs, keyword: str) -> tuple[Args, Kwargs, Callable[[], int]]:
    """The arguments to give on, and what tells afterwards how many sets there were."""
    try:
        if len(args) > 2:
            sets, number = _numbered(args[2])
            return (*args[:2], sets, *args[3:]), kwargs, number
        sets, number = _numbered(kwargs.get(keyword))
        return args, {**kwargs, keyword: sets} if keyword in kwargs else kwargs, number
    except Exception:
        guard.failed("batches.watched")
        return args, kwargs, int


def _numbered(sets: Any) -> tuple[Any, Callable[[], int]]:
    if hasattr(sets, "__len__"):
        return sets, functools.partial(len, sets)
    if not hasattr(sets, "__iter__"):
        return sets, int  # the library says what is wrong with it
    numbers = count()
    # In C, one number for each set that is taken, none for the end.
    return map(_FIRST, zip(sets, numbers, strict=False)), functools.partial(next, numbers)


def _tell(find: Find, args: Args, kwargs: Kwargs, number: Callable[[], int]) -> None:
    try:
        statement = find(args[0], args[1:], kwargs)
        if statement is not None:
            cast("Statement", statement).sent(number())
    except Exception:
        guard.failed("batches.tell")
