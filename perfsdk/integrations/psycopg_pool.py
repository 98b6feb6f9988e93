"""Reads the pools of psycopg 3: connections used and idle, and who waits for one, how long.

Known: psycopg_pool 3.1 to 3.3 (https://www.psycopg.org/psycopg3/docs/api/pool.html), sync and
asyncio, NullConnectionPool included; Django's pool is one of these. What pools do on their own
account (configure, check, reset) is no operation. The first connection of a pool tells its name.
Used are the connections that were taken and live; one that is lost without being given back is
used no more when it is collected.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, NamedTuple

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Kwargs, silent, silent_coroutine
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.pools import (
    Pool,
    Pools,
    PoolState,
    pool_name,
    waiting,
    waiting_coroutine,
)

VERSIONS = ((3, 1), (3, 4))

OWN_ACCOUNT = ("_check_connection", "_reset_connection", "check")

Call = Callable[..., Any]
Coroutine = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure both kinds of pools; null pools inherit from them."""
    hooks = Hooks(recorder)
    timeouts = (module.PoolTimeout,)
    pool, async_pool = module.ConnectionPool, module.AsyncConnectionPool
    for owner, wait, quiet, taken, given, made in (
        (pool, waiting(hooks.find, timeouts), silent(DB), _getconn, _putconn, _connect),
        (
            async_pool,
            waiting_coroutine(hooks.find, timeouts),
            silent_coroutine(DB),
            _getconn_async,
            _putconn_async,
            _connect_async,
        ),
    ):
        patches.replace(owner, "getconn", functools.partial(taken, hooks, wait))
        patches.replace(owner, "putconn", functools.partial(given, hooks))
        patches.replace(owner, "_connect", functools.partial(made, hooks, quiet))
        for name in OWN_ACCOUNT:
            if name in vars(owner):
                patches.replace(owner, name, quiet)
    patches.on_undo(hooks.pools.stop)


class Taken(NamedTuple):
    """A connection that is out of its pool: of which one, and since when on `perf_counter`."""

    pool: "weakref.ref[Any]"
    since: float


class Hooks:
    """What is known of the application's pools."""

    def __init__(self, recorder: Recorder) -> None:
        self.pools = Pools(recorder, self._measure)
        self._taken: weakref.WeakKeyDictionary[Any, Taken] = weakref.WeakKeyDictionary()

    def find(self, pool: Any, _args: Args, _kwargs: Kwargs) -> Pool | None:
        """The pool that is asked for a connection."""
        return self.pools.of(pool)

    def connected(self, pool: Any, connection: Any, seconds: float) -> None:
        """A pool has opened a connection. Never raises."""
        try:
            info = connection.info
            host = info.host
            port = None if host.startswith("/") else info.port
            self.pools.add(pool, pool_name(host, port, info.dbname)).created_in(seconds)
        except Exception:
            guard.failed("psycopg_pool.connected")

    def took(self, pool: Any, connection: Any) -> None:
        """Somebody got a connection. Never raises."""
        try:
            self._taken[connection] = Taken(weakref.ref(pool), perf_counter())
        except Exception:
            guard.failed("psycopg_pool.took")

    def gave(self, pool: Any, connection: Any) -> None:
        """Somebody gives a connection back. Never raises."""
        try:
            taken = self._taken.pop(connection, None)
            known = self.pools.of(pool)
            if taken is not None and known is not None:
                known.used_for(perf_counter() - taken.since)
        except Exception:
            guard.failed("psycopg_pool.gave")

    def _measure(self, pool: Any) -> PoolState:
        used = sum(taken.pool() is pool for taken in list(self._taken.values()))
        # Those that gave up stay there until somebody would have served them.
        queued = list(pool._waiting)  # noqa: SLF001 - get_stats takes the pool's lock
        pending = sum(client.conn is None and client.error is None for client in queued)
        return PoolState(
            used=used,
            idle=len(pool._pool),  # noqa: SLF001 - get_stats takes the pool's lock
            max=pool.max_size or None,
            idle_min=pool.min_size,
            pending=pending,
        )


def _getconn(hooks: Hooks, wait: Callable[[Call], Call], wrapped: Call) -> Call:
    waited = wait(wrapped)

    @functools.wraps(wrapped)
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = waited(self, *args, **kwargs)
        hooks.took(self, connection)
        return connection

    return getconn


def _getconn_async(hooks: Hooks, wait: Callable[[Call], Call], wrapped: Coroutine) -> Coroutine:
    waited = wait(wrapped)

    @functools.wraps(wrapped)
    async def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = await waited(self, *args, **kwargs)
        hooks.took(self, connection)
        return connection

    return getconn


def _putconn(hooks: Hooks, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def putconn(self: Any, conn: Any) -> Any:
        hooks.gave(self, conn)
        return wrapped(self, conn)

    return putconn


def _putconn_async(hooks: Hooks, wrapped: Coroutine) -> Coroutine:
    @functools.wraps(wrapped)
    async def putconn(self: Any, conn: Any) -> Any:
        hooks.gave(self, conn)
        return await wrapped(self, conn)

    return putconn


def _connect(hooks: Hooks, quiet: Callable[[Call], Call], wrapped: Call) -> Call:
    silently = quiet(wrapped)

    @functools.wraps(wrapped)
    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        connection = silently(self, *args, **kwargs)
        hooks.connected(self, connection, perf_counter() - started)
        return connection

    return connect


def _connect_async(hooks: Hooks, quiet: Callable[[Call], Call], wrapped: Coroutine) -> Coroutine:
    silently = quiet(wrapped)

    @functools.wraps(wrapped)
    async def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        connection = await silently(self, *args, **kwargs)
        hooks.connected(self, connection, perf_counter() - started)
        return connection

    return connect
