"""Pools of connections: read by the sampler, so that a figure is a state and cannot drift."""

import functools
import weakref
from collections.abc import Awaitable, Callable
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple

from perfsdk import catalog, guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB, FOLD_AT, POOL_WAIT, counted
from perfsdk.wrapping.calls import Args, Call, Kwargs, Make, begin, leave_layer

MAX_POOLS = 1000
"""Pools that are looked at; more are left out."""


class PoolState(NamedTuple):
    """A pool at one moment; None: the library cannot tell."""

    used: int
    idle: int
    max: int | None = None
    idle_max: int | None = None
    idle_min: int | None = None
    pending: int | None = None


GAUGES = (
    (catalog.DB_CLIENT_CONNECTIONS, ("used",)),
    (catalog.DB_CLIENT_CONNECTIONS, ("idle",)),
    (catalog.DB_CLIENT_CONNECTION_MAX, ()),
    (catalog.DB_CLIENT_CONNECTION_IDLE_MAX, ()),
    (catalog.DB_CLIENT_CONNECTION_IDLE_MIN, ()),
    (catalog.DB_CLIENT_CONNECTION_PENDING, ()),
)
"""Where the fields of a `PoolState` go, in their order: the metric, and labels after the name."""


class Pool:
    """One pool, or several of one name, in the series that bear it."""

    __slots__ = ("_creates", "_timeouts", "_uses", "_waits", "name")

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.name = name
        self._waits = recorder.histogram(catalog.DB_CLIENT_CONNECTION_WAIT_TIME)
        self._uses = recorder.histogram(catalog.DB_CLIENT_CONNECTION_USE_TIME)
        self._creates = recorder.histogram(catalog.DB_CLIENT_CONNECTION_CREATE_TIME)
        self._timeouts = recorder.counter(catalog.DB_CLIENT_CONNECTION_TIMEOUTS)

    def waited(self, seconds: float) -> None:
        """It took so long to get a connection. Never raises."""
        self._waits.observe((self.name,), seconds)

    def used_for(self, seconds: float) -> None:
        """A connection that was taken so long ago came back. Never raises."""
        self._uses.observe((self.name,), seconds)

    def created_in(self, seconds: float) -> None:
        """It took so long to open a connection. Never raises."""
        self._creates.observe((self.name,), seconds)

    def timed_out(self) -> None:
        """Somebody gave up waiting. Never raises."""
        self._timeouts.add((self.name,))


FindPool = Callable[[Any, Args, Kwargs], Pool | None]
"""Gives the pool of a call by instance, args and kwargs; None when it is not to be measured. It is
asked when the call is over: the first connection may tell which pool that was."""


class Pools:
    """The pools of one library, by weak references: none is kept alive.

    `measure(pool)` runs in the sampler's thread: it reads attributes, and takes no lock of the
    library. Negative figures, which a moment between two changes could show, become 0.
    """

    def __init__(self, recorder: Recorder, measure: Callable[[Any], PoolState]) -> None:
        self._recorder = recorder
        self._measure = measure
        self._known: dict[int, tuple[weakref.ref[Any], Pool]] = {}
        self._shown: dict[tuple[int, str], float] = {}
        self._stop = recorder.on_sample(self.sample)

    def add(self, pool: Any, name: str) -> Pool:
        """Look at a pool from now on, until it is no more; the same again changes nothing."""
        number, known = id(pool), self._known
        entry = known.get(number)
        if entry is not None and entry[0]() is pool:
            return entry[1]
        made = Pool(self._recorder, name)
        if len(known) < MAX_POOLS:
            known[number] = weakref.ref(pool, lambda _: known.pop(number, None)), made
        return made

    def of(self, pool: Any) -> Pool | None:
        """What was added for a pool."""
        entry = self._known.get(id(pool))
        return entry[1] if entry is not None and entry[0]() is pool else None

    def sample(self) -> None:
        """Write the sums for each name; those of a name without pools are 0."""
        sums: dict[tuple[int, str], float] = dict.fromkeys(self._shown, 0.0)
        for reference, pool in list(self._known.values()):
            alive = reference()
            if alive is None:
                continue
            try:
                state = self._measure(alive)
            except Exception:
                guard.failed("pools.measure")
                continue
            for field, figure in enumerate(state):
                if figure is not None:
                    key = field, pool.name
                    sums[key] = sums.get(key, 0.0) + max(0, figure)
        self._shown = sums
        for (field, name), total in sums.items():
            metric, labels = GAUGES[field]
            self._recorder.gauge(metric).set((name, *labels), total)

    def stop(self) -> None:
        """Look at none any more; what they showed becomes 0."""
        self._known.clear()
        self.sample()
        self._stop()


def waiting(find_pool: FindPool, timeouts: tuple[type[BaseException], ...]) -> Make:
    """A maker of wrappers for the method that takes a connection out of a pool.

    Its time is the wait time, and the request's component `pool_wait`. What happens inside,
    such as setting up a connection or a ping, is no operation of the application.
    """

    def make(wrapped: Call) -> Call:
        @functools.wraps(wrapped)
        def call(*args: Any, **kwargs: Any) -> Any:
            with _Waiting(find_pool, args, kwargs, timeouts):
                return wrapped(*args, **kwargs)

        return call

    return make


def waiting_coroutine(find_pool: FindPool, timeouts: tuple[type[BaseException], ...]) -> Make:
    """The same for an `async def` method."""

    def make(wrapped: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(wrapped)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with _Waiting(find_pool, args, kwargs, timeouts):
                return await wrapped(*args, **kwargs)

        return call

    return make


class _Waiting:
    """The block in which somebody waits for a connection."""

    __slots__ = ("_account", "_args", "_find", "_kwargs", "_started", "_timeouts", "_token")

    def __init__(
        self,
        find: FindPool,
        args: Args,
        kwargs: Kwargs,
        timeouts: tuple[type[BaseException], ...],
    ) -> None:
        self._find = find
        self._args = args
        self._kwargs = kwargs
        self._timeouts = timeouts

    def __enter__(self) -> None:
        self._token = counted.set(counted.get() | _BIT)
        self._account, self._started = begin(POOL_WAIT)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave_layer(self._token)
        ended = perf_counter()
        try:
            account = self._account
            if account is not None and (events := account.events) is not None:
                events.append((ended, -POOL_WAIT))
                if len(events) >= FOLD_AT:
                    account.fold()
            pool = self._find(self._args[0], self._args[1:], self._kwargs)
            if pool is None:
                return
            if isinstance(error, self._timeouts):
                pool.timed_out()
            else:
                pool.waited(ended - self._started)
        except Exception:
            guard.failed("pools.end")


def pool_name(host: object, port: object, namespace: object) -> str:
    """`127.0.0.1:5432/shop`, `/run/postgresql/shop`, `shop.db`: never a user or a password."""
    where = f"{host}" if host else ""
    if where and port and not where.startswith("/"):
        where = f"{where}:{port}"
    return f"{where}/{namespace}" if where else str(namespace or "")


_BIT = 1 << DB
