"""Counts the rows that statements of SQLAlchemy return, as the driver below tells them.

psycopg, psycopg2, PyMySQL and mysqlclient have all rows when the statement is done, and so have
the cursors that SQLAlchemy puts around asynchronous drivers. Others, sqlite3 above all, tell when
rows are fetched: `fetchall` and `fetchmany` are counted, which the ORM uses; what reads one row
at a time (`first()`, a loop over a Core result) is not, since a hook costs as much as the row.
Of a server-side cursor nothing is counted here: its fetches are calls of the driver.
"""

import functools
from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB, counted
from perfsdk.wrapping.calls import Args
from perfsdk.wrapping.dbapi import Databases, Operations

DRIVERS_THAT_TELL = frozenset({"mysqldb", "psycopg", "psycopg2", "pymysql"})
"""Whose `rowcount` is that of a SELECT as soon as it is executed, by the name of the dialect."""

PARAMETERS = 3
"""Where they are in `do_execute(self, cursor, statement, parameters, context)`."""


class Batches:
    """Stands for the class of the cursor of an INSERT in batches."""


class Counting:
    """The databases, apart by how their rows are counted."""

    def __init__(self, recorder: Recorder) -> None:
        self._told = Databases(recorder, parameters=PARAMETERS, count_rows=_rowcount)
        self._buffered = Databases(recorder, parameters=PARAMETERS, count_rows=_buffered)
        self._batches = Databases(recorder, parameters=PARAMETERS, count_rows=_of_batches)
        self._later = Databases(recorder, parameters=PARAMETERS)
        self.fetched: set[type] = set()
        """Classes of cursors whose rows are counted when they are fetched."""

    def databases(self, dialect: Any, cursor: type, *, is_server_side: bool) -> Databases:
        """Those whose statements count rows in the way that fits a cursor."""
        if cursor is Batches:
            return self._batches
        if cursor is type(None) or (is_server_side and dialect.driver != "psycopg2"):
            return self._later  # psycopg2 has one class for both and says -1 of one
        if hasattr(cursor, "_rows"):
            return self._buffered
        if dialect.driver in DRIVERS_THAT_TELL:
            return self._told
        self.fetched.add(cursor)
        return self._later

    def stop(self) -> None:
        """Measure nothing any more."""
        self.fetched.clear()
        for databases in (self._told, self._buffered, self._batches, self._later):
            databases.stop()

    def make_fetch(self, wrapped: Callable[..., Any]) -> Callable[..., Any]:
        """A wrapper of `fetchall(strategy, result, cursor)` and of `fetchmany`."""
        fetched = self.fetched

        @functools.wraps(wrapped)
        def fetch(self: Any, result: Any, dbapi_cursor: Any, *args: Any, **kwargs: Any) -> Any:
            rows = wrapped(self, result, dbapi_cursor, *args, **kwargs)
            if type(dbapi_cursor) in fetched:
                _fetched(result, type(dbapi_cursor), rows)
            return rows

        return fetch


def _rowcount(args: Args, _result: Any) -> int:
    cursor = args[1]
    # Without columns it is how many rows were affected.
    return int(cursor.rowcount) if _has_columns(cursor) else -1


def _has_columns(cursor: Any) -> bool:
    if not hasattr(cursor, "pgresult"):
        return cursor.description is not None
    # psycopg, which makes a description whenever it is asked for one.
    return cursor.pgresult is not None and bool(cursor.pgresult.nfields)


def _buffered(args: Args, _result: Any) -> int:
    cursor = args[1]
    rows = len(cursor._rows)  # noqa: SLF001 - it has no other sign of them
    return -1 if not rows and cursor.description is None else rows


def _of_batches(args: Args, _result: Any) -> int:
    rows = args[2]._insertmanyvalues_rows  # noqa: SLF001 - likewise
    return -1 if rows is None else len(rows)


def _fetched(result: Any, cursor: type, rows: Any) -> None:
    try:
        if counted.get() & (1 << DB):
            return  # on the engine's own account
        context = result.context
        by_cursor: dict[type, Operations] = context.dialect._perfsdk_operations  # noqa: SLF001 - our own
        statement = by_cursor[cursor].get(context.statement)
        if statement is not None and statement.returns_rows:
            statement.returned(len(rows))
    except (AttributeError, KeyError):
        pass  # executed before the patch
    except Exception:
        guard.failed("sqlalchemy.fetched")
