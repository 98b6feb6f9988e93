"""The statements of one database by their text: one that is known costs one lookup."""

import os
import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any

from perfsdk.call_site import call_site
from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION, DB_CLIENT_RETURNED_ROWS, OVERFLOW
from perfsdk.recorder import Recorder
from perfsdk.wrapping.fingerprint import MAX_READ_CHARACTERS, Shape, shape_of
from perfsdk.wrapping.known_statements import add_source
from perfsdk.wrapping.statement import CountRows, Statement
from perfsdk.wrapping.statements import operation_name, single_table

MAX_DATABASES = 50
"""Databases that have statements of their own; the others share `<overflow>`."""
MAX_TEXTS, MAX_CHARACTERS = 1000, 4 << 20
"""Texts remembered for one database, and characters of them. With more, all are forgotten: those
with literals in them do not come again."""
MAX_STATEMENTS = 500
"""Statements, whatever their literals, of one database; others are told by their first word."""
LEARNED_A_MINUTE, LEARNED_CHARACTERS_A_MINUTE = 1000, 1 << 20
"""Texts that are read in a minute, at 10 to 400 us each and 0.4 ms for a KB, and characters of
them. When more come, they are full of literals, and only the first word is read."""


class Operations(dict[Any, Statement | None]):
    """What is known of one database. `operations[text]` learns a statement if need be.

    After `stop` it is None for every statement, so that connections which outlive the patch are
    not measured. Threads: any may look up and learn.
    """

    __slots__ = (
        "_database",
        "_databases",
        "_held_characters",
        "_is_leaf",
        "_learned",
        "_learned_characters",
        "_minute",
        "_statements",
        "blocks",
        "stopped",
    )

    def __init__(
        self, databases: "Databases", system: str, namespace: str, *, is_leaf: bool, blocks: bool
    ) -> None:
        super().__init__()
        self._databases = databases
        self._database = (system, namespace)
        self._is_leaf = is_leaf
        self.blocks = blocks
        self._statements: dict[tuple[str, str, Shape], Statement] = {}
        self._held_characters = self._learned = self._learned_characters = 0
        self._minute = 0.0
        self.stopped = False

    def __missing__(self, text: Any) -> Statement | None:
        return self.learn(text, text)

    def learn(
        self, key: Any, text: Any, *, operation: str = "", table: str = ""
    ) -> Statement | None:
        """Remember under `key` what a statement is, unless it is very long.

        Operation and table are read from the text unless they are given.
        """
        if self.stopped:
            return None
        operation = operation or operation_name(text)
        if not isinstance(text, str) or not self._may_learn(len(text)):
            return self._statement(operation, table, Shape(operation))
        shape = shape_of(text, self._database[0], operation)
        learned = self._statement(operation, table or single_table(text), shape)
        if len(self) >= MAX_TEXTS or self._held_characters >= MAX_CHARACTERS:
            self.clear()
            self._held_characters = 0
        if learned.is_lasting and len(text) <= MAX_READ_CHARACTERS:
            self[key] = learned
            self._held_characters += len(text)
        return learned

    def fixed(self, operation: str, like: Statement | None = None) -> Statement | None:
        """What has no text, such as the FETCH of a cursor, for the statement it belongs to."""
        if self.stopped:
            return None
        if like is None:
            return self._statement(operation, "", Shape(operation))
        shape = Shape(f"{operation}: {like.summary}")
        return self._statement(operation, like.labels[3], shape)

    def statements(self) -> list[Statement]:
        """All that are known."""
        return list(self._statements.values())

    def stop(self) -> None:
        """Forget everything and learn nothing any more."""
        self.stopped = True
        self.clear()
        self._statements.clear()

    def _may_learn(self, characters: int) -> bool:
        if characters > MAX_READ_CHARACTERS:
            return True  # of those only the first word is ever read
        now = monotonic()
        if now - self._minute >= 60:
            self._minute = now
            self._learned = self._learned_characters = 0
        self._learned += 1
        self._learned_characters += characters
        return (
            self._learned <= LEARNED_A_MINUTE
            and self._learned_characters <= LEARNED_CHARACTERS_A_MINUTE
        )

    def _statement(self, operation: str, table: str, shape: Shape) -> Statement:
        key = operation, table, shape
        known = self._statements.get(key)
        if known is not None:
            return known
        if len(self._statements) >= MAX_STATEMENTS:
            key = operation, "", Shape(operation)  # as many as there are verbs
            if known := self._statements.get(key):
                return known
        made = self._databases.make(
            (*self._database, key[0], key[1]), key[2], is_leaf=self._is_leaf, blocks=self.blocks
        )
        made.call_site = call_site(sys._getframe(1))  # noqa: SLF001 - no other way
        return self._statements.setdefault(key, made) if made.is_lasting else made


class Databases:
    """The operations of every database that one kind of hook has met.

    `parameters` is where the parameters of a statement are in the arguments of the hooked method,
    itself counted. `count_rows(args, result)` tells how many rows a statement returned, -1 where
    that is not known; it is asked after a success, about statements that return rows.
    """

    def __init__(
        self, recorder: Recorder, *, parameters: int, count_rows: CountRows | None = None
    ) -> None:
        self.recorder = recorder
        self._durations = recorder.histogram(DB_CLIENT_OPERATION_DURATION)
        self._rows = recorder.histogram(DB_CLIENT_RETURNED_ROWS)
        self._parameters = parameters
        self._count_rows = count_rows
        self._known: dict[tuple[str, str, bool, bool], Operations] = {}
        self._stopped = False
        add_source(self)

    def operations(
        self, system: str, namespace: str, *, is_leaf: bool, blocks: bool = True
    ) -> Operations:
        """Those of one database; `system` is OpenTelemetry's name of its kind.

        `is_leaf`: nothing below is measured too, see `Operation`. `blocks`: the calls block
        their thread.
        """
        key = system, namespace, is_leaf, blocks
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_DATABASES and namespace != OVERFLOW:
                return self.operations(system, OVERFLOW, is_leaf=is_leaf, blocks=blocks)
            made = Operations(self, system, namespace, is_leaf=is_leaf, blocks=blocks)
            known = self._known.setdefault(key, made)
            if self._stopped:
                known.stop()
        return known

    def make(
        self, labels: tuple[str, ...], shape: Shape, *, is_leaf: bool, blocks: bool
    ) -> Statement:
        """A statement that nobody has seen before."""
        return Statement(
            self._durations,
            self._rows,
            labels,
            shape,
            is_leaf=is_leaf,
            blocks=blocks,
            parameters=self._parameters,
            count_rows=self._count_rows,
            slow_seconds=self.recorder.slow_query_seconds,
        )

    def statements(self) -> Iterator[Statement]:
        """Those of all databases."""
        for operations in list(self._known.values()):
            yield from operations.statements()

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
