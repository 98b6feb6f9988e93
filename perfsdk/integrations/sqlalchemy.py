"""Times each statement that SQLAlchemy gives to a driver: once, whatever layers are below.

Known: SQLAlchemy 2.0 and 2.1 (https://docs.sqlalchemy.org): Core, ORM and asyncio. Entry points
are `Dialect.do_execute`, `do_executemany` and `do_execute_no_params`, on every class of dialect
that defines them, which costs half of what the events cost and serves engines made before. The
batches of one INSERT with many rows are one operation, in `Connection._exec_insertmany_context`;
so is an `executemany`. With asyncio the time includes what is awaited.

Not counted is what an engine does on its own account: its first questions to a server, pings of
the pool, isolation levels, savepoints and two-phase commits; neither are BEGIN, COMMIT and
ROLLBACK, which are no statements here. `error_type` is the class that the driver raised, before
SQLAlchemy puts one of its own around it; for an INSERT in batches it is SQLAlchemy's.

The table comes from the compiled statement, joins of eager loading included; from the text for
`text()` and `exec_driver_sql`. Statements that a `do_execute` event handles are not seen.
"""

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from perfsdk import guard
from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Kwargs, Make, Operation, silent, timed
from perfsdk.wrapping.dbapi import Databases, Operations, file_namespace
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statements import operation_name, single_table

VERSIONS = ((2, 0), (2, 2))

EXECUTES = ("do_execute", "do_executemany", "do_execute_no_params")
ON_ITS_OWN = (
    "initialize",
    "do_ping",
    "get_isolation_level",
    "set_isolation_level",
    "do_savepoint",
    "do_rollback_to_savepoint",
    "do_release_savepoint",
    "do_begin_twophase",
    "do_prepare_twophase",
    "do_rollback_twophase",
    "do_commit_twophase",
)

SYSTEMS = {
    "db2": "ibm.db2",
    "firebird": "firebirdsql",
    "hana": "sap.hana",
    "ibm_db_sa": "ibm.db2",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "redshift": "aws.redshift",
    "spanner": "gcp.spanner",
}
"""Dialects that OpenTelemetry calls by another name."""


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure every dialect that is there, and others when an engine is made for them."""
    default = module.engine.default.DefaultDialect
    statements = Statements(
        Databases(recorder.histogram(DB_CLIENT_OPERATION_DURATION)), module.sql.util.find_tables
    )
    dialects = Dialects(default, timed(DB, statements.find), patches)
    for owner in [default, *_subclasses(default)]:
        dialects.patch(owner)
    patches.replace(default, "__init__", functools.partial(_init, dialects))
    connection = module.engine.base.Connection
    if "_exec_insertmany_context" in vars(connection):
        batches = timed(DB, statements.find_batches)
        patches.replace(connection, "_exec_insertmany_context", batches)
    patches.on_undo(statements.stop)


class Dialects:
    """The classes of dialects that are patched; those imported later follow with their engine."""

    def __init__(self, default: type, make: Make, patches: Patches) -> None:
        self._default = default
        self._make = make
        self._patches = patches
        self._known: weakref.WeakSet[type] = weakref.WeakSet()
        self._lock = threading.Lock()

    def patch(self, owner: type) -> None:
        """Patch what the class itself defines."""
        with self._lock:
            if owner in self._known:
                return
            self._known.add(owner)
            for names, make in ((EXECUTES, self._make), (ON_ITS_OWN, silent(DB))):
                for name in names:
                    if isinstance(vars(owner).get(name), FunctionType):
                        self._patches.replace(owner, name, make)

    def meet(self, dialect: Any) -> None:
        """Patch the classes of a dialect that is being made."""
        for owner in type(dialect).__mro__:
            if issubclass(owner, self._default):
                self.patch(owner)


class Statements:
    """Finds the operation of a statement: one attribute and one lookup when it is known."""

    def __init__(self, databases: Databases, find_tables: Callable[..., Any]) -> None:
        self._databases = databases
        self._find_tables = find_tables
        self._dialects: weakref.WeakSet[Any] = weakref.WeakSet()

    def find(self, dialect: Any, args: Args, kwargs: Kwargs) -> Operation | None:
        """The operation of `do_execute` and its like, called as SQLAlchemy calls them."""
        statement = args[1]
        try:
            known = dialect._perfsdk_operations.get(statement)  # noqa: SLF001 - our own attribute
        except AttributeError:
            known = None
        if known is not None:
            return known  # type: ignore[no-any-return] # the attribute is ours
        return self._learn(dialect, statement, kwargs.get("context", args[-1]))

    def find_batches(self, _connection: Any, args: Args, _kwargs: Kwargs) -> Operation | None:
        """The operation of an INSERT in batches."""
        dialect, context = args
        return self.find(dialect, (None, context.statement, context), {})

    def stop(self) -> None:
        """Learn nothing any more, and leave nothing in the application's dialects."""
        self._databases.stop()
        for dialect in list(self._dialects):
            vars(dialect).pop("_perfsdk_operations", None)

    def _learn(self, dialect: Any, statement: Any, context: Any) -> Operation | None:
        if getattr(context, "dialect", None) is not dialect:
            return None  # not called by an engine: what the driver does is measured there
        operations = self._operations(dialect, context.engine.url)
        before_events = context.statement
        if _is_decorated(statement, before_events):
            statement = before_events
            if statement in operations:
                return operations[statement]
        operation, table = operation_name(statement), ""
        made_of = getattr(context.compiled, "statement", None)
        if made_of is not None and operation in (_kind(context, made_of), "WITH"):
            operation = _kind(context, made_of) or operation
            table = self._table(context.compiled)
        return operations.learn(statement, operation, table or single_table(statement))

    def _operations(self, dialect: Any, url: Any) -> Operations:
        operations: Operations | None = vars(dialect).get("_perfsdk_operations")
        if operations is None:
            operations = self._databases.operations(_system(dialect), _namespace(url))
            self._dialects.add(dialect)
            dialect._perfsdk_operations = operations  # noqa: SLF001 - our own attribute
        return operations

    def _table(self, compiled: Any) -> str:
        """The only table, without its schema: those of tenants would be too many."""
        # Of an ORM statement, what it has become: with the joins of eager loading.
        final = getattr(compiled.compile_state, "statement", None)
        statement = compiled.statement if final is None else final
        names = {str(table.name) for table in self._find_tables(statement, include_crud=True)}
        return names.pop() if len(names) == 1 else ""


def _init(dialects: Dialects, wrapped: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(wrapped)
    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        try:
            dialects.meet(self)
        except Exception:
            guard.failed("sqlalchemy.init")
        wrapped(self, *args, **kwargs)

    return init


def _subclasses(owner: type[Any]) -> Iterator[type[Any]]:
    for subclass in owner.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _is_decorated(statement: str, original: Any) -> bool:
    """Whether an event has put something, such as a comment, before or after the original."""
    return (
        isinstance(original, str)
        and original != ""
        and original is not statement
        and (statement.startswith(original) or statement.endswith(original))
    )


def _kind(context: Any, statement: Any) -> str:
    """What SQLAlchemy knows a statement to be; empty when it knows nothing."""
    if context.isinsert:
        return "INSERT"
    if context.isupdate:
        return "UPDATE"
    if context.isdelete:
        return "DELETE"
    return "SELECT" if getattr(statement, "is_select", False) else ""


def _system(dialect: Any) -> str:
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else str(dialect.name)
    return SYSTEMS.get(name, name)


def _namespace(url: Any) -> str:
    if url.get_backend_name() != "sqlite":
        return url.database or ""
    return ":memory:" if url.query.get("mode") == "memory" else file_namespace(url.database)
