"""Reads the pools of asyncpg: connections used and idle, and who waits for one, how long.

Known: asyncpg 0.28 to 0.32 (https://magicstack.github.io/asyncpg/current/). The first connection
of a pool tells its name: until there was one, who gives up is not counted. What sets up
a connection is no operation. One that is closed by whoever took it is given back at that moment.
"""

import asyncio
import functools
import weakref
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Kwargs, silent_coroutine
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.pools import Pool, Pools, PoolState, pool_name, waiting_coroutine

VERSIONS = ((0, 28), (0, 33))

Call = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure pools and the holders of their connections."""
    hooks = PoolHooks(recorder)
    patches.replace(module.Pool, "_acquire", waiting_coroutine(hooks.find, (asyncio.TimeoutError,)))
    holder = module.PoolConnectionHolder
    patches.replace(holder, "connect", functools.partial(_connect, hooks))
    patches.replace(holder, "acquire", functools.partial(_acquire, hooks))
    patches.replace(holder, "_release", functools.partial(_release, hooks))
    patches.on_undo(hooks.pools.stop)


class PoolHooks:
    """What is known of the application's pools."""

    def __init__(self, recorder: Recorder) -> None:
        self.pools = Pools(recorder, _measure)
        self.taken: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def find(self, pool: Any, _args: Args, _kwargs: Kwargs) -> Pool | None:
        """The pool that is asked for a connection."""
        return self.of(pool)

    def of(self, pool: Any) -> Pool | None:
        """What is known of a pool. It cannot be weakly referenced; its connections' holders can."""
        holders = pool._holders  # noqa: SLF001 - it has no public name
        return self.pools.of(holders[0]) if holders else None

    def connected(self, holder: Any, seconds: float) -> None:
        """A pool has opened a connection."""
        connection, pool = holder._con, holder._pool  # noqa: SLF001 - they have no public names
        address = connection._addr  # noqa: SLF001 - likewise
        host, port = address if isinstance(address, tuple) else (address.rpartition("/")[0], None)
        name = pool_name(host, port, connection._params.database)  # noqa: SLF001 - likewise
        self.pools.add(pool._holders[0], name).created_in(seconds)  # noqa: SLF001 - likewise

    def released(self, holder: Any) -> None:
        """A connection came back."""
        since = self.taken.pop(holder, None)
        pool = self.of(holder._pool)  # noqa: SLF001 - it has no public name
        if since is not None and pool is not None:
            pool.used_for(perf_counter() - since)


def _connect(hooks: PoolHooks, wrapped: Call) -> Call:
    silently = silent_coroutine(DB)(wrapped)

    @functools.wraps(wrapped)
    async def connect(self: Any) -> Any:
        started = perf_counter()
        result = await silently(self)
        try:
            hooks.connected(self, perf_counter() - started)
        except Exception:
            guard.failed("asyncpg.connected")
        return result

    return connect


def _acquire(hooks: PoolHooks, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    async def acquire(self: Any) -> Any:
        result = await wrapped(self)
        hooks.taken[self] = perf_counter()
        return result

    return acquire


def _release(hooks: PoolHooks, wrapped: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(wrapped)
    def release(self: Any) -> Any:
        result = wrapped(self)
        try:
            hooks.released(self)
        except Exception:
            guard.failed("asyncpg.released")
        return result

    return release


def _measure(first: Any) -> PoolState:
    pool = first._pool  # noqa: SLF001 - it has no public name
    used = idle = 0
    for holder in pool._holders:  # noqa: SLF001 - get_size and get_idle_size count for others
        if holder._in_use is not None:  # noqa: SLF001 - likewise
            used += 1
        elif holder.is_connected():
            idle += 1
    # Tasks that wait for a holder; asyncio keeps them for its queues.
    queue = pool._queue  # noqa: SLF001 - likewise
    pending = len(getattr(queue, "_getters", ())) if queue is not None else 0
    return PoolState(used, idle, pool.get_max_size(), idle_min=pool.get_min_size(), pending=pending)
