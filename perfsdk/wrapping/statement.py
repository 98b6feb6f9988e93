"""One statement of a database: what it is, what it has cost, and what its calls look like."""

import sys
from asyncio import _get_running_loop
from collections.abc import Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.call_site import Sites
from perfsdk.findings import allowed
from perfsdk.recorder import Histogram, Labels
from perfsdk.request import DB, FOLD_AT, Account, Queries, current
from perfsdk.store.writer import SCRATCH
from perfsdk.wrapping.calls import Args, Kwargs, Operation
from perfsdk.wrapping.fingerprint import DEEP_OFFSET, Shape
from perfsdk.wrapping.repetition import Repetition, asked
from perfsdk.wrapping.statements import RETURNS_ROWS, WRITES

MAX_REPEATED = 500
"""Statements of one request that are looked at for repetition."""
MAX_FINDINGS = 500
"""Findings of one request, each in another statement or of another kind."""
MANY_ROWS, LARGE_RESULT_ROWS, WIDE_COLUMNS = 1000, 10_000, 30

_PLAIN = (tuple, list, dict)

_sites = Sites()
_NOT_COUNTED = object()
"""In place of the repetition of a statement that writes."""

CountRows = Callable[[Args, Any], int]
"""How many rows a statement returned, by the arguments and the result of the call; -1: unknown."""


class Statement(Operation):
    """One statement, whatever its literals and parameters.

    The totals `calls`, `seconds`, `errors`, `rows` (returned) and `parameter_sets` (of batches)
    only grow. `blocks` says that its calls block their thread. Threads: any may call it.
    """

    __slots__ = (
        "_is_repeatable",
        "_rows_series",
        "_writes",
        "blocks",
        "call_site",
        "calls",
        "count_rows",
        "errors",
        "is_narrow",
        "offset",
        "parameter_sets",
        "parameters",
        "rows",
        "rows_returned",
        "seconds",
        "shape",
        "slow_seconds",
    )

    def __init__(
        self,
        durations: Histogram,
        rows_returned: Histogram,
        labels: Labels,
        shape: Shape,
        *,
        is_leaf: bool,
        blocks: bool,
        parameters: int,
        count_rows: CountRows | None,
        slow_seconds: float,
    ) -> None:
        """`parameters` is where they are in the arguments of the calls."""
        super().__init__(DB, durations, labels, is_leaf=is_leaf)
        self.rows_returned = rows_returned
        self.shape = shape
        self.offset = shape.offset
        self.blocks = blocks
        self.parameters = parameters
        self.count_rows = count_rows if self.returns_rows else None
        self.slow_seconds = slow_seconds
        self.is_narrow = False  # whoever sees that its rows have few columns says so
        self._rows_series: Any = None
        verb = labels[2]
        self._writes = verb in WRITES
        # Fetches are as many as there are rows for.
        self._is_repeatable = verb in RETURNS_ROWS and verb != "FETCH" and self.returns_rows
        self.call_site = ""
        self.calls = self.errors = self.rows = self.parameter_sets = 0
        self.seconds = 0.0

    @property
    def system(self) -> str:
        return self.labels[0]

    @property
    def namespace(self) -> str:
        return self.labels[1]

    @property
    def summary(self) -> str:
        return self.shape.text

    @property
    def returns_rows(self) -> bool:
        """Whether rows come back, not only a number of rows affected."""
        known = self.shape.returns_rows
        return self.labels[2] in RETURNS_ROWS if known is None else known

    def end(
        self,
        account: Account | None,
        started: float,
        args: Args,
        kwargs: Kwargs,
        result: Any,
        error: BaseException | None,
    ) -> None:
        ended = perf_counter()
        try:
            seconds = ended - started
            self.calls += 1
            self.seconds += seconds
            if account is not None:
                events = account.events
                if events is None:
                    account = None  # the request is over
                else:
                    events.append((ended, -DB))
                    if len(events) >= FOLD_AT:
                        account.fold()
            if error is not None:
                self.errors += 1
                failed = (*self.labels, type(error).__name__)
                self.durations[failed].observe(seconds)
            else:
                self.successes.observe(seconds)
                if self.count_rows is not None and (rows := self.count_rows(args, result)) >= 0:
                    self._returned(rows, account)
            if account is None:
                return
            queries = account.queries
            known = None if queries is None else queries.repeated.get(self)
            if known is None:
                self._look_first(account, started, ended)
            elif known is not _NOT_COUNTED and known.again(started, ended):
                self._compare(known, queries, args, kwargs)
            if seconds >= self.slow_seconds:
                self._found("slow", _queries(account))
            if self.offset is not None and self._skips_many(args, kwargs):
                self._found("deep_offset", _queries(account))
        except Exception:
            guard.failed("statement.end")

    def returned(self, rows: int) -> None:
        """Rows that came by a call of their own, such as a fetch. Never raises."""
        try:
            if rows > MANY_ROWS or self._rows_series is None:
                self._returned(rows, current.get())
            else:
                self.rows += rows
                self._rows_series.observe(rows)
        except Exception:
            guard.failed("statement.returned")

    def sent(self, sets: int) -> None:
        """Sets of parameters that a batch consisted of. Never raises."""
        try:
            self.parameter_sets += sets
            account = current.get()
            if account is not None:
                _queries(account).parameter_sets += sets
        except Exception:
            guard.failed("statement.sent")

    def columns(self, number: int) -> None:
        """How many columns its rows have. Never raises."""
        try:
            account = current.get()
            if number >= WIDE_COLUMNS and account is not None and account.events is not None:
                self._found("wide_select", _queries(account))
        except Exception:
            guard.failed("statement.columns")

    def _returned(self, rows: int, account: Account | None) -> None:
        self.rows += rows
        series = self._rows_series
        if series is None:
            series = self.rows_returned[self.labels[0], self.labels[2], self.labels[3]]
            if series.base != SCRATCH:
                self._rows_series = series
        series.observe(rows)
        if rows > MANY_ROWS and account is not None and account.events is not None:
            if self.shape.is_unbounded:
                self._found("unbounded_select", _queries(account))
            if rows >= LARGE_RESULT_ROWS:
                self._found("large_result", _queries(account))

    def _look_first(self, account: Account, started: float, ended: float) -> None:
        """Look for what the first call in a request shows."""
        queries = _queries(account)
        queries.newest = started
        if len(queries.repeated) < MAX_REPEATED:
            if self._writes:
                queries.wrote = True
            queries.repeated[self] = (
                Repetition(started, ended) if self._is_repeatable else _NOT_COUNTED
            )
        for kind in self.shape.suspicions:
            self._found(kind, queries)
        if self.blocks and _get_running_loop() is not None:
            self._found("blocking_in_loop", queries)

    def _compare(self, known: Repetition, queries: Any, args: Args, kwargs: Kwargs) -> None:
        """Look for what many calls in a request show."""
        if kind := known.kind(*asked(args, kwargs, self.parameters)):
            self._found(kind, queries)
            if (self, kind) in queries.findings:
                queries.repeated[self] = _NOT_COUNTED  # once a request is enough

    def _skips_many(self, args: Args, kwargs: Kwargs) -> bool:
        _, parameters = asked(args, kwargs, self.parameters)
        if type(parameters) not in _PLAIN:
            return False  # to look into it would run the application's code
        try:
            skipped = parameters[self.offset]
        except (IndexError, KeyError, TypeError):
            return False
        return isinstance(skipped, int) and skipped > DEEP_OFFSET

    def _found(self, kind: str, queries: Queries) -> None:
        """Note a finding, once a request."""
        key = self, kind
        findings = queries.findings
        if key in findings or len(findings) >= MAX_FINDINGS or kind in allowed.get():
            return
        findings[key] = _sites.of(key, sys._getframe(1))  # noqa: SLF001 - no other way


def _queries(account: Account) -> Queries:
    if account.queries is None:
        account.queries = Queries()
    return account.queries
