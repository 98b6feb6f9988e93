"""Times each statement of mysqlclient's cursors, whoever made the connection.

Known: mysqlclient 1.4 to 2.3 (https://mysqlclient.readthedocs.io), imported as MySQLdb. PyMySQL
under that name is left to the integration of PyMySQL. Entry points are those of `BaseCursor`,
which all classes of cursors have: `execute`, `executemany` (one operation, however many statements
it becomes) and `callproc` (`CALL`). Their time is that with all rows fetched. An `SSCursor` leaves
them in the server: `execute` has none, and `fetchall` and `fetchmany` are a `FETCH` each; what
reads row by row is not measured, since a hook would cost as much as the row.

What the connection does itself, to begin, commit, roll back, ping or set up, is no operation, nor
is `Connection.query`. `db_namespace` is the database given to connect: neither `select_db` nor
`USE` changes what a connection says of itself. Before 2.2.5 a connection does not know it; it is
empty for those that were made before the patch.
"""

import functools
from importlib import import_module
from typing import Any

from perfsdk import guard
from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import Call, silent, timed
from perfsdk.wrapping.mysql import Cursors
from perfsdk.wrapping.patches import Patches

VERSIONS = ((1, 4), (3,))

_DATABASE = 3
"""Where the database is in the arguments of `Connection`."""


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the cursors that are there and those to come."""
    # The first connection would import them.
    connection = import_module(f"{module.__name__}.connections").Connection
    classes = module.cursors
    unbuffered = classes.CursorUseResultMixIn
    cursors = Cursors(recorder, unbuffered=unbuffered, blocks=True, server_version=_server_version)
    patches.replace(classes.BaseCursor, "execute", timed(DB, cursors.find))
    patches.replace(classes.BaseCursor, "executemany", timed_batch(cursors.find, "args"))
    procedure = timed(DB, cursors.find_procedure, cursors.count_procedure_rows)
    patches.replace(classes.BaseCursor, "callproc", procedure)
    fetch = timed(DB, cursors.find_fetch, cursors.count_fetched)
    for name in ("fetchall", "fetchmany"):
        patches.replace(unbuffered, name, fetch)
    # It fetches what is left, and so did `close` by it before 2.2: the library's own doing.
    patches.replace(classes.BaseCursor, "nextset", silent(DB))
    if not hasattr(connection, "_set_attributes"):
        patches.replace(connection, "__init__", _noting_database)
    patches.on_undo(cursors.stop)


def _server_version(connection: Any) -> str | None:
    """What the server said of itself; None of a connection that is closed, which has forgotten."""
    return str(connection.get_server_info()) if connection.open else None


def _noting_database(wrapped: Call) -> Call:
    """Have a connection know its database, as those of newer versions do."""

    @functools.wraps(wrapped)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - put into a class
        wrapped(self, *args, **kwargs)
        try:
            named = kwargs.get("database") or kwargs.get("db")
            self.db = args[_DATABASE] if len(args) > _DATABASE else named
        except Exception:
            guard.failed("mysqlclient.init")

    return __init__
