"""Wraps a call of a database or cache so that it is timed, counted once and otherwise unchanged."""

import functools
from collections.abc import Awaitable, Callable
from contextvars import Token
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Histogram, Labels
from perfsdk.request import FOLD_AT, Account, counted, current
from perfsdk.store.writer import SCRATCH

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Call = Callable[..., Any]
Make = Callable[[Call], Call]


class Operation:
    """One kind of call and the series of its successes: made once, used for every call.

    `labels` are the label values without the last, `error_type`. A leaf calls nothing below it
    that is measured too, but for callbacks of the application: it does not silence what is
    below, which is a quarter of the cost. Awaited calls silence it always.
    """

    __slots__ = ("component", "durations", "is_leaf", "labels", "successes")

    def __init__(
        self, component: int, durations: Histogram, labels: Labels, *, is_leaf: bool = False
    ) -> None:
        self.component = component
        self.durations = durations
        self.labels = labels
        self.is_leaf = is_leaf
        key = (*labels, "")
        self.successes = durations[key]

    @property
    def is_lasting(self) -> bool:
        """Whether it may be kept: its series has cells. Without room, that may change."""
        return bool(self.successes.base != SCRATCH)

    def end(
        self,
        account: Account | None,
        started: float,
        _args: Args,
        _kwargs: Kwargs,
        _result: Any,
        error: BaseException | None,
    ) -> None:
        """Record a call that began at `started` and ends now. Never raises."""
        ended = perf_counter()
        try:
            if error is None:
                self.successes.observe(ended - started)
            else:
                key = (*self.labels, type(error).__name__)
                self.durations[key].observe(ended - started)
            if account is not None and (events := account.events) is not None:
                events.append((ended, -self.component))
                if len(events) >= FOLD_AT:
                    account.fold()
        except Exception:
            guard.failed("calls.end")


Find = Callable[[Any, Args, Kwargs], Operation | None]
"""Gives the operation of a call by instance, args and kwargs; None when it is not counted."""

Inspect = Callable[[Any, Args, Kwargs, Any], None]


def timed(
    component: int, find: Find, inspect: Inspect | None = None, *, is_leaf: bool = False
) -> Make:
    """A maker of wrappers for a plain method; `find` is called once for each call.

    `is_leaf` says of all its operations what `Operation.is_leaf` says of one.
    """
    bit = 1 << component

    def make(wrapped: Call) -> Call:
        # No `instance` of its own: to put it before the others again costs 0.1 us.
        @functools.wraps(wrapped)
        def call(*args: Any, **kwargs: Any) -> Any:
            outer = counted.get()
            if outer & bit:
                return wrapped(*args, **kwargs)
            try:
                operation = find(args[0], args[1:], kwargs)
            except Exception:
                guard.failed("calls.find")
                return wrapped(*args, **kwargs)
            if operation is None:
                return wrapped(*args, **kwargs)
            account = current.get()
            silences = not (is_leaf or operation.is_leaf)
            if silences:
                # Without a token: this frame enters and leaves in one context.
                counted.set(outer | bit)
            started = perf_counter()
            if account is not None and (events := account.events) is not None:
                events.append((started, component))
            try:
                result = wrapped(*args, **kwargs) if kwargs else wrapped(*args)
            except BaseException as error:
                if silences:
                    counted.set(outer)
                operation.end(account, started, args, kwargs, None, error)
                raise
            if silences:
                counted.set(outer)
            operation.end(account, started, args, kwargs, result, None)
            if inspect is not None:
                _inspect(inspect, args, kwargs, result)
            return result

        return call

    return make


def timed_coroutine(component: int, find: Find, inspect: Inspect | None = None) -> Make:
    """The same for an `async def` method: the time ends when the awaited result is there."""
    bit = 1 << component

    def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(wrapped)
        async def call(*args: Any, **kwargs: Any) -> Any:
            outer = counted.get()
            if outer & bit:
                return await wrapped(*args, **kwargs)
            try:
                operation = find(args[0], args[1:], kwargs)
            except Exception:
                guard.failed("calls.find")
                return await wrapped(*args, **kwargs)
            if operation is None:
                return await wrapped(*args, **kwargs)
            account = current.get()
            token = counted.set(outer | bit)
            started = perf_counter()
            if account is not None and (events := account.events) is not None:
                events.append((started, component))
            try:
                result = await wrapped(*args, **kwargs)
            except BaseException as error:
                leave_layer(token)
                operation.end(account, started, args, kwargs, None, error)
                raise
            leave_layer(token)
            operation.end(account, started, args, kwargs, result, None)
            if inspect is not None:
                _inspect(inspect, args, kwargs, result)
            return result

        return call

    return make


def begin(component: int) -> tuple[Account | None, float]:
    """The account of the request, in which a call begins, and when; for `Operation.end`.

    What a wrapper that is not `timed` calls: one around a block, or inside a generator.
    """
    account, started = current.get(), perf_counter()
    if account is not None and (events := account.events) is not None:
        events.append((started, component))
    return account, started


def silent(component: int) -> Make:
    """A maker of wrappers for what a library does on its own account: nothing in it counts."""
    bit = 1 << component

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def call(*args: Any, **kwargs: Any) -> Any:
            outer = counted.get()
            counted.set(outer | bit)
            try:
                return wrapped(*args, **kwargs)
            finally:
                counted.set(outer)

        return call

    return make


def silent_coroutine(component: int) -> Make:
    """The same for an `async def` method."""
    bit = 1 << component

    def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(wrapped)
        async def call(*args: Any, **kwargs: Any) -> Any:
            token = counted.set(counted.get() | bit)
            try:
                return await wrapped(*args, **kwargs)
            finally:
                leave_layer(token)

        return call

    return make


def leave_layer(token: Token[int]) -> None:
    """Have the layers below count again."""
    try:
        counted.reset(token)
    except ValueError:
        pass  # entered in another context (a generator closed elsewhere): nothing to take back


def _inspect(inspect: Inspect, args: Args, kwargs: Kwargs, result: Any) -> None:
    try:
        inspect(args[0], args[1:], kwargs, result)
    except Exception:
        guard.failed("calls.inspect")
