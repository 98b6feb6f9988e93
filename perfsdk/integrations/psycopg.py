"""Times each statement of psycopg 3 once: sync and asyncio, server-side cursors, COPY, batches.

Known: psycopg 3.1 to 3.3 (https://www.psycopg.org/psycopg3/docs/). Entry points: `execute` and
`executemany` of every class of cursors, to which the shortcuts of connections lead; each round
trip of a server-side cursor, as FETCH; `stream` until its first row; the block of a `copy`.
`commit`, `rollback`, the blocks of `transaction()` and what the library prepares or describes
are not asked through cursors, so they are no operations.

Rows are those that an `execute` brought, an `executemany` with `returning`, or a FETCH. They are
absent for `stream` and in pipeline mode, where answers come later and the time is that of sending.
"""

import functools
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from perfsdk import guard
from perfsdk.integrations import psycopg_copy
from perfsdk.recorder import Recorder
from perfsdk.request import DB, counted
from perfsdk.wrapping.batches import timed_batch, timed_coroutine_batch
from perfsdk.wrapping.calls import Args, Kwargs, begin, timed, timed_coroutine
from perfsdk.wrapping.dbapi import Databases, Operations
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import Statement

VERSIONS = ((3, 1), (3, 4))

BIT = 1 << DB
OPERATIONS = "_perfsdk_operations"
"""Our attribute of a connection."""

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure every class of cursors, those of the application's connections included."""
    connections = Connections(module, recorder)
    execute = connections.find
    patches.replace(module.Cursor, "execute", timed(DB, execute))
    patches.replace(module.ServerCursor, "execute", timed(DB, execute))
    patches.replace(module.AsyncCursor, "execute", timed_coroutine(DB, execute))
    patches.replace(module.AsyncServerCursor, "execute", timed_coroutine(DB, execute))
    patches.replace(module.Cursor, "executemany", timed_batch(execute, "params_seq"))
    batch = timed_coroutine_batch(execute, "params_seq")
    patches.replace(module.AsyncCursor, "executemany", batch)
    patches.replace(module.Cursor, "stream", functools.partial(_stream, connections))
    patches.replace(module.AsyncCursor, "stream", functools.partial(_stream_async, connections))
    # What sync and asynchronous cursors share: a generator of what is to be sent and awaited.
    for mixin in module.ServerCursor.__mro__:
        if "_declare_gen" in vars(mixin):
            patches.replace(mixin, "_declare_gen", functools.partial(_declare, connections))
        if "_fetch_gen" in vars(mixin):
            patches.replace(mixin, "_fetch_gen", functools.partial(_fetch, connections))
    psycopg_copy.patch(module, patches, connections.statement)
    patches.on_undo(connections.stop)


class Connections:
    """Finds the statement of a call: an attribute of the connection and a lookup."""

    def __init__(self, module: Any, recorder: Recorder) -> None:
        self._asynchronous = module.AsyncConnection
        self._sql = module.sql
        self._databases = Databases(recorder, parameters=2, count_rows=self._rows)
        self._server_side = module.ServerCursor, module.AsyncServerCursor
        self._declared: weakref.WeakKeyDictionary[Any, Statement] = weakref.WeakKeyDictionary()

    def find(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The statement of `execute(query, ...)` and its like."""
        return self.statement(cursor, args[0] if args else kwargs["query"])

    def declared(self, cursor: Any, query: Any) -> None:
        """A server-side cursor is declared, which is fetched from later."""
        statement = self.statement(cursor, query)
        if statement is not None:
            self._declared[cursor] = statement

    def find_fetch(self, cursor: Any) -> Statement | None:
        """The FETCH of a server-side cursor."""
        return self.operations(cursor).fixed("FETCH", self._declared.get(cursor))

    def statement(self, cursor: Any, query: Any) -> Statement | None:
        """The statement of a query in any form that the library takes."""
        operations = self.operations(cursor)
        return operations[query if type(query) is str else self._text(query)]

    def operations(self, cursor: Any) -> Operations:
        """Those of the database that a cursor is connected to."""
        connection = cursor.connection
        known: Operations | None = vars(connection).get(OPERATIONS)
        if known is None or known.stopped:
            known = self._databases.operations(
                "postgresql",
                connection.info.dbname,
                is_leaf=True,
                blocks=not isinstance(connection, self._asynchronous),
            )
            setattr(connection, OPERATIONS, known)
        return known

    def stop(self) -> None:
        """Measure nothing any more."""
        self._databases.stop()

    def _rows(self, args: Args, _result: Any) -> int:
        if not args or isinstance(args[0], self._server_side):
            return -1  # of a server-side cursor none are here yet
        # Not `rowcount`, which is that of the first of them, or how many rows were affected.
        results = args[0]._results  # noqa: SLF001 - to ask for the next one would change the cursor
        brought = [result.ntuples for result in results if result.nfields]
        return sum(brought) if brought else -1

    def _text(self, query: Any) -> str:
        """A query without the values in it: nothing of the application's is called for it."""
        sql = self._sql
        if isinstance(query, bytes):
            return query.decode("utf-8", "replace")
        if isinstance(query, sql.Composed):
            return "".join(map(self._text, query))
        if isinstance(query, sql.SQL):
            return str(query._obj)  # noqa: SLF001 - `as_string` would need a connection
        if isinstance(query, sql.Identifier):
            return ".".join(f'"{part}"' for part in query._obj)  # noqa: SLF001 - likewise
        if isinstance(query, str):
            return str(query)
        strings = getattr(query, "strings", None)  # a template string
        return "?".join(strings) if isinstance(strings, tuple) else "?"


def _declare(connections: Connections, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def declare(self: Any, query: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        try:
            connections.declared(self, query)  # also where a layer above counts, as Django does
        except Exception:
            guard.failed("psycopg.declare")
        return (yield from wrapped(self, query, *args, **kwargs))

    return declare


def _fetch(connections: Connections, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def fetch(self: Any, num: int | None) -> Generator[Any, Any, Any]:
        statement = _fetch_statement(connections, self)
        if statement is None:
            return (yield from wrapped(self, num))
        account, started = begin(DB)
        try:
            rows = yield from wrapped(self, num)
        except BaseException as error:
            statement.end(account, started, (), {}, None, error)
            raise
        statement.end(account, started, (self,), {}, None, None)
        statement.returned(len(rows))
        return rows

    return fetch


def _fetch_statement(connections: Connections, cursor: Any) -> Statement | None:
    if counted.get() & BIT:
        return None
    try:
        return connections.find_fetch(cursor)
    except Exception:
        guard.failed("psycopg.fetch")
        return None


def _stream(connections: Connections, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def stream(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows = wrapped(self, *args, **kwargs)
        yield from _one(self, *args, rows=rows, **kwargs)
        yield from rows

    def one(_cursor: Any, *_args: Any, rows: Iterator[Any], **_kwargs: Any) -> list[Any]:
        for row in rows:
            return [row]
        return []

    _one = timed(DB, connections.find)(one)
    return stream


def _stream_async(connections: Connections, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    async def stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        rows = wrapped(self, *args, **kwargs)
        try:
            for row in await _one(self, *args, rows=rows, **kwargs):
                yield row
            async for row in rows:
                yield row
        finally:
            await rows.aclose()

    async def one(_cursor: Any, *_args: Any, rows: AsyncIterator[Any], **_kwargs: Any) -> list[Any]:
        async for row in rows:
            return [row]
        return []

    _one = timed_coroutine(DB, connections.find)(one)
    return stream
