"""Times each statement on connections that the standard library's sqlite3 opens from now on.

Known: SQLite 3 (https://docs.python.org/3/library/sqlite3.html). `sqlite3.connect` gives
connections of a real subclass, with cursors of one, so that `Connection.backup`, row factories
and type checks work. A class of the application given as `factory` is extended by a subclass of
both; any other callable is left alone. Time is that of `execute`, `executemany` (one operation)
and `executescript` (one, `SCRIPT`): SQLite computes most rows when they are fetched, which is
not in it. `commit`, `rollback` and the BEGIN that the module adds are no operations of the
application; a BEGIN that it executes itself is.

Not measured: connections made before, or by a `connect` imported from sqlite3 before, since the
library's class cannot be changed; those made by `sqlite3.Connection(...)`; those opened by a
layer that counts their statements itself, such as SQLAlchemy; and those of aiosqlite, which work
in a thread that knows of no request.
"""

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB, counted
from perfsdk.wrapping.calls import Args, Kwargs, Operation, timed
from perfsdk.wrapping.dbapi import Databases, Operations, file_namespace
from perfsdk.wrapping.patches import Patches

VERSIONS = ((3,), (4,))

MAX_CLASSES = 100
"""Classes of the application that are extended; what is extended is kept alive."""

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


class Classes:
    """A class of the library, the subclass that measures, and those of the application."""

    def __init__(self, original: type, measured: type) -> None:
        self.original = original
        self.measured = measured
        self._extended: dict[type, type] = {}

    def of(self, factory: Any) -> Any:
        """What measures in place of `factory`; itself when there is no such thing."""
        if factory is self.original:
            return self.measured
        if not isinstance(factory, type) or not issubclass(factory, self.original):
            return factory
        if issubclass(factory, self.measured):
            return factory
        if factory not in self._extended and len(self._extended) < MAX_CLASSES:
            try:
                # Above the library's class: what the application's calls by super() is measured.
                extended = _subclass((factory, self.measured), {})
            except Exception:
                extended = factory  # it does not want to be extended
            self._extended[factory] = extended
        return self._extended.get(factory, factory)


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
    statement, script = timed(DB, _find), timed(DB, _find_script)
    methods = {
        "execute": statement(original.execute),
        "executemany": statement(original.executemany),
        "executescript": script(original.executescript),
    }
    return _subclass((original,), methods)


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
    return _subclass((original,), {method.__name__: method for method in methods})


def _subclass(classes: tuple[Any, ...], methods: dict[str, Any]) -> type:
    """A subclass that looks like the first of its bases."""
    first = classes[0]
    names = {"__module__": first.__module__, "__qualname__": first.__qualname__}
    made: type = type(first)(
        first.__name__, classes, {**names, "__doc__": first.__doc__, **methods}
    )
    return made


def _find(cursor: Any, args: Args, _kwargs: Kwargs) -> Operation | None:
    operations: Operations | None = getattr(cursor.connection, "_perfsdk_operations", None)
    if operations is None or not args or type(args[0]) is not str:
        return None  # no connection of ours, or no statement: the library says what is wrong
    return operations[args[0]]


def _find_script(cursor: Any, _args: Args, _kwargs: Kwargs) -> Operation | None:
    operations: Operations | None = getattr(cursor.connection, "_perfsdk_operations", None)
    return None if operations is None else operations.fixed("SCRIPT")
