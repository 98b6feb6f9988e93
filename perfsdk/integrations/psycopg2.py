"""Times each statement on connections that psycopg2 opens from now on.

Known: psycopg2 2.9 (https://www.psycopg.org/docs/). The entry point is the function that
`psycopg2.connect` calls, so that a `connect` imported before is measured too. It gives
connections of a real subclass, with cursors of one, so that `register_type`, `quote_ident` and
type checks work. A class given as `connection_factory` or `cursor_factory`, such as those of
psycopg2.extras, is extended by a subclass of both; any other callable is left alone.

Time is that of `execute`, `executemany` (one operation), `callproc` (`CALL`) and the `copy_`
methods (`COPY`), with all rows fetched. A named cursor has them in the server: `execute` only
declares it, and each `FETCH` is an operation of its own, by a fetch method or by a loop, where
it costs 0.2 us a row to see the next one come. What the module executes to begin and end
transactions is no operation of the application.

Not measured: connections made before, since the library's class cannot be changed; those made
by `psycopg2.extensions.connection(...)`; asynchronous ones, whose `execute` only sends;
replication; large objects.
"""

import functools
import re
import sys
from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import Args, Kwargs, timed
from perfsdk.wrapping.classes import Classes, subclass
from perfsdk.wrapping.dbapi import Databases, Operations
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement

VERSIONS = ((2, 9), (2, 10))

Call = Callable[..., Any]

_COPIED = re.compile(
    r"""\s* COPY \s+ (?:(?:\w+|"\w+") \s*\.\s*)? "?(\w+)"? \s* (?:\([^)]*\)\s*)? (?:FROM|TO)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_END = object()


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Have `psycopg2.connect` give measured connections."""
    extensions = module.extensions
    databases = Databases(recorder, parameters=2, count_rows=_count_rows)
    cursors = Classes(extensions.cursor, _cursor_class(extensions.cursor))
    named = Classes(extensions.cursor, _named_cursor_class(extensions.cursor))
    connection = _connection_class(extensions.connection, cursors, named, databases)
    connections = Classes(extensions.connection, connection)
    patches.replace(module, "_connect", functools.partial(_connect, connections))
    patches.on_undo(databases.stop)


def _connect(connections: Classes, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def connect(*args: Any, **kwargs: Any) -> Any:
        try:
            if len(args) > 1:
                args = (args[0], connections.of(args[1] or connections.original), *args[2:])
            else:
                factory = kwargs.get("connection_factory") or connections.original
                kwargs = {**kwargs, "connection_factory": connections.of(factory)}
        except Exception:
            guard.failed("psycopg2.connect")
        return wrapped(*args, **kwargs)

    return connect


def _connection_class(
    original: Any, cursors: Classes, named: Classes, databases: Databases
) -> type:
    new_cursor = original.cursor

    @functools.wraps(original.__init__)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - put into a class
        original.__init__(self, *args, **kwargs)
        try:
            if not self.async_:
                self._perfsdk_operations = databases.operations(
                    "postgresql", self.info.dbname or "", is_leaf=True
                )
        except Exception:
            guard.failed("psycopg2.init")

    @functools.wraps(original.cursor)
    def cursor(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            name = args[0] if args else kwargs.get("name")
            factory = args[1] if len(args) > 1 else kwargs.get("cursor_factory")
            factory = factory or self.cursor_factory or cursors.original
            measured = (cursors if name is None else named).of(factory)
            if len(args) > 1:
                args = (name, measured, *args[2:])
            else:
                kwargs = {**kwargs, "cursor_factory": measured}
        except Exception:
            guard.failed("psycopg2.cursor")
        return new_cursor(self, *args, **kwargs)

    return subclass((original,), {"__init__": __init__, "cursor": cursor})


def _cursor_class(original: Any) -> type:
    copy_from = functools.partial(_find_copy_table, 'COPY "{}" FROM STDIN')
    copy_to = functools.partial(_find_copy_table, 'COPY "{}" TO STDOUT')
    methods = {
        "execute": timed(DB, _find)(original.execute),
        "executemany": timed_batch(_find, "vars_list")(original.executemany),
        "callproc": timed(DB, _find_procedure, _count_procedure_rows)(original.callproc),
        "copy_expert": timed(DB, _find_copy)(original.copy_expert),
        "copy_from": timed(DB, copy_from)(original.copy_from),
        "copy_to": timed(DB, copy_to)(original.copy_to),
        "_perfsdk_find": staticmethod(_find),  # for what executes a batch by a cursor
    }
    return subclass((original,), methods)


def _named_cursor_class(original: Any) -> type:
    """One whose rows are in the server until they are fetched."""
    fetch = timed(DB, _find_fetch)
    next_row = original.__next__
    declare = timed(DB, _find)(original.execute)

    @functools.wraps(original.execute)
    def execute(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            self._perfsdk_declared = _find(self, args, kwargs)  # also where a layer above counts
        except Exception:
            guard.failed("psycopg2.declare")
        return declare(self, *args, **kwargs)

    @fetch
    def fetch_next(self: Any) -> Any:
        try:
            return next_row(self)
        except StopIteration:
            return _END  # no failure: there are no more rows

    @functools.wraps(next_row)
    def __next__(self: Any, /) -> Any:  # noqa: N807 - put into a class
        if self.rownumber < self.rowcount:
            return next_row(self)  # it is here already
        row = fetch_next(self)
        if row is _END:
            raise StopIteration
        return row

    methods = {
        name: fetch(getattr(original, name)) for name in ("fetchone", "fetchmany", "fetchall")
    }
    methods["execute"] = execute
    methods["__next__"] = __next__
    return subclass((original,), methods)


def _operations(cursor: Any) -> Operations | None:
    """Those of the database, None on a connection that is not measured."""
    return getattr(cursor.connection, "_perfsdk_operations", None)


def _find(cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
    operations = _operations(cursor)
    if operations is None:
        return None
    query = args[0] if args else kwargs.get("query")
    text = query if type(query) is str else _text(query)
    return None if text is None else operations[text]


def _text(query: Any) -> str | None:
    """The text of a statement without the values composed into it; None: it is none.

    Nothing of the application's is called for it, as `as_string` would.
    """
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, str):
        return str(query)
    sql = sys.modules.get("psycopg2.sql")
    if sql is None or not isinstance(query, sql.Composable):
        return None
    if isinstance(query, sql.Composed):
        return "".join(_text(part) or "" for part in query)
    if isinstance(query, sql.SQL):
        return str(query.string)
    if isinstance(query, sql.Identifier):
        return ".".join(f'"{part}"' for part in query.strings)
    return "%s"


def _find_fetch(cursor: Any, _args: Args, _kwargs: Kwargs) -> Statement | None:
    operations = _operations(cursor)
    if operations is None:
        return None
    # One that was not declared by `execute` is there already, in the server.
    return operations.fixed("FETCH", like=getattr(cursor, "_perfsdk_declared", None))


def _find_procedure(cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
    name = args[0] if args else kwargs.get("procname")
    return _find(cursor, (f"CALL {name}",), {})


def _find_copy(cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
    """The operation of `copy_expert(sql, file)`."""
    text = _text(args[0] if args else kwargs.get("sql"))
    if text is None:
        return None
    found = _COPIED.match(text)
    return _copy(cursor, text, found[1] if found else "")


def _find_copy_table(form: str, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
    """The operation of `copy_from(file, table)` and of `copy_to`."""
    table = args[1] if len(args) > 1 else kwargs.get("table")
    return _copy(cursor, form.format(table), table) if isinstance(table, str) else None


def _copy(cursor: Any, text: str, table: str) -> Statement | None:
    operations = _operations(cursor)
    if operations is None:
        return None
    return operations.get(text) or operations.learn(text, text, table=table)


def _count_rows(args: Args, result: Any) -> int:
    """The rows that came with a statement; a number of rows affected has no description."""
    if type(result) is list:
        return len(result)  # those of all pages of a batch
    cursor = args[0]
    description = cursor.description
    if description is None:
        return -1
    if len(description) >= WIDE_COLUMNS and cursor.name is None:
        statement = _find(cursor, args[1:], {})
        if statement is not None:
            statement.columns(len(description))
    return int(cursor.rowcount)


def _count_procedure_rows(cursor: Any, args: Args, kwargs: Kwargs, _result: Any) -> None:
    statement = _find_procedure(cursor, args, kwargs)
    if statement is not None and cursor.description is not None:
        statement.returned(cursor.rowcount)
