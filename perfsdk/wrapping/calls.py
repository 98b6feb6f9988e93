"""Wraps a call of a database or cache so that it is timed, counted once and otherwise unchanged."""

import functools
from collections.abc import Awaitable, Callable
from contextvars import Token
from time import perf_counter
from typing import Any, NamedTuple

from perfsdk import guard
from perfsdk.recorder import Histogram, Labels
from perfsdk.request import FOLD_AT, Account, counted, current

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Hook(NamedTuple):
    """What an integration says about one kind of call.

    `describe(instance, args, kwargs)` gives the label values without the last, `error_type`,
    from a bounded set; None when the call is not to be counted. `inspect(instance, args,
    kwargs, result)` sees the result of a call that succeeded. Neither may change anything;
    what they raise is reported and kept from the application.
    """

    component: int
    durations: Histogram
    describe: Callable[[Any, Args, Kwargs], Labels | None]
    inspect: Callable[[Any, Args, Kwargs, Any], None] | None = None


class _Running(NamedTuple):
    labels: Labels
    account: Account | None
    token: Token[int]
    started: float


def timed_method(hook: Hook) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A maker of wrappers for a plain method, for `Patches.replace`."""
    bit = 1 << hook.component

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(wrapped)
        def call(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if counted.get() & bit:
                return wrapped(instance, *args, **kwargs)
            running = _enter(hook, instance, args, kwargs)
            if running is None:
                return wrapped(instance, *args, **kwargs)
            try:
                result = wrapped(instance, *args, **kwargs)
            except BaseException as error:
                _leave(hook, running, type(error).__name__)
                raise
            _leave(hook, running, "")
            if hook.inspect is not None:
                _inspect(hook, instance, args, kwargs, result)
            return result

        return call

    return make


def timed_coroutine_method(
    hook: Hook,
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """The same for an `async def` method: the time ends when the awaited result is there."""
    bit = 1 << hook.component

    def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(wrapped)
        async def call(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if counted.get() & bit:
                return await wrapped(instance, *args, **kwargs)
            running = _enter(hook, instance, args, kwargs)
            if running is None:
                return await wrapped(instance, *args, **kwargs)
            try:
                result = await wrapped(instance, *args, **kwargs)
            except BaseException as error:
                _leave(hook, running, type(error).__name__)
                raise
            _leave(hook, running, "")
            if hook.inspect is not None:
                _inspect(hook, instance, args, kwargs, result)
            return result

        return call

    return make


def _enter(hook: Hook, instance: Any, args: Args, kwargs: Kwargs) -> _Running | None:
    try:
        labels = hook.describe(instance, args, kwargs)
        if labels is None:
            return None
        account = current.get()
        token = counted.set(counted.get() | 1 << hook.component)
        started = perf_counter()
        if account is not None and (events := account.events) is not None:
            events.append((started, hook.component))
        return _Running(labels, account, token, started)
    except Exception:
        guard.failed("calls.enter")
        return None


def _leave(hook: Hook, running: _Running, error_type: str) -> None:
    try:
        ended = perf_counter()
        labels, account, token, started = running
        try:
            counted.reset(token)
        except ValueError:
            # Entered in another context (a generator closed elsewhere): nothing to take back.
            pass
        key = (*labels, error_type)
        hook.durations[key].observe(ended - started)
        if account is not None and (events := account.events) is not None:
            events.append((ended, -hook.component))
            if len(events) >= FOLD_AT:
                account.fold()
    except Exception:
        guard.failed("calls.leave")


def _inspect(hook: Hook, instance: Any, args: Args, kwargs: Kwargs, result: Any) -> None:
    try:
        if hook.inspect is not None:
            hook.inspect(instance, args, kwargs, result)
    except Exception:
        guard.failed("calls.inspect")
