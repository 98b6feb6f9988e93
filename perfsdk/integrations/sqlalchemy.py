"""Times each statement that SQLAlchemy gives to a driver: once, whatever layers are below.

Known: SQLAlchemy 2.0 and 2.1 (https://docs.sqlalchemy.org): Core, ORM and asyncio. Entry points
are `Dialect.do_execute`, `do_executemany` and `do_execute_no_params`, on every class of dialect
that defines them, which costs half of what the events cost and serves engines made before. The
batches of one INSERT with many rows are one operation, in `Connection._exec_insertmany_context`;
so is an `executemany`. With asyncio the time includes what is awaited.

Not counted is what an engine does on its own account: setting up a connection, listeners for that
included, pings of the pool, isolation levels, savepoints and two-phase commits; neither are BEGIN,
COMMIT and ROLLBACK, which are no statements here. `error_type` is the class that the driver
raised, before SQLAlchemy puts its own around it; for an INSERT in batches it is SQLAlchemy's.

Connections to SQLite that an engine opens, also by a `creator`, are left as they are by the
integration of sqlite3, since their statements are counted here; what `raw_connection()` executes
there is therefore not measured.

The table comes from the compiled statement, joins of eager loading included; from the text for
`text()` and `exec_driver_sql`. Statements that a `do_execute` event handles are not seen.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType, MethodDescriptorType
from typing import Any

from perfsdk.integrations import sqlalchemy_pools
from perfsdk.integrations.sqlalchemy_names import namespace, system_name
from perfsdk.integrations.sqlalchemy_rows import Batches, Counting
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.calls import Args, Kwargs, Operation, silent, timed
from perfsdk.wrapping.dbapi import Operations
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import Statement
from perfsdk.wrapping.statements import operation_name

VERSIONS = ((2, 0), (2, 2))

EXECUTES = ("do_execute", "do_executemany", "do_execute_no_params")
ON_ITS_OWN = (
    "connect",
    "initialize",
    "do_ping",
    "do_begin",
    "do_rollback",
    "do_commit",
    "do_close",
    "do_terminate",
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


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure every dialect that is there, and others when an engine of theirs connects first."""
    default = module.engine.default.DefaultDialect
    counting = Counting(recorder)
    statements = Statements(counting, module.sql.util.find_tables)
    dialects = Dialects(default, statements, patches)
    for owner in [default, *_subclasses(default)]:
        dialects.patch(owner)
    connection = module.engine.base.Connection
    if "_exec_insertmany_context" in vars(connection):
        batches = timed(DB, statements.find_batches)
        patches.replace(connection, "_exec_insertmany_context", batches)
    for name in ("fetchall", "fetchmany"):
        patches.replace(module.engine.cursor.CursorFetchStrategy, name, counting.make_fetch)
    patches.on_undo(statements.stop)
    # Not in `DefaultDialect.__init__`: the parameters that it names are those of create_engine.
    sqlalchemy_pools.patch(module, patches, recorder, dialects.meet)


class Dialects:
    """The classes of dialects that are patched; those imported later follow with their engine."""

    def __init__(self, default: type, statements: "Statements", patches: Patches) -> None:
        self._default = default
        one, many = timed(DB, statements.find), timed(DB, statements.find_many)
        self._execute = {**dict.fromkeys(EXECUTES, one), "do_executemany": many}
        one, many = timed(DB, statements.find_outer), timed(DB, statements.find_outer_many)
        self._override = {**dict.fromkeys(EXECUTES, one), "do_executemany": many}
        self._patches = patches
        self._known: weakref.WeakSet[type] = weakref.WeakSet()
        self._lock = threading.Lock()

    def patch(self, owner: type) -> None:
        """Patch what the class itself defines."""
        with self._lock:
            if owner in self._known:
                return
            self._known.add(owner)
            execute = self._execute if owner is self._default else self._override
            makes = {**execute, **dict.fromkeys(ON_ITS_OWN, silent(DB))}
            for name, make in makes.items():
                if isinstance(vars(owner).get(name), FunctionType):
                    self._patches.replace(owner, name, make)

    def meet(self, dialect: Any) -> None:
        """Patch the classes of a dialect whose engine connects."""
        for owner in type(dialect).__mro__:
            if issubclass(owner, self._default):
                self.patch(owner)


class Statements:
    """Finds the operation of a statement: one attribute and two lookups when it is known."""

    def __init__(self, counting: Counting, find_tables: Callable[..., Any]) -> None:
        self._counting = counting
        self._find_tables = find_tables
        self._dialects: weakref.WeakSet[Any] = weakref.WeakSet()

    def find(self, dialect: Any, args: Args, kwargs: Kwargs) -> Operation | None:
        """The operation of `do_execute(cursor, statement, ...)` and its like."""
        try:
            operations = dialect._perfsdk_operations[type(args[0])]  # noqa: SLF001 - our own
            known: Statement | None = operations.get(args[1])
        except (AttributeError, KeyError):
            known = None
        if known is not None:
            return known
        return self._learn(dialect, type(args[0]), args[1], kwargs.get("context", args[-1]))

    def find_many(self, dialect: Any, args: Args, kwargs: Kwargs) -> Operation | None:
        """The same of `do_executemany(cursor, statement, parameters, ...)`."""
        found = self.find(dialect, args, kwargs)
        if isinstance(found, Statement):
            found.sent(len(args[2]))
        return found

    def find_outer(self, dialect: Any, args: Args, kwargs: Kwargs) -> Operation | None:
        """The same where the method of another class may be called below."""
        return self.find(dialect, (None, *args[1:]), kwargs)

    def find_outer_many(self, dialect: Any, args: Args, kwargs: Kwargs) -> Operation | None:
        """Likewise."""
        return self.find_many(dialect, (None, *args[1:]), kwargs)

    def find_batches(self, _connection: Any, args: Args, _kwargs: Kwargs) -> Operation | None:
        """The operation of an INSERT in batches."""
        dialect, context = args
        found = self._learn(dialect, Batches, context.statement, context)
        if found is not None:
            found.sent(len(context.compiled_parameters))
        return found

    def stop(self) -> None:
        """Learn nothing any more, and leave nothing in the application's dialects."""
        self._counting.stop()
        for dialect in list(self._dialects):
            vars(dialect).pop("_perfsdk_operations", None)

    def _learn(self, dialect: Any, cursor: type, text: Any, context: Any) -> Statement | None:
        if getattr(context, "dialect", None) is not dialect:
            return None  # not called by an engine: what the driver does is measured there
        operations = self._operations(dialect, cursor, context)
        before_events = getattr(context, "statement", None)  # that of a sequence has none
        if _is_decorated(text, before_events):
            text = before_events
        if text in operations:
            return operations[text]
        operation, table = operation_name(text), ""
        made_of = getattr(context.compiled, "statement", None)
        if made_of is not None and operation in (_kind(context, made_of), "WITH"):
            operation = _kind(context, made_of) or operation
            table = self._table(context.compiled)
        return operations.learn(text, text, operation=operation, table=table)

    def _operations(self, dialect: Any, cursor: type, context: Any) -> Operations:
        """Those of an engine's database; by class of cursor, which tells what is below."""
        by_cursor: dict[type, Operations] | None = vars(dialect).get("_perfsdk_operations")
        if by_cursor is None:
            self._dialects.add(dialect)
            by_cursor = dialect._perfsdk_operations = {}  # noqa: SLF001 - our own
        if cursor not in by_cursor:
            databases = self._counting.databases(
                dialect,
                cursor,
                is_server_side=context._is_server_side,  # noqa: SLF001 - it has no other sign
            )
            by_cursor[cursor] = databases.operations(
                system_name(dialect),
                namespace(context.engine.url),
                # A method written in C is the library's own: nobody measures it.
                is_leaf=isinstance(getattr(cursor, "execute", None), MethodDescriptorType),
                blocks=not dialect.is_async,
            )
        return by_cursor[cursor]

    def _table(self, compiled: Any) -> str:
        """The only table, without its schema: those of tenants would be too many."""
        # Of an ORM statement, what it has become: with the joins of eager loading.
        final = getattr(compiled.compile_state, "statement", None)
        statement = compiled.statement if final is None else final
        names = {str(table.name) for table in self._find_tables(statement, include_crud=True)}
        return names.pop() if len(names) == 1 else ""


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
