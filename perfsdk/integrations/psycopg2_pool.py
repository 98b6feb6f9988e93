"""Measures the pools of psycopg2.pool: connections used and idle, waits, uses and creations.

Known: psycopg2 2.9 (https://www.psycopg.org/docs/pool.html). These pools never wait for
a connection to come back: the wait time is that of a lock and of new connections, and what is
counted as a timeout is an exhausted pool. They keep at most `minconn` idle connections. Pools
made before are looked at from their next `getconn` on. The name is the address and the database
of the first connection, or what the pool was given when it opens none at once.

Entry points are `getconn` and `putconn` of the library's own classes and, for those that the
application makes of `AbstractConnectionPool`, whatever of these they inherit.
"""

import functools
import weakref
from importlib import import_module
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Call, Kwargs, silent
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.pools import Pool, Pools, PoolState, pool_name, waiting

VERSIONS = ((2, 9), (2, 10))

NO_ADDRESS = {"dsn", "connection_factory", "cursor_factory", "async", "async_"}
"""What `psycopg2.connect` takes besides the parts of an address."""


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the pools that are there, once they are used, and those to come."""
    watch = Watch(Pools(recorder, _measure), import_module("psycopg2.extensions"))
    wait = waiting(watch.find_open, (module.PoolError,))
    abstract = module.AbstractConnectionPool
    patches.replace(abstract, "__init__", watch.made)
    patches.replace(abstract, "_connect", watch.created)
    for owner in list(vars(module).values()):
        if isinstance(owner, type) and issubclass(owner, abstract):
            if "getconn" in vars(owner):
                patches.replace(owner, "getconn", lambda wrapped: watch.taken(wait(wrapped)))
            if "putconn" in vars(owner):
                patches.replace(owner, "putconn", watch.returned)
    patches.on_undo(watch.pools.stop)


class Watch:
    """The pools, and since when their connections are used."""

    def __init__(self, pools: Pools, extensions: Any) -> None:
        self.pools = pools
        self._extensions = extensions
        self._since: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()

    def find(self, pool: Any) -> Pool:
        """What measures a pool, from now on if it is new."""
        return self.pools.of(pool) or self.pools.add(pool, self._name(pool))

    def find_open(self, pool: Any, _args: Args, _kwargs: Kwargs) -> Pool | None:
        """The same for one that may give connections."""
        return None if pool.closed else self.find(pool)

    def made(self, wrapped: Call) -> Call:
        """Look at a pool as soon as it is there."""

        @functools.wraps(wrapped)
        def __init__(pool: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - put into a class
            wrapped(pool, *args, **kwargs)
            try:
                self.find(pool)
            except Exception:
                guard.failed("psycopg2_pool.made")

        return __init__

    def created(self, wrapped: Call) -> Call:
        """Time the opening of a connection; what its class executes then is set-up."""
        connect = silent(DB)(wrapped)

        @functools.wraps(wrapped)
        def _connect(pool: Any, /, *args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            connection = connect(pool, *args, **kwargs)
            seconds = perf_counter() - started
            try:
                self.find(pool).created_in(seconds)
            except Exception:
                guard.failed("psycopg2_pool.created")
            return connection

        return _connect

    def taken(self, wrapped: Call) -> Call:
        """Remember since when a connection is used."""

        @functools.wraps(wrapped)
        def getconn(pool: Any, /, *args: Any, **kwargs: Any) -> Any:
            connection = wrapped(pool, *args, **kwargs)
            try:
                # By its key, a connection may be taken again while it is used.
                self._since.setdefault(connection, perf_counter())
            except Exception:
                guard.failed("psycopg2_pool.taken")
            return connection

        return getconn

    def returned(self, wrapped: Call) -> Call:
        """Time the use of a connection that comes back."""

        @functools.wraps(wrapped)
        def putconn(pool: Any, /, *args: Any, **kwargs: Any) -> Any:
            connection = args[0] if args else kwargs.get("conn")
            # Before it is back, since somebody else may take it at once.
            since = self._ended(connection)
            try:
                result = wrapped(pool, *args, **kwargs)
            except BaseException:
                if since is not None:
                    self._since.setdefault(connection, since)  # it is used still
                raise
            try:
                if since is not None:
                    self.find(pool).used_for(perf_counter() - since)
            except Exception:
                guard.failed("psycopg2_pool.returned")
            return result

        return putconn

    def _ended(self, connection: Any) -> float | None:
        """Since when a connection was used; it is used no more."""
        try:
            return None if connection is None else self._since.pop(connection, None)
        except Exception:
            guard.failed("psycopg2_pool.ended")
            return None

    def _name(self, pool: Any) -> str:
        """That of the server as a connection knows it, else as the pool was told; nobody asks."""
        for connection in pool._pool + list(pool._used.values()):  # noqa: SLF001 - no other way
            if not connection.closed:
                info = connection.info
                return pool_name(info.host, info.port, info.dbname)
        args, kwargs = pool._args, pool._kwargs  # noqa: SLF001 - likewise
        dsn = args[0] if args else kwargs.get("dsn")
        given = {name: value for name, value in kwargs.items() if name not in NO_ADDRESS}
        told = self._extensions.parse_dsn(self._extensions.make_dsn(dsn, **given))
        return pool_name(*map(told.get, ("host", "port", "dbname"))) or "psycopg2"


def _measure(pool: Any) -> PoolState:
    if pool.closed:
        return PoolState(0, 0, 0, 0)  # it still lists what it has closed
    return PoolState(
        used=len(pool._used),  # noqa: SLF001 - no other way
        idle=len(pool._pool),  # noqa: SLF001 - likewise
        max=pool.maxconn,
        idle_max=pool.minconn,
    )
