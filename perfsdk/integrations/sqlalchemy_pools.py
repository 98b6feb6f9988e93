"""Reads the pools of SQLAlchemy: connections used and idle, and who waits for one, how long.

Every class of pool is known, those of the application too. A figure is counted from the records
that a pool keeps of its connections, so that it stays right whatever happens to them: a connection
that is detached, invalidated, beyond the size of the pool or lost is neither used nor idle. What
a pool was asked for before `instrument` is seen when it is taken or given back the next time.

A pool bears the name of its engine's database. One that `Engine.dispose` has replaced counts as
long as connections of it are out, but has no maximum any more. The time of use of a connection
that was detached, or never given back, is not known.
"""

import functools
import weakref
from collections.abc import Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.integrations.sqlalchemy_names import pool_of_engine
from perfsdk.recorder import Recorder
from perfsdk.wrapping.calls import Args, Call, Kwargs, Make
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.pools import Pool, Pools, PoolState, waiting

CONNECT = "_ConnectionRecord__connect"
"""The method that opens a connection, whoever asked for it."""

Records = weakref.WeakValueDictionary[int, Any]


def patch(
    module: Any, patches: Patches, recorder: Recorder, meet_dialect: Callable[[Any], None]
) -> None:
    """Measure what takes connections, gives them back and opens them, in all classes of pools.

    `meet_dialect` is given the dialect of an engine before that connects first.
    """
    hooks = Hooks(recorder, module.pool)
    fairy, record = module.pool._ConnectionFairy, module.pool.base._ConnectionRecord  # noqa: SLF001 - pools have no other name for them
    wait = waiting(_asked, (module.exc.TimeoutError,))
    patches.replace(
        module.engine.Engine, "raw_connection", functools.partial(_name, hooks, meet_dialect)
    )
    patches.replace(fairy, "_checkout", functools.partial(_take, hooks, wait))
    patches.replace(record, "checkin", functools.partial(_give, hooks))
    patches.replace(record, CONNECT, functools.partial(_open, hooks))
    patches.on_undo(hooks.stop)


class Known:
    """What is known of one pool, for as long as it lives."""

    __slots__ = ("engine", "pool", "records")

    def __init__(self, pool: Pool, engine: "weakref.ref[Any] | None") -> None:
        self.pool = pool
        self.engine = engine
        self.records: Records = weakref.WeakValueDictionary()


class Hooks:
    """The application's pools and the records of their connections, all weakly referenced."""

    def __init__(self, recorder: Recorder, classes: Any) -> None:
        self._pools = Pools(recorder, self._measure)
        self._classes = classes
        self.known: weakref.WeakKeyDictionary[Any, Known] = weakref.WeakKeyDictionary()

    def meet(self, pool: Any, engine: Any = None) -> Known:
        """What is known of a pool, from now on."""
        known = self.known.get(pool)
        if known is None:
            name = pool.logging_name if engine is None else pool_of_engine(engine)
            reference = None if engine is None else weakref.ref(_own_engine(engine))
            known = Known(self._pools.add(pool, name or "unnamed"), reference)
            for record in _held(pool):
                known.records[id(record)] = record
            known = self.known.setdefault(pool, known)
        return known

    def took(self, record: Any, started: float) -> None:
        """A connection was taken at `started`, on `perf_counter`."""
        if "_perfsdk_taken" not in record.__dict__:
            self.known[_pool_of(record)].records[id(record)] = record
        record._perfsdk_taken = started  # noqa: SLF001 - our own

    def gave(self, record: Any) -> None:
        """A connection comes back. That of a garbage collection may interrupt our own code."""
        known = self.known.get(_pool_of(record))
        if known is None:
            return  # its pool was not asked yet
        taken = record.__dict__.get("_perfsdk_taken")
        if taken is None:
            known.records[id(record)] = record
        elif taken and record.fairy_ref is not None and record.fairy_ref() is not None:
            known.pool.used_for(perf_counter() - taken)
        record._perfsdk_taken = 0.0  # noqa: SLF001 - our own

    def opened(self, record: Any, seconds: float) -> None:
        """A connection was opened."""
        known = self.known.get(_pool_of(record))
        if known is not None:
            known.pool.created_in(seconds)

    def stop(self) -> None:
        """Look at none any more, and leave nothing in the application's records."""
        self._pools.stop()
        for known in list(self.known.values()):
            for reference in known.records.valuerefs():
                record = reference()
                if record is not None:
                    record.__dict__.pop("_perfsdk_taken", None)
        self.known.clear()

    def _measure(self, pool: Any) -> PoolState:
        known = self.known[pool]
        used = idle = 0
        for reference in known.records.valuerefs():
            record = reference()
            if record is not None and record.dbapi_connection is not None:
                if record.fairy_ref is None:
                    idle += 1
                else:
                    used += 1
        if known.engine is not None and getattr(known.engine(), "pool", None) is not pool:
            return PoolState(used, idle)  # nobody will ask it for a connection again
        most, most_idle = self._bounds(pool)
        return PoolState(used, idle, max=most, idle_max=most_idle, pending=_pending(pool))

    def _bounds(self, pool: Any) -> tuple[int | None, int | None]:
        """How many connections there may be, and how many of them idle; None: any number."""
        classes = self._classes
        if isinstance(pool, classes.QueuePool):
            size, more = pool._pool.maxsize, pool._max_overflow  # noqa: SLF001 - no public names
            return (size + more if more >= 0 else None), size or None
        if isinstance(pool, classes.SingletonThreadPool):
            return pool.size, pool.size
        if isinstance(pool, (classes.StaticPool, classes.AssertionPool)):
            return 1, 1
        return None, 0 if isinstance(pool, classes.NullPool) else None


def _asked(_fairy: Any, args: Args, _kwargs: Kwargs) -> Pool:
    pool: Pool = args[0]
    return pool


def _pool_of(record: Any) -> Any:
    return record._ConnectionRecord__pool  # noqa: SLF001 - it has no public name


def _held(pool: Any) -> list[Any]:
    """The records that a pool, used before it was met, has at hand."""
    state = vars(pool)
    queue = _queue(pool)
    records = [*(queue.queue if hasattr(queue, "queue") else getattr(queue, "_queue", ()))]
    records += [*state.get("_all_conns", ()), state.get("connection"), state.get("_conn")]
    return [record for record in records if hasattr(record, "fairy_ref")]


def _pending(pool: Any) -> int | None:
    """How many wait; None where the class of pool does not let anybody wait."""
    queue = _queue(pool)
    waiters = getattr(getattr(queue, "not_empty", queue), "_waiters", None)
    if waiters is None:
        waiters = getattr(queue, "_getters", None)
    return None if waiters is None else len(waiters)


def _queue(pool: Any) -> Any:
    """Of a pool with a queue: SQLAlchemy's own, or asyncio's, None before that is needed first."""
    queue = vars(pool).get("_pool")
    return queue if hasattr(queue, "not_empty") else getattr(queue, "__dict__", {}).get("_queue")


def _own_engine(engine: Any) -> Any:
    """The engine itself where it is one with options of another, which share its pool."""
    while (inner := getattr(engine, "_proxied", None)) is not None:
        engine = inner
    return engine


def _name(hooks: Hooks, meet_dialect: Callable[[Any], None], wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def raw_connection(self: Any) -> Any:
        try:
            if self.pool not in hooks.known:
                meet_dialect(self.dialect)
                hooks.meet(self.pool, self)
        except Exception:
            guard.failed("sqlalchemy.pools.name")
        return wrapped(self)

    return raw_connection


def _take(hooks: Hooks, wait: Make, wrapped: Any) -> Any:
    bare = wrapped.__func__
    # The pool that was met is handed on in front, where `waiting` looks for it.
    waited = wait(lambda _fairy, _known, *args, **kwargs: bare(*args, **kwargs))

    @functools.wraps(bare)
    def checkout(cls: Any, pool: Any, threadconns: Any = None, fairy: Any = None) -> Any:
        if fairy is not None:  # taken already: another part of the thread shares it
            return bare(cls, pool, threadconns, fairy)
        try:
            known = hooks.meet(pool)
        except Exception:
            guard.failed("sqlalchemy.pools.take")
            return bare(cls, pool, threadconns, fairy)
        taken = waited(cls, known.pool, cls, pool, threadconns)
        try:
            hooks.took(taken._connection_record, perf_counter())  # noqa: SLF001 - no public name
        except Exception:
            guard.failed("sqlalchemy.pools.take")
        return taken

    return classmethod(checkout)


def _give(hooks: Hooks, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def checkin(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            hooks.gave(self)
        except Exception:
            guard.failed("sqlalchemy.pools.give")
        return wrapped(self, *args, **kwargs)

    return checkin


def _open(hooks: Hooks, wrapped: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(wrapped)
    def connect(self: Any) -> None:
        started = perf_counter()
        wrapped(self)
        try:
            hooks.opened(self, perf_counter() - started)
        except Exception:
            guard.failed("sqlalchemy.pools.open")

    return connect
