"""Times each statement that Django gives to a database: once, whatever driver is below.

Known: Django 4.2 to 6.1 (https://docs.djangoproject.com/en/stable/topics/db/), all backends and
aliases, the ORM, raw SQL and async queries. Entry points are `execute`, `executemany` (one
operation) and `callproc` (`CALL`) of `CursorWrapper`, which serves connections made before and
those of DEBUG too. What an `execute_wrapper` does is in the time of its statement, and what it
adds to the text, such as a comment, is not seen. `error_type` is Django's class of exceptions,
the same for all drivers.

Not counted is what Django does on its own account: setting up a connection, receivers of
`connection_created` included, health checks, BEGIN and the savepoints of `atomic`; COMMIT and
ROLLBACK are no statements here. Left to the driver's integration is what goes around these
entry points: statements that are no text, COPY, and each FETCH of a server-side cursor, by
which `iterator()` reads from PostgreSQL. SQLite's connections are left as they are, since
their statements are counted here; what `connection.connection` executes is not measured.

Rows are those that came with a statement from PostgreSQL, MariaDB and MySQL; those of SQLite
are counted where they are fetched, but for loops over a cursor. Other backends tell none.
"""

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from importlib import import_module
from types import FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.integrations import django_orm_rows, django_orm_threads
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import Args, Call, Kwargs, silent, timed
from perfsdk.wrapping.dbapi import Databases, Operations, file_namespace
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import WIDE_COLUMNS, Statement

VERSIONS = ((4, 2), (6, 2))

OPERATIONS = "_perfsdk_operations"
"""Our attribute of a `DatabaseWrapper`, which is what Django calls a connection."""

ON_ITS_OWN = (
    "is_usable",
    "_savepoint",
    "_savepoint_commit",
    "_savepoint_rollback",
    "_start_transaction_under_autocommit",
)

SYSTEMS = {"microsoft": "microsoft.sql_server", "oracle": "oracle.db"}
"""Vendors that OpenTelemetry calls by another name."""
WITH_ROWS = ("mysql", "postgresql")
"""Vendors whose drivers have all rows after `execute`, and tell how many these are."""
MOST_ROWS = 1 << 62
"""Drivers for MySQL tell more when they leave the rows in the server."""


def patch(_module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the cursors of every backend, and keep what Django does on its own out of it."""
    # Imported by every backend; `django.db` itself loads neither before one is asked for.
    cursor = import_module("django.db.backends.utils").CursorWrapper
    wrapper = import_module("django.db.backends.base.base").BaseDatabaseWrapper
    statements = Statements(recorder)
    patches.replace(cursor, "execute", timed(DB, statements.find))
    patches.replace(cursor, "executemany", timed_batch(statements.find, "param_list"))
    procedure = timed(DB, statements.find_procedure, statements.count_procedure_rows)
    patches.replace(cursor, "callproc", procedure)
    backends = Backends(wrapper, patches)
    for backend in [wrapper, *_subclasses(wrapper)]:
        backends.meet(backend)
    django_orm_threads.patch(patches)
    patches.on_undo(backends.stop)
    patches.on_undo(statements.stop)


class Backends:
    """The classes of backends that are patched; those imported later follow as they connect."""

    def __init__(self, wrapper: type, patches: Patches) -> None:
        self._patches = patches
        makes = {"connect": functools.partial(_connect, self)}
        self._makes: dict[str, Callable[[Call], Call]] = {
            **makes,
            **dict.fromkeys(ON_ITS_OWN, silent(DB)),
        }
        self._wrapper = wrapper
        self._known: weakref.WeakSet[type] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._stopped = False

    def meet(self, backend: type) -> None:
        """Patch what the class and those that it derives from define themselves."""
        if backend in self._known:
            return
        with self._lock:
            if self._stopped:
                return
            for owner in backend.__mro__:
                if owner in self._known or not issubclass(owner, self._wrapper):
                    continue
                for name, make in self._makes.items():
                    if isinstance(vars(owner).get(name), FunctionType):
                        self._patches.replace(owner, name, make)
                self._known.add(owner)
            sqlite = sys.modules.get("django.db.backends.sqlite3.base")
            if sqlite is not None and hasattr(sqlite, "SQLiteCursorWrapper"):
                django_orm_rows.patch(sqlite.SQLiteCursorWrapper, self._patches)

    def stop(self) -> None:
        """Patch none any more."""
        with self._lock:
            self._stopped = True


class Statements:
    """Finds the statement of a call: an attribute of Django's connection and a lookup."""

    def __init__(self, recorder: Recorder) -> None:
        self._databases = Databases(recorder, parameters=2, count_rows=self._count_rows)

    def find(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The statement of `execute(sql, ...)` and `executemany(sql, ...)`."""
        db = cursor.db
        operations: Operations | None = db.__dict__.get(OPERATIONS)
        if operations is None or operations.stopped:
            operations = self._operations(db)
        text = args[0] if args else kwargs["sql"]
        if not isinstance(text, str):
            return None
        statement = operations[text]
        if db.vendor == "sqlite":
            django_orm_rows.executed(cursor.cursor, statement)
        return statement

    def find_procedure(self, cursor: Any, args: Args, kwargs: Kwargs) -> Statement | None:
        """The statement of `callproc(procname, ...)`."""
        name = args[0] if args else kwargs["procname"]
        return self.find(cursor, (f"CALL {name}",), {}) if isinstance(name, str) else None

    def count_procedure_rows(self, cursor: Any, args: Args, kwargs: Kwargs, _result: Any) -> None:
        """Tell the rows that a procedure returned."""
        statement = self.find_procedure(cursor, args, kwargs)
        rows, _ = _rows_and_columns(cursor)
        if statement is not None and rows >= 0:
            statement.returned(rows)

    def stop(self) -> None:
        """Measure nothing any more."""
        self._databases.stop()

    def _operations(self, db: Any) -> Operations:
        """Those of the database that Django's connection leads to, until it connects again."""
        found = self._databases.operations(
            _system_name(db), _namespace(db), is_leaf=_is_plain_sqlite(db.connection)
        )
        db.__dict__[OPERATIONS] = found
        return found

    def _count_rows(self, args: Args, _result: Any) -> int:
        cursor = args[0]
        rows, columns = _rows_and_columns(cursor)
        if columns >= WIDE_COLUMNS:
            statement = self.find(cursor, args[1:], {})
            if statement is not None:
                statement.columns(columns)
        return rows


def _connect(backends: Backends, wrapped: Call) -> Call:
    silently = silent(DB)(wrapped)

    @functools.wraps(wrapped)
    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            backends.meet(type(self))
            # Tests let one connection lead to several databases, one after the other.
            self.__dict__.pop(OPERATIONS, None)
        except Exception:
            guard.failed("django_orm.connect")
        return silently(self, *args, **kwargs)

    return connect


def _subclasses(owner: type[Any]) -> Iterator[type[Any]]:
    for subclass in owner.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _system_name(db: Any) -> str:
    """The kind of database, as OpenTelemetry calls it; never asks the server."""
    vendor = str(db.vendor)
    if vendor == "mysql":
        # Django has asked when it connected, and keeps the answer.
        server = db.__dict__.get("mysql_server_data") or {}
        if "mariadb" in str(server.get("version")).lower():
            return "mariadb"
    return SYSTEMS.get(vendor, vendor)


def _namespace(db: Any) -> str:
    """The name of the database; that of SQLite is the base name of its file."""
    name = db.settings_dict.get("NAME")
    if db.vendor == "sqlite":
        return file_namespace(name)
    if not name and db.vendor == "postgresql":
        return str(db.connection.info.dbname or "")  # of a service, or the one by default
    return os.path.basename(str(name or ""))


def _is_plain_sqlite(connection: Any) -> bool:
    """Whether it is a connection of the library's own class, which nobody measures."""
    sqlite = sys.modules.get("sqlite3")
    return sqlite is not None and type(connection) is sqlite.Connection


def _rows_and_columns(cursor: Any) -> tuple[int, int]:
    """What came with a statement; -1 rows: not known, or none could come."""
    raw, vendor = cursor.cursor, cursor.db.vendor
    if vendor not in WITH_ROWS:
        return -1, 0
    if vendor == "postgresql" and getattr(raw, "name", None) is not None:
        return -1, 0  # a server-side cursor, whose rows are not here yet
    # Of psycopg 3, which makes its description anew each time.
    result = getattr(raw, "pgresult", None) if vendor == "postgresql" else None
    columns = len(raw.description or ()) if result is None else int(result.nfields)
    rows = int(raw.rowcount)
    return (rows, columns) if columns and rows < MOST_ROWS else (-1, columns)
