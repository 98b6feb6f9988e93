"""Counts the rows that Django fetches from SQLite, which tells no number of them.

They are told when the last one was fetched, or the cursor is closed: one number for each
statement. Nobody knows how many a loop over the cursor takes, so that it tells none.
"""

import functools
from typing import Any

from perfsdk import guard
from perfsdk.wrapping.calls import Call
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement

STATEMENT = "_perfsdk_statement"
"""Our attribute of a cursor: what is fetched from, until all of it was."""
FETCHED = "_perfsdk_fetched"
"""How many rows were fetched so far."""


def patch(cursor: Any, patches: Patches) -> None:
    """Count what cursors of Django's class for SQLite fetch."""
    for name, make in (
        ("fetchone", _fetchone),
        ("fetchmany", _fetchmany),
        ("fetchall", _fetchall),
        ("close", _close),
        ("__iter__", _iter),
    ):
        patches.replace(cursor, name, make)


def executed(cursor: Any, statement: Statement | None) -> None:
    """A statement is about to be executed."""
    state = getattr(cursor, "__dict__", None)
    if state is None:
        return  # a class of the application's own, whose rows nobody counts
    if state.get(FETCHED):
        _tell(state, cursor)
    state[STATEMENT] = statement
    state[FETCHED] = 0


def _fetchone(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def fetchone(self: Any) -> Any:
        row = wrapped(self)
        _count(self, 0 if row is None else 1, is_last=row is None)
        return row

    return fetchone


def _fetchmany(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def fetchmany(self: Any, *args: Any, **kwargs: Any) -> Any:
        rows = wrapped(self, *args, **kwargs)
        size = args[0] if args else kwargs.get("size", self.arraysize)
        _count(self, len(rows), is_last=len(rows) < size)
        return rows

    return fetchmany


def _fetchall(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def fetchall(self: Any) -> Any:
        rows = wrapped(self)
        _count(self, len(rows), is_last=True)
        return rows

    return fetchall


def _close(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def close(self: Any) -> Any:
        _count(self, 0, is_last=bool(vars(self).get(FETCHED)))
        return wrapped(self)

    return close


def _iter(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def __iter__(self: Any) -> Any:  # noqa: N807 - put into a class
        vars(self)[STATEMENT] = None
        return wrapped(self)

    return __iter__


def _count(cursor: Any, rows: int, *, is_last: bool) -> None:
    state = vars(cursor)
    if state.get(STATEMENT) is None:
        return
    state[FETCHED] += rows
    if is_last:
        try:
            _tell(state, cursor)
        except Exception:
            guard.failed("django_orm.rows")


def _tell(state: dict[str, Any], cursor: Any) -> None:
    statement: Statement | None = state[STATEMENT]
    rows = state[FETCHED]
    state[STATEMENT] = None
    state[FETCHED] = 0
    if statement is None or not (rows or statement.returns_rows):
        return
    statement.returned(rows)
    columns = len(cursor.description or ())
    if columns >= WIDE_COLUMNS:
        statement.columns(columns)
