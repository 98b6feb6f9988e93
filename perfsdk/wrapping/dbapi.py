"""The operations of one database by statement: one that is known costs one lookup."""

import os
from typing import Any

from perfsdk.catalog import OVERFLOW
from perfsdk.recorder import Histogram
from perfsdk.request import DB
from perfsdk.wrapping.calls import Operation
from perfsdk.wrapping.statements import operation_name, single_table

MAX_DATABASES = 50
"""Databases that have operations of their own; the others share `<overflow>`."""
MAX_STATEMENTS = 1000
"""Statements remembered for one database. With more, all are forgotten: texts with literals in
them do not come again."""
MAX_REMEMBERED_CHARACTERS = 8192


class Operations(dict[Any, Operation | None]):
    """What is known of one database. `operations[statement]` learns it from its text if need be.

    After `stop` it is None for every statement, so that connections which outlive the patch are
    not measured. Threads: any may look up and learn.
    """

    __slots__ = ("_database", "_durations", "_is_leaf", "_stopped")

    def __init__(self, durations: Histogram, system: str, namespace: str, *, is_leaf: bool) -> None:
        super().__init__()
        self._durations = durations
        self._database = (system, namespace)
        self._is_leaf = is_leaf
        self._stopped = False

    def __missing__(self, statement: Any) -> Operation | None:
        return self.learn(statement, operation_name(statement), single_table(statement))

    def learn(self, statement: Any, operation: str, table: str = "") -> Operation | None:
        """Remember what a statement is, unless it is very long."""
        if self._stopped:
            return None
        labels = (*self._database, operation, table)
        learned = Operation(DB, self._durations, labels, is_leaf=self._is_leaf)
        if len(self) >= MAX_STATEMENTS:
            self.clear()
        if learned.is_lasting and len(statement) <= MAX_REMEMBERED_CHARACTERS:
            self[statement] = learned
        return learned

    def stop(self) -> None:
        """Forget everything and learn nothing any more."""
        self._stopped = True
        self.clear()


class Databases:
    """The operations of every database met so far."""

    def __init__(self, durations: Histogram) -> None:
        self._durations = durations
        self._known: dict[tuple[str, str, bool], Operations] = {}
        self._stopped = False

    def operations(self, system: str, namespace: str, *, is_leaf: bool) -> Operations:
        """Those of one database; `system` is OpenTelemetry's name of its kind.

        `is_leaf`: nothing below is measured too, see `Operation`.
        """
        key = system, namespace, is_leaf
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_DATABASES and namespace != OVERFLOW:
                return self.operations(system, OVERFLOW, is_leaf=is_leaf)
            made = Operations(self._durations, system, namespace, is_leaf=is_leaf)
            known = self._known.setdefault(key, made)
            if self._stopped:
                known.stop()
        return known

    def stop(self) -> None:
        """Measure nothing any more."""
        self._stopped = True
        for operations in list(self._known.values()):
            operations.stop()


def file_namespace(database: Any) -> str:
    """The name of an SQLite database: the base name of its file, or `:memory:`."""
    named = isinstance(database, (str, bytes, os.PathLike))
    path = os.fsdecode(database) if named else ""
    if path.startswith("file:"):
        path, _, query = path[len("file:") :].partition("?")
        if "mode=memory" in query.split("&"):
            return ":memory:"
    return os.path.basename(path) or ":memory:"
