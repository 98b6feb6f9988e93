"""Times each call of asyncpg once.

Known: asyncpg 0.28 to 0.32 (https://magicstack.github.io/asyncpg/current/). Entry points: what
`execute`, `fetch*`, `executemany`, `copy_*` and prepared statements share below their public
names; each round trip of a cursor, of which the first is the statement and the others FETCH.
Transactions, listeners, resetting and the introspection of types are the library's own account;
a BEGIN that the application executes as a statement is not.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Kwargs, silent_coroutine, timed_coroutine
from perfsdk.wrapping.dbapi import Databases, Operations
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import Statement

VERSIONS = ((0, 28), (0, 33))

OWN_ACCOUNT = (
    ("add_listener", "remove_listener", "reset", "_reset", "set_type_codec", "reload_schema_state"),
    ("start", "_Transaction__commit", "_Transaction__rollback"),
)
"""Methods of connections, and of transactions, that ask the server on their own account."""

Call = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the classes that everything goes through, subclasses of connections included."""
    connection = module.connection.Connection
    prepared = module.prepared_stmt.PreparedStatement
    cursor = module.cursor.BaseCursor
    queries = Connections(recorder)
    for owner, name, find in (
        (connection, "execute", queries.find_simple),
        (connection, "_execute", queries.find),
        (connection, "_executemany", queries.find_batch),
        (connection, "_copy_in", queries.find),
        (connection, "_copy_out", queries.find),
        (connection, "copy_records_to_table", queries.find_records),
        (prepared, "_PreparedStatement__bind_execute", queries.find_prepared),
        (cursor, "_bind_exec", queries.find_prepared),
        (cursor, "_bind", queries.find_prepared),
        (cursor, "_exec", queries.find_fetch),
    ):
        patches.replace(owner, name, timed_coroutine(DB, find))
    for name in ("executemany", "fetchmany"):  # the second is of 0.30
        if name in vars(prepared):
            patches.replace(prepared, name, functools.partial(_batches, queries))
    for owner, names in zip((connection, module.transaction.Transaction), OWN_ACCOUNT, strict=True):
        for name in names:
            if name in vars(owner):
                patches.replace(owner, name, _silent)
    patches.on_undo(queries.stop)


class Connections:
    """Finds the statement of a call: the name of the database and a lookup."""

    def __init__(self, recorder: Recorder) -> None:
        # Of what is prepared, parameters come first; of all else after the text.
        self._texts = Databases(recorder, parameters=2, count_rows=_rows)
        self._prepared = Databases(recorder, parameters=1, count_rows=_rows)
        self._by_name: dict[tuple[Databases, str | None], Operations] = {}

    def find(self, connection: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The statement of `_execute(query, args, limit, timeout, ...)` and its like."""
        if kwargs.get("ignore_custom_codec"):
            return None  # the library asks about types
        return self._operations(self._texts, connection)[args[0]]

    def find_simple(self, connection: Any, args: Args, _kwargs: Kwargs) -> Statement | None:
        """The statement of `execute(query)`; with arguments, `_execute` is called below."""
        if len(args) != 1:
            return None
        return self._operations(self._texts, connection)[args[0]]

    def find_batch(self, connection: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The statement of `_executemany(query, args, timeout, ...)`."""
        return _batch(self.find(connection, args, kwargs), args[1])

    def find_prepared(self, prepared: Any, _args: Args, _kwargs: Kwargs) -> Statement | None:
        """The statement of a call of what knows its query: prepared, or a cursor."""
        operations = self._operations(self._prepared, prepared._connection)  # noqa: SLF001 - it has no public name
        return operations[prepared._query]  # noqa: SLF001 - of a cursor there is no other

    def find_prepared_batch(self, prepared: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The same of `executemany(args)`."""
        return _batch(self.find_prepared(prepared, args, kwargs), args[0] if args else None)

    def find_records(self, connection: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The COPY of `copy_records_to_table(table_name, ...)`."""
        table = args[0] if args else kwargs["table_name"]
        operations = self._operations(self._texts, connection)
        text = f"COPY {table} FROM STDIN"
        return operations.get(text) or operations.learn(text, text, table=table)

    def find_fetch(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """A later round trip of a cursor."""
        operations = self._operations(self._prepared, cursor._connection)  # noqa: SLF001 - it has no public name
        return operations.fixed("FETCH", self.find_prepared(cursor, args, kwargs))

    def stop(self) -> None:
        """Measure nothing any more."""
        self._texts.stop()
        self._prepared.stop()

    def _operations(self, databases: Databases, connection: Any) -> Operations:
        name = connection._params.database  # noqa: SLF001 - it has no public name
        known = self._by_name.get((databases, name))
        if known is None:
            namespace = name or connection._params.user  # noqa: SLF001 - the default of the server
            known = databases.operations("postgresql", namespace, is_leaf=True, blocks=False)
            if len(self._by_name) < 1000:  # more databases than are shown apart
                self._by_name[databases, name] = known
        return known


def _silent(wrapped: Call) -> Call:
    if inspect.iscoroutinefunction(wrapped):
        return silent_coroutine(DB)(wrapped)

    async def awaited(result: Awaitable[Any]) -> Any:
        return await result

    silent = silent_coroutine(DB)(awaited)

    # No coroutine function, as it is none: what is wrong with a transaction is raised at once.
    @functools.wraps(wrapped)
    def call(self: Any, *args: Any) -> Awaitable[Any]:
        awaitable: Awaitable[Any] = silent(wrapped(self, *args))
        return awaitable

    return call


def _batches(queries: Connections, wrapped: Call) -> Call:
    async def awaited(_prepared: Any, _args: Any, result: Awaitable[Any]) -> Any:
        return await result

    timed = timed_coroutine(DB, queries.find_prepared_batch)(awaited)

    # No coroutine function, as it is none: what is wrong with a statement is raised at once.
    @functools.wraps(wrapped)
    def batch(self: Any, /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        result = wrapped(self, *args, **kwargs)
        awaitable: Awaitable[Any] = timed(self, args[0] if args else kwargs["args"], result)
        return awaitable

    return batch


def _batch(statement: Statement | None, sets: Any) -> Statement | None:
    if statement is not None and isinstance(sets, (list, tuple)):
        statement.sent(len(sets))
    return statement


def _rows(_args: Args, result: Any) -> int:
    return len(result) if type(result) is list else -1
