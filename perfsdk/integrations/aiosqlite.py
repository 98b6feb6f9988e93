"""Times each statement of aiosqlite once, as the task that awaits it sees it.

Known: aiosqlite 0.20 to 0.22 (https://aiosqlite.omnilib.dev). Entry points are `execute`,
`executemany` (one operation) and `executescript` (one, `SCRIPT`) of connections and cursors, and
the connection's `execute_insert` and `execute_fetchall`. The time includes that of waiting for
the connection's thread. The sqlite3 below is left as it is.

Rows are counted where they are fetched, by `fetchone`, `fetchmany` and `fetchall`; `async for`
over a cursor fetches many at a time. `commit`, `rollback` and the BEGIN that sqlite3 adds are no
operations of the application.
"""

import functools
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_coroutine_batch
from perfsdk.wrapping.calls import Args, Call, Kwargs, Make, timed_coroutine
from perfsdk.wrapping.dbapi import Databases, Operations, file_namespace
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement

VERSIONS = ((0, 20), (0, 23))

AsyncCall = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the connections and cursors that are there and those to come."""
    connection, cursor = module.Connection, module.Cursor
    statements = Statements(recorder, connection)
    giving = functools.partial(_giving, module.context.contextmanager)
    execute = timed_coroutine(DB, statements.find, statements.remember)
    insert = timed_coroutine(DB, statements.find)
    fetch_all = timed_coroutine(DB, statements.find, statements.count_all)
    batch = timed_coroutine_batch(statements.find, "parameters")
    script = timed_coroutine(DB, statements.find_script)
    for name, make in (("execute", execute), ("executemany", batch), ("executescript", script)):
        patches.replace(connection, name, giving(make))
        patches.replace(cursor, name, make)
    patches.replace(connection, "execute_insert", giving(insert))
    patches.replace(connection, "execute_fetchall", giving(fetch_all))
    patches.replace(cursor, "fetchone", _counting(lambda row: 0 if row is None else 1))
    for name in ("fetchmany", "fetchall"):
        patches.replace(cursor, name, _counting(len))
    patches.on_undo(statements.stop)


class Statements:
    """Finds the statement of a call by the connection and the text."""

    def __init__(self, recorder: Recorder, connection: type) -> None:
        self._connection = connection
        self._databases = Databases(recorder, parameters=2)
        self._known: weakref.WeakKeyDictionary[Any, Operations] = weakref.WeakKeyDictionary()

    def find(self, instance: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """That of `execute(sql, ...)` and its like, of a connection or a cursor."""
        sql = args[0] if args else kwargs.get("sql")
        return self._operations(instance)[sql] if isinstance(sql, str) else None

    def find_script(self, instance: Any, _args: Args, _kwargs: Kwargs) -> Statement | None:
        """That of `executescript`."""
        return self._operations(instance).fixed("SCRIPT")

    def remember(self, instance: Any, args: Args, kwargs: Kwargs, cursor: Any) -> None:
        """Keep with the cursor what it executed, whose rows it will fetch."""
        cursor._perfsdk_executed = self.find(instance, args, kwargs)  # noqa: SLF001 - our own attribute

    def count_all(self, instance: Any, args: Args, kwargs: Kwargs, rows: Any) -> None:
        """Count the rows that came with the call."""
        statement = self.find(instance, args, kwargs)
        if statement is not None and (rows or statement.returns_rows):
            statement.returned(len(rows))

    def stop(self) -> None:
        """Measure nothing any more."""
        self._databases.stop()

    def _operations(self, instance: Any) -> Operations:
        connection = instance if isinstance(instance, self._connection) else instance._conn  # noqa: SLF001 - no other way
        known = self._known.get(connection)
        if known is None:
            known = self._databases.operations(
                "sqlite", _namespace(connection), is_leaf=True, blocks=False
            )
            self._known[connection] = known
        return known


def _namespace(connection: Any) -> str:
    """That of what `aiosqlite.connect` was given: only the function that opens it knows that.

    Empty where the application made the connection of a function of its own.
    """
    connector = connection._connector  # noqa: SLF001 - no other way
    names = getattr(getattr(connector, "__code__", None), "co_freevars", ())
    is_known = getattr(connector, "__module__", "").partition(".")[0] == "aiosqlite"
    if not is_known or "database" not in names:
        return ""
    return file_namespace(connector.__closure__[names.index("database")].cell_contents)


def _giving(result: Callable[[AsyncCall], Call], make: Make) -> Make:
    """A maker for methods that give what may be awaited or used with `async with`."""
    return lambda wrapped: functools.wraps(wrapped)(result(make(wrapped)))


def _counting(count: Callable[[Any], int]) -> Make:
    """A maker of wrappers for what fetches rows."""

    def make(wrapped: AsyncCall) -> AsyncCall:
        @functools.wraps(wrapped)
        async def fetch(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            fetched = await wrapped(self, *args, **kwargs)
            try:
                _fetched(self, count(fetched))
            except Exception:
                guard.failed("aiosqlite.fetch")
            return fetched

        return fetch

    return make


def _fetched(cursor: Any, rows: int) -> None:
    """No rows at all are an observation, too; the end of those that were fetched is none."""
    state = vars(cursor)
    executed: Statement | None = state.pop("_perfsdk_executed", None)
    if executed is not None:
        state["_perfsdk_fetched"] = executed
        if rows or executed.returns_rows:
            executed.returned(rows)
            columns = len(cursor.description or ())
            if columns >= WIDE_COLUMNS:
                executed.columns(columns)
    elif rows and (fetched := state.get("_perfsdk_fetched")) is not None:
        fetched.returned(rows)
