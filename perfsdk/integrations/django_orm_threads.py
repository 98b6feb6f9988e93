"""Lets findings tell the line that awaits a query which Django executes in a thread.

`await Model.objects.aget(...)` executes it by `asgiref.sync.sync_to_async`: in the thread there
are only frames of libraries.
"""

import asyncio
import functools
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from types import CodeType
from typing import Any

from perfsdk.call_site import Waiting, waiting
from perfsdk.wrapping.patches import Patches

Coroutine = Callable[..., Awaitable[Any]]


def patch(patches: Patches) -> None:
    """Have each call in a thread know the task that waits for it."""
    calls = import_module("asgiref.sync").SyncToAsync
    in_thread = calls.thread_handler.__code__
    patches.replace(calls, "__call__", functools.partial(_call, in_thread))


def _call(in_thread: CodeType, wrapped: Coroutine) -> Coroutine:
    @functools.wraps(wrapped)
    async def __call__(*args: Any, **kwargs: Any) -> Any:  # noqa: N807 - put into a class
        task = asyncio.current_task()
        # The context is copied, and may live long: it must not keep the task.
        awaited = None if task is None else Waiting(weakref.ref(task), in_thread)
        token = waiting.set(awaited)
        try:
            return await wrapped(*args, **kwargs)
        finally:
            with suppress(ValueError):  # closed in another context
                waiting.reset(token)

    return __call__
