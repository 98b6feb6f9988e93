"""Reads the pools of aiomysql: connections used and idle, and who waits for one, how long.

Known: aiomysql 0.1 to 0.3 (https://aiomysql.readthedocs.io). A pool bears the name that it
connects to. A connection that a pool closed meanwhile, and one that was terminated, is neither
used nor idle.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.wrapping.calls import Args, Kwargs
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.pools import Pool, Pools, PoolState, pool_name, waiting_coroutine

VERSIONS = ((0, 1), (0, 4))

PORT = 3306
"""That of a server when none is given."""


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure how connections are taken and given back, and how pools open them."""
    hooks = PoolHooks(recorder)
    acquire = waiting_coroutine(hooks.find, ())  # a pool gives up on nobody by itself
    patches.replace(module.Pool, "_acquire", functools.partial(_take, hooks, acquire))
    patches.replace(module.Pool, "release", functools.partial(_give, hooks))
    patches.replace(module, "connect", functools.partial(_open, hooks))
    patches.on_undo(hooks.pools.stop)


class PoolHooks:
    """What is known of the application's pools, and when their connections were taken."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.pools = Pools(recorder, _measure)
        self.taken: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def find(self, pool: Any, _args: Args, _kwargs: Kwargs) -> Pool:
        """The pool that is asked for a connection."""
        return self.pools.of(pool) or self.pools.add(pool, _name(pool._conn_kwargs))  # noqa: SLF001 - it has no public name

    def opened(self, arguments: Kwargs, seconds: float) -> None:
        """A pool has opened a connection; it has no other sign of itself than its arguments."""
        Pool(self._recorder, _name(arguments)).created_in(seconds)


def _take(hooks: PoolHooks, wait: Any, wrapped: Callable[..., Awaitable[Any]]) -> Any:
    waited = wait(wrapped)

    @functools.wraps(wrapped)
    async def acquire(self: Any) -> Any:
        connection = await waited(self)
        hooks.taken[connection] = perf_counter()
        return connection

    return acquire


def _give(hooks: PoolHooks, wrapped: Callable[..., Any]) -> Any:
    @functools.wraps(wrapped)
    def release(self: Any, conn: Any) -> Any:
        result = wrapped(self, conn)
        try:
            since = hooks.taken.pop(conn, None)
            if since is not None:
                hooks.find(self, (), {}).used_for(perf_counter() - since)
        except Exception:
            guard.failed("aiomysql.release")
        return result

    return release


def _open(hooks: PoolHooks, wrapped: Callable[..., Any]) -> Any:
    """The `connect` that only pools call: what applications call bears another module's name."""

    @functools.wraps(wrapped)
    def connect(*args: Any, **kwargs: Any) -> Any:
        return _timed(hooks, wrapped(*args, **kwargs), kwargs)

    return connect


async def _timed(hooks: PoolHooks, opening: Awaitable[Any], arguments: Kwargs) -> Any:
    started = perf_counter()
    connection = await opening
    try:
        hooks.opened(arguments, perf_counter() - started)
    except Exception:
        guard.failed("aiomysql.open")
    return connection


def _name(arguments: Kwargs) -> str:
    host = arguments.get("unix_socket") or arguments.get("host") or "localhost"
    return pool_name(host, arguments.get("port") or PORT, arguments.get("db") or "")


def _measure(pool: Any) -> PoolState:
    # Tasks that wait; asyncio keeps them for its conditions.
    waiters = len(pool._cond._waiters)  # noqa: SLF001 - they have no public names
    return PoolState(
        len(pool._used),  # noqa: SLF001 - likewise
        pool.freesize,
        pool.maxsize,
        idle_min=pool.minsize,
        pending=waiters,
    )
