"""Times each statement of aiomysql cursors, whoever made the connection.

Known: aiomysql 0.1 to 0.3 (https://aiomysql.readthedocs.io). Entry points are those of `Cursor`,
which all classes of cursors have or call: `execute`, `executemany` (one operation, however many
statements it becomes) and `callproc` (`CALL`). Their time is that with all rows fetched. An
`SSCursor` leaves them in the server: `execute` has none, and `fetchall` and `fetchmany` are a
`FETCH` each; what reads row by row is not measured, since a hook would cost as much as the row.

What the connection does itself, to begin, commit, roll back, ping or set up, is no operation.
`db_namespace` is the database given to connect: neither `select_db` nor `USE` changes what a
connection says of itself.
"""

from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_coroutine_batch
from perfsdk.wrapping.calls import timed_coroutine
from perfsdk.wrapping.mysql import Cursors
from perfsdk.wrapping.patches import Patches

VERSIONS = ((0, 1), (0, 4))


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the cursors that are there and those to come."""
    cursors = Cursors(recorder, unbuffered=module.SSCursor, blocks=False)
    patches.replace(module.Cursor, "execute", timed_coroutine(DB, cursors.find))
    patches.replace(module.Cursor, "executemany", timed_coroutine_batch(cursors.find, "args"))
    procedure = timed_coroutine(DB, cursors.find_procedure, cursors.count_procedure_rows)
    patches.replace(module.Cursor, "callproc", procedure)
    fetch = timed_coroutine(DB, cursors.find_fetch, cursors.count_fetched)
    for name in ("fetchall", "fetchmany"):
        patches.replace(module.SSCursor, name, fetch)
    patches.on_undo(cursors.stop)
