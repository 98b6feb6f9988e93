"""Finds the statements of cursors that speak MySQL's protocol, as PyMySQL and its kin make them."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.wrapping.calls import Args, Kwargs
from perfsdk.wrapping.dbapi import Databases, Operations
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement


class Cursors:
    """The databases of one driver's cursors.

    A cursor has a `connection`, which may have `db`, the name of its database. `unbuffered` is
    the class of cursors whose rows come later. `server_version(connection)` is what the server
    said of itself, None where that is not known.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        unbuffered: type,
        blocks: bool,
        server_version: Callable[[Any], str | None] = attrgetter("server_version"),
    ) -> None:
        self._unbuffered = unbuffered
        self._server_version = server_version
        self._blocks = blocks
        self._databases = Databases(recorder, parameters=2, count_rows=self._count_rows)

    def stop(self) -> None:
        """Measure nothing any more."""
        self._databases.stop()

    def find(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The operation of `execute(query, args)` and of `executemany`."""
        operations = self._operations(cursor)
        query = args[0] if args else kwargs.get("query")
        if operations is None or query is None:
            return None
        if type(query) is not str:
            if not isinstance(query, str | bytes | bytearray):
                return None
            query = str(query) if isinstance(query, str) else query.decode("utf-8", "replace")
        return operations[query]

    def find_procedure(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The operation of `callproc(name, args)`."""
        name = args[0] if args else kwargs.get("procname")
        return self.find(cursor, (f"CALL {name}",), {})

    def find_fetch(self, cursor: Any, _args: Args, _kwargs: Kwargs) -> Statement | None:
        """The operation of a fetch of several rows that are still in the server."""
        operations = self._operations(cursor)
        return None if operations is None else operations.fixed("FETCH")

    def count_procedure_rows(self, cursor: Any, args: Args, kwargs: Kwargs, _result: Any) -> None:
        """The rows of the first result of a procedure."""
        rows = self._count_rows((cursor,), None)
        statement = self.find_procedure(cursor, args, kwargs) if rows >= 0 else None
        if statement is not None:
            statement.returned(rows)

    def count_fetched(self, cursor: Any, args: Args, kwargs: Kwargs, rows: Any) -> None:
        """The rows of a fetch."""
        statement = self.find_fetch(cursor, args, kwargs)
        if statement is not None:
            statement.returned(len(rows))

    def _operations(self, cursor: Any) -> Operations | None:
        connection = cursor.connection
        if connection is None:
            return None  # closed: the library says so
        remembered: Operations | None = vars(connection).get("_perfsdk_operations")
        if remembered is not None and not remembered.stopped:
            return remembered
        name = getattr(connection, "db", None)
        is_mariadb = "MariaDB" in (self._server_version(connection) or "")
        found = self._databases.operations(
            "mariadb" if is_mariadb else "mysql",
            name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "",
            is_leaf=False,  # a batch executes its statements by `execute`
            blocks=self._blocks,
        )
        connection._perfsdk_operations = found  # noqa: SLF001 - our own attribute
        return found

    def _count_rows(self, args: Args, _result: Any) -> int:
        """The rows that came with a statement; a number of rows affected has no description."""
        cursor = args[0]
        description = cursor.description
        if description is None or isinstance(cursor, self._unbuffered):
            return -1
        if len(description) >= WIDE_COLUMNS and len(args) > 1:
            statement = self.find(cursor, args[1:], {})
            if statement is not None:
                statement.columns(len(description))
        return int(cursor.rowcount)
