"""The statements that cost most, written into bounded counters which no page of metrics shows."""

import heapq
from collections.abc import Callable, Iterable
from typing import Protocol

from perfsdk import guard
from perfsdk.catalog import (
    MAX_QUERIES,
    OVERFLOW,
    QUERY_CALLS,
    QUERY_ERRORS,
    QUERY_FINDINGS,
    QUERY_PARAMETER_SETS,
    QUERY_ROWS,
    QUERY_SECONDS,
)
from perfsdk.recorder import Recorder
from perfsdk.store.fork import ForkLock

TOP = 100
"""A statement gets series of its own when it is among so many with the most seconds."""
MAX_ADMITTED = MAX_QUERIES - 10
"""Those with series of their own; the rest is for the overflow of each kind of database."""

Key = tuple[str, str, str, str]
"""System, namespace, summary and call site: what tells the rows of the table apart."""


class Asked(Protocol):
    """What says which row of the table a statement belongs to."""

    @property
    def system(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def call_site(self) -> str: ...


class Counted(Asked, Protocol):
    """A statement and its totals, which only grow; `rows` are those returned."""

    @property
    def calls(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def errors(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def parameter_sets(self) -> int: ...


Figures = tuple[float, float, float, float, float]
"""Calls, seconds, errors, rows and sets of parameters."""

_NOTHING: Figures = (0.0, 0.0, 0.0, 0.0, 0.0)


class _Known:
    """A statement and its figures: at the start of this process, when last counted, and now."""

    __slots__ = ("counted", "key", "now", "start", "statement")

    def __init__(self, statement: Counted) -> None:
        self.statement = statement
        self.key = _key(statement)
        self.start = self.counted = self.now = _NOTHING

    def read(self) -> bool:
        """Whether it has cost anything since it was counted."""
        of = self.statement
        self.now = (of.calls, of.seconds, of.errors, of.rows, of.parameter_sets)
        return self.now != self.counted


class QueryTable:
    """Adds, at every sample, what the statements of `source` cost since the last one.

    A statement that has a row has its exact totals, those from before it got one included. All
    others of a kind of database are one row, `<overflow>`. What a statement had cost when it left
    that for a row of its own stays in there until as much has come from others, since a counter
    cannot go down. A statement that `source` gives no more counts up to then.

    Threads: `sample` may be called by any, others may go on with the statements. A fork waits for
    a sample that runs; the child writes what its own statements cost from then on.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.source: Callable[[], Iterable[Counted]] = lambda: ()
        """Gives the statements; whoever has them puts it here."""
        metrics = (QUERY_CALLS, QUERY_SECONDS, QUERY_ERRORS, QUERY_ROWS, QUERY_PARAMETER_SETS)
        self._counters = [recorder.counter(metric) for metric in metrics]
        self._findings = recorder.counter(QUERY_FINDINGS)
        self._known: dict[int, _Known] = {}
        self._admitted: set[Key] = set()
        self._others: dict[str, Figures] = {}
        """What statements without a row have cost, by the kind of database."""
        self._written: dict[str, Figures] = {}
        """What was written of that; it may be more."""
        self._lock = ForkLock(self._start_in_child)
        recorder.on_sample(self.sample)

    def found(self, statement: Asked, kind: str, http_route: str) -> None:
        """Count a request of that route in which the statement was found to hurt."""
        self._findings.add((*_key(statement), kind, http_route))

    def sample(self) -> None:
        """Write what the statements have cost since the last sample."""
        with self._lock.held:
            gone = self._learn()
            changed = [known for known in self._known.values() if known.read()]
            if changed:
                changed += self._admit()
            for known in changed:
                more = _difference(known.now, known.counted)
                known.counted = known.now
                if known.key in self._admitted:
                    self._write(known.key, more)
                else:
                    system = known.key[0]
                    self._others[system] = _sum(self._others.get(system, _NOTHING), more)
            for system, total in self._others.items():
                written = self._written.get(system, _NOTHING)
                more = _difference(total, written)
                self._write((system, "", OVERFLOW, ""), more)
                self._written[system] = _sum(written, more)
            for known in gone:
                del self._known[id(known.statement)]

    def _learn(self) -> list[_Known]:
        """Take in new statements; returned are those that are given no more."""
        given = set()
        for statement in self.source():
            given.add(id(statement))
            if id(statement) not in self._known:
                # It is kept, so the id is never another one's.
                self._known[id(statement)] = _Known(statement)
        return [known for known in self._known.values() if id(known.statement) not in given]

    def _admit(self) -> list[_Known]:
        """Give rows to those with the most seconds; returned are statements to count anew."""
        room = MAX_ADMITTED - len(self._admitted)
        if room <= 0:
            return []
        seconds: dict[Key, float] = {}
        for known in self._known.values():
            if known.now[0] > known.start[0]:
                cost = known.now[1] - known.start[1]
                seconds[known.key] = seconds.get(known.key, 0.0) + cost
        top = heapq.nlargest(TOP, seconds, key=seconds.__getitem__)
        new = set([key for key in top if key not in self._admitted][:room])
        self._admitted |= new
        return [known for known in self._known.values() if known.key in new and self._leave(known)]

    def _leave(self, known: _Known) -> bool:
        """Take a statement out of the others; whether it is not among those that changed."""
        system, changed = known.key[0], known.now != known.counted
        before = _difference(known.counted, known.start)
        if any(before):
            self._others[system] = _difference(self._others[system], before)
            known.counted = known.start
        return not changed

    def _write(self, key: Key, figures: Figures) -> None:
        for counter, amount in zip(self._counters, figures, strict=True):
            if amount > 0:  # a series that stays 0 would take space for nothing
                counter.add(key, amount)

    def _start_in_child(self) -> None:
        statements = [known.statement for known in self._known.values()]
        try:
            statements.extend(self.source())
        except Exception:
            guard.failed("query_table.fork")
        self._known = {id(statement): _Known(statement) for statement in statements}
        for known in self._known.values():
            known.read()
            known.start = known.counted = known.now
        self._others.clear()
        self._written.clear()


def _key(statement: Asked) -> Key:
    return statement.system, statement.namespace, statement.summary, statement.call_site


def _sum(one: Figures, other: Figures) -> Figures:
    return (
        one[0] + other[0],
        one[1] + other[1],
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
    )


def _difference(one: Figures, other: Figures) -> Figures:
    """What one is above the other, 0 where it is below."""
    return (
        max(one[0] - other[0], 0.0),
        max(one[1] - other[1], 0.0),
        max(one[2] - other[2], 0.0),
        max(one[3] - other[3], 0.0),
        max(one[4] - other[4], 0.0),
    )
