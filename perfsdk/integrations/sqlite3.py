"""Times each statement on connections that the standard library's sqlite3 opens from now on.

Known: SQLite 3 (https://docs.python.org/3/library/sqlite3.html). `sqlite3.connect` gives
connections of a real subclass, with cursors of one, so that `Connection.backup`, row factories
and type checks work. A class of the application given as `factory` is extended by a subclass of
both; any other callable is left alone. Time is that of `execute`, `executemany` (one operation)
and `executescript` (one, `SCRIPT`): SQLite computes most rows when they are fetched, which is
not in it. `commit`, `rollback` and the BEGIN that the module adds are no operations of the
application; a BEGIN that it executes itself is.

Rows are counted where they are fetched, by `fetchone`, `fetchmany` and `fetchall`. Those that a
loop over the cursor takes are not, since to count them would double what a row costs: the figure
is absent then.

Not measured: connections made before, or by a `connect` imported from sqlite3 before, since the
library's class cannot be changed; those made by `sqlite3.Connection(...)`; those opened by a
layer that counts their statements itself, such as SQLAlchemy; and those of aiosqlite, whose own
calls are measured.
"""

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB, counted
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import Args, Kwargs, timed
from perfsdk.wrapping.classes import Classes, subclass
from perfsdk.wrapping.dbapi import Databases, file_namespace
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement

VERSIONS = ((3,), (4,))

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Have both names of `connect` give measured connections."""
    databases = Databases(recorder, parameters=2)
    cursors = Classes(module.Cursor, _cursor_class(module.Cursor))
    connections = Classes(
        module.Connection, _connection_class(module.Connection, cursors, databases)
    )
    # One wrapper for both names, which are one function.
    make = functools.cache(functools.partial(_connect, connections))
    for owner in (module, module.dbapi2):
        patches.replace(owner, "connect", make)
    patches.on_undo(databases.stop)


def _connect(connections: Classes, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def connect(*args: Any, **kwargs: Any) -> Any:
        try:
            if not _is_of_an_outer_layer(sys._getframe(1)):  # noqa: SLF001 - no other way
                if len(args) > 5:
                    args = (*args[:5], connections.of(args[5]), *args[6:])
                else:
                    factory = kwargs.get("factory", connections.original)
                    kwargs = {**kwargs, "factory": connections.of(factory)}
        except Exception:
            guard.failed("sqlite3.connect")
        return wrapped(*args, **kwargs)

    return connect


def _is_of_an_outer_layer(caller: FrameType) -> bool:
    name: str = caller.f_globals.get("__name__", "")
    return bool(counted.get() & 1 << DB) or name.partition(".")[0] == "aiosqlite"


def _cursor_class(original: Any) -> type:
    methods = {
        "execute": timed(DB, _find)(original.execute),
        "executemany": timed_batch(_find, "parameters")(original.executemany),
        "executescript": timed(DB, _find_script)(original.executescript),
        "fetchone": _one_fetched(original.fetchone),
        "fetchmany": _many_fetched(original.fetchmany),
        "fetchall": _many_fetched(original.fetchall),
        "_perfsdk_executed": None,  # the statement, until rows of it are fetched
        "_perfsdk_fetched": None,  # the statement, from then on
    }
    return subclass((original,), methods)


def _one_fetched(wrapped: Call) -> Call:
    # The time that this takes is added to each row that an application fetches.
    @functools.wraps(wrapped)
    def fetchone(self: Any, /) -> Any:
        row = wrapped(self)
        statement = self._perfsdk_executed
        if statement is not None:
            _first_fetched(self, statement, 0 if row is None else 1)
        elif row is not None and self._perfsdk_fetched is not None:
            self._perfsdk_fetched.returned(1)
        return row

    return fetchone


def _many_fetched(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def fetch(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        rows = wrapped(self, *args, **kwargs)
        statement = self._perfsdk_executed
        if statement is not None:
            _first_fetched(self, statement, len(rows))
        elif rows and self._perfsdk_fetched is not None:
            self._perfsdk_fetched.returned(len(rows))
        return rows

    return fetch


def _first_fetched(cursor: Any, statement: Statement, rows: int) -> None:
    """No rows at all are an observation, too; the end of those that were fetched is none."""
    cursor._perfsdk_executed = None  # noqa: SLF001 - our own attribute
    cursor._perfsdk_fetched = statement  # noqa: SLF001 - our own attribute
    if rows or statement.returns_rows:
        statement.returned(rows)
        if not statement.is_narrow:
            columns = len(cursor.description or ())
            if columns >= WIDE_COLUMNS:
                statement.columns(columns)
            else:
                statement.is_narrow = True


def _connection_class(original: Any, cursors: Classes, databases: Databases) -> type:
    new_cursor, measured_cursor = original.cursor, cursors.measured

    @functools.wraps(original.__init__)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - put into a class
        try:
            database = args[0] if args else kwargs.get("database")
            operations = databases.operations("sqlite", file_namespace(database), is_leaf=True)
            self._perfsdk_operations = operations
        except Exception:
            guard.failed("sqlite3.init")
        original.__init__(self, *args, **kwargs)

    @functools.wraps(original.cursor)
    def cursor(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if args:
                args = (cursors.of(args[0]), *args[1:])
            else:
                factory = kwargs.get("factory", cursors.original)
                kwargs = {**kwargs, "factory": cursors.of(factory)}
        except Exception:
            guard.failed("sqlite3.cursor")
        return new_cursor(self, *args, **kwargs)

    # The library makes a cursor of its own class too, whatever `cursor` gives.

    @functools.wraps(original.execute)
    def execute(self: Any, /, *args: Any) -> Any:
        return new_cursor(self, measured_cursor).execute(*args)

    @functools.wraps(original.executemany)
    def executemany(self: Any, /, *args: Any) -> Any:
        return new_cursor(self, measured_cursor).executemany(*args)

    @functools.wraps(original.executescript)
    def executescript(self: Any, /, *args: Any) -> Any:
        return new_cursor(self, measured_cursor).executescript(*args)

    methods = (__init__, cursor, execute, executemany, executescript)
    return subclass((original,), {method.__name__: method for method in methods})


def _find(cursor: Any, args: Args, _kwargs: Kwargs) -> Statement | None:
    try:
        statement: Statement | None = cursor.connection._perfsdk_operations[args[0]]  # noqa: SLF001 - our own attribute
    except (AttributeError, IndexError, TypeError):
        return None  # no statement, or no connection of ours: the library says what is wrong
    cursor._perfsdk_executed = statement  # noqa: SLF001 - our own attribute
    return statement


def _find_script(cursor: Any, _args: Args, _kwargs: Kwargs) -> Statement | None:
    operations = getattr(cursor.connection, "_perfsdk_operations", None)
    return None if operations is None else operations.fixed("SCRIPT")
