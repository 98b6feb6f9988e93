"""Times each statement of PyMySQL cursors, whoever made the connection.

Known: PyMySQL 1.0 and newer (https://pymysql.readthedocs.io), also under the name of MySQLdb.
Entry points are those of `Cursor`, which all classes of cursors have or call: `execute`,
`executemany` (one operation, however many statements it becomes) and `callproc` (`CALL`). Their
time is that with all rows fetched. An `SSCursor` leaves them in the server: `execute` has none,
and `fetchall` and `fetchmany` are a `FETCH` each; what reads row by row is not measured, since a
hook would cost as much as the row.

What the connection does itself, to begin, commit, roll back, ping or set up, is no operation, nor
is `Connection.query`. `db_namespace` is the database given to connect: neither `select_db` nor
`USE` changes what a connection says of itself.
"""

from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import timed
from perfsdk.wrapping.mysql import Cursors
from perfsdk.wrapping.patches import Patches

VERSIONS = ((1, 0), (2,))


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the cursors that are there and those to come."""
    classes = module.cursors
    cursors = Cursors(recorder, unbuffered=classes.SSCursor, blocks=True)
    patches.replace(classes.Cursor, "execute", timed(DB, cursors.find))
    patches.replace(classes.Cursor, "executemany", timed_batch(cursors.find, "args"))
    procedure = timed(DB, cursors.find_procedure, cursors.count_procedure_rows)
    patches.replace(classes.Cursor, "callproc", procedure)
    fetch = timed(DB, cursors.find_fetch, cursors.count_fetched)
    for name in ("fetchall", "fetchmany"):
        patches.replace(classes.SSCursor, name, fetch)
    patches.on_undo(cursors.stop)
