"""What hurts a request: counted when it ends, each new one logged once with what to do."""

import functools
import inspect
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar, cast

from perfsdk import guard
from perfsdk.catalog import (
    CACHE_FINDING_KINDS,
    CACHE_FINDINGS,
    DB_CLIENT_QUERY_FINDINGS,
    FINDINGS,
)
from perfsdk.recorder import Recorder
from perfsdk.request import Lookups, Queries

F = TypeVar("F", bound=Callable[..., Any])

MAX_KNOWN = 1000
"""Findings that are remembered as logged; of more, none is logged."""
MAX_WAITING = 100
"""Findings that wait to be logged; the oldest give way."""

_KINDS = FINDINGS + CACHE_FINDING_KINDS

ADVICE = {
    "n_plus_one": "it runs again and again with other parameters: load all at once, by a join, "
    "an IN list, or the eager loading of your ORM",
    "duplicate_query": "it runs again and again with the same parameters: keep the first answer",
    "select_star": "name the columns that you use: all of them are read, sent and kept",
    "wide_select": "it selects many columns: load those that you use",
    "unbounded_select": "it returns all rows of a table, and they are many: add WHERE or LIMIT",
    "unfiltered_write": "it changes all rows of a table: add WHERE, or TRUNCATE on purpose",
    "deep_offset": "rows that are skipped are read all the same: page by the last key seen",
    "large_result": "so many rows are kept in memory: page them, or use a server-side cursor",
    "slow": "ask the database for its plan (EXPLAIN); an index may be missing",
    "blocking_in_loop": "a synchronous driver stops every other request of the event loop: use "
    "an asynchronous one, or a thread",
    "stampede": "several load the same key at once: lock the load, or let one refresh it early",
    "get_in_loop": "single keys are asked for one after the other: ask for all at once (MGET, "
    "get_many, a pipeline)",
    "no_ttl": "it stays for ever: give it a time to live, or memory fills up and data gets old",
    "large_value": "a value of more than 100 KiB holds up the server and the network: keep less, "
    "split or compress it",
    "miss_not_filled": "it was missed, then loaded, and not written: the next request pays again",
}
"""What to do about each kind."""


class allow:  # noqa: N801 - it is read as a verb, such as contextlib.suppress
    """Leave kinds of findings out: `with perfsdk.allow("n_plus_one"):`, or `@perfsdk.allow(...)`.

    It holds for the calls inside, also those awaited, and in tasks started there.

    Raises:
        ValueError: there is no such kind, or none is given; the text names all of them.
    """

    def __init__(self, *kinds: str) -> None:
        unknown = sorted(set(kinds) - set(_KINDS))
        if unknown or not kinds:
            what = ", ".join(map(repr, unknown)) or "nothing"
            raise ValueError(f"allow: {what} is not one of {', '.join(_KINDS)}")
        self._kinds = frozenset(kinds)

    def __enter__(self) -> None:
        before = allowed.get()
        _entered.set((*_entered.get(), (self, before)))
        allowed.set(before | self._kinds)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # By value: several tasks may be in one block, and a generator may be entered in another
        # context than it is left in. There is nothing to take back there.
        entered = _entered.get()
        if entered and entered[-1][0] is self:
            _entered.set(entered[:-1])
            allowed.set(entered[-1][1])

    def __call__(self, function: F) -> F:
        """Decorate a function or coroutine function.

        Raises:
            TypeError: it makes a generator, whose code runs after the call.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"allow: {function!r} makes a generator, which runs after the call: put "
                "`with perfsdk.allow(...):` around the loop that runs it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                with allow(*self._kinds):
                    return await function(*args, **kwargs)

            return cast("F", call_async)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with allow(*self._kinds):
                return function(*args, **kwargs)

        return cast("F", call)


allowed: ContextVar[frozenset[str]] = ContextVar("perfsdk_allowed", default=frozenset())
"""Kinds of findings that the running code leaves out."""

_entered: ContextVar[tuple[tuple[allow, frozenset[str]], ...]] = ContextVar(
    "perfsdk_allow_entered", default=()
)
"""The blocks that the running code is in, each with what was allowed before it."""


class Findings:
    """Counts what was found in each request; logs in the sampler's thread, which may block."""

    def __init__(self, recorder: Recorder) -> None:
        self._counter = recorder.counter(DB_CLIENT_QUERY_FINDINGS)
        self._of_caches = recorder.counter(CACHE_FINDINGS)
        self._known: set[tuple[str, str, str]] = set()
        self._waiting: deque[tuple[str, str, str, str]] = deque(maxlen=MAX_WAITING)
        self.tell: Callable[[Any, str, str], None] | None = None
        """Called with statement, kind and route of each; whoever keeps the table of queries."""
        recorder.on_sample(self.sample)

    def record(self, route: str, queries: Queries) -> None:
        """The findings of a request that has ended. Never raises."""
        try:
            for (statement, kind), site in queries.findings.items():
                self._counter.add((kind, route, statement.system))
                if self.tell is not None:
                    self.tell(statement, kind, route)
                if site:  # else it is one of the many of a known one
                    self._tell(kind, route, statement.summary, site)
        except Exception:
            guard.failed("findings.record")

    def record_lookups(self, route: str, lookups: Lookups, queries: Queries | None) -> None:
        """The same of caches; what was missed and not written counts as well. Never raises.

        That is a finding only where the request asked a database something new after the miss:
        so it did load a value. Its line is known from the second time on.
        """
        try:
            for cache in lookups.lasting:
                lookups.findings[cache, "no_ttl"] = lookups.lasting[cache][1]
            for load in lookups.missed.values():
                load.cache.loads.end(load)
                if queries is None or queries.newest < load.started or load.site is None:
                    continue
                load.cache.suspected = True
                lookups.findings.setdefault((load.cache, "miss_not_filled"), load.site)
            for (cache, kind), site in lookups.findings.items():
                system, name = cache.labels
                self._of_caches.add((kind, name))
                if site:
                    self._tell(kind, route, f"{system} cache {name}", site)
        except Exception:
            guard.failed("findings.record_lookups")

    def _tell(self, kind: str, route: str, summary: str, site: str) -> None:
        key = kind, route, summary
        if key not in self._known and len(self._known) < MAX_KNOWN:
            self._known.add(key)
            self._waiting.append((*key, site))

    def sample(self) -> None:
        """Log what is new."""
        while self._waiting:
            kind, route, summary, site = self._waiting.popleft()
            guard.logger.warning(
                "perfsdk: %s in %s, at %s: %s; %s",
                kind,
                route,
                site or "a line that could not be told",
                summary,
                ADVICE[kind],
            )
