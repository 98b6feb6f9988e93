"""What is counted for SQLite equals what SQLite itself traced, statement by statement.

The mapping between the two: of a batch (`executemany`) and of a script, SQLite traces each
statement, while for the application each is one operation. What the library executes on its own
account, such as BEGIN, is traced and is no operation.
"""

import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from inspect import isawaitable
from itertools import groupby
from operator import itemgetter

import aiosqlite

from perfsdk.integrations import aiosqlite as aiosqlite_integration
from perfsdk.integrations import sqlite3 as sqlite3_integration
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS

OPERATIONS = 5000
SCHEMA = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); CREATE TABLE u (a INTEGER, b TEXT)"
SCRIPT = "INSERT {0} INTO u VALUES (1, ';'); UPDATE {0} u SET b = 'x'; DELETE {0} FROM t {1}"
TRACED = re.compile(r"(\w+) /\* ((\w+).*?) \*/.*?\b([tu])\b")
"""The verb, the comment, its first word, the table. What the library adds has no comment."""


def load(seed, number):
    """So many operations: the method, the statement, and parameters where it has some.

    Comments tell what a statement is a part of; neighbours differ in the number.
    """
    numbers = random.Random(seed)
    for n in range(number):
        a, b = numbers.randrange(40), f"it's {n}"
        batch = f"/* batch {n % 2} */"
        sets = [(numbers.randrange(1000), b) for _ in range(numbers.randrange(1, 9))]
        yield numbers.choice(
            [
                ("execute", "INSERT /* one */ INTO t VALUES (?, ?)", (a, b)),  # may be there
                ("execute", f"INSERT /* one */ INTO u VALUES ({a}, 'it''s {a}')"),
                ("execute", "SELECT /* one */ b FROM t WHERE a = ?", (a,)),
                ("execute", f"SELECT /* one */ * FROM u WHERE a = {a}"),
                ("execute", "SELECT /* one */ b FROM u WHERE a = :a", {"a": a}),
                ("execute", "UPDATE /* one */ t SET b = ? WHERE a = ?", (b, a)),
                ("execute", "DELETE /* one */ FROM u WHERE a < ?", (a,)),
                ("execute", "REPLACE /* one */ INTO t VALUES (?, ?) RETURNING a", (a, b)),
                ("executemany", f"REPLACE {batch} INTO t VALUES (?, ?)", sets),
                ("executemany", f"INSERT {batch} INTO u VALUES (?, ?)", iter(sets)),
                ("executemany", f"DELETE {batch} FROM t WHERE a = ? AND b <> ?", sets),
                ("executescript", SCRIPT.format(f"/* script {n % 2} */", "WHERE a > 9")),
            ]
        )


def counted(trace):
    """What should be counted of a trace: operations by name and table, and sets of batches."""
    traced = [match.groups() for match in map(TRACED.match, trace) if match]
    operations, sets = Counter(), 0
    for (_, kind), group in groupby(traced, key=itemgetter(1, 2)):
        statements = [(verb, table) for verb, _, _, table in group]
        if kind == "one":
            operations.update(statements)
        elif kind == "batch":
            operations[statements[0]] += 1
            sets += len(statements)
        else:
            operations["SCRIPT", ""] += 1
    return operations, sets


def run(seed, number, trace, isolation_level):
    """The load on a connection of sqlite3; how many rows it fetched and what it saw raised."""
    choice = random.Random(seed)
    rows, errors = 0, 0
    with closing(sqlite3.connect(":memory:", isolation_level=isolation_level)) as connection:
        connection.executescript(SCHEMA)
        connection.set_trace_callback(trace.append)
        own = connection.cursor()
        for method, *arguments in load(seed, number):
            try:
                cursor = getattr(choice.choice([connection, own]), method)(*arguments)
            except sqlite3.IntegrityError:
                errors += 1
                continue
            if method == "execute":
                rows += len(cursor.fetchall())
            if choice.random() < 0.1:
                connection.commit()
    return rows, errors


async def run_awaited(seed, number, trace):
    """The same on a connection of aiosqlite."""
    choice = random.Random(seed)
    rows, errors = 0, 0
    async with aiosqlite.connect(":memory:") as connection:
        await connection.executescript(SCHEMA)
        await connection.set_trace_callback(trace.append)
        own = await connection.cursor()
        for method, *arguments in load(seed, number):
            call = getattr(choice.choice([connection, own]), method)
            if method == "execute" and choice.random() < 0.2:
                call = connection.execute_fetchall
            elif method == "execute" and arguments[0].startswith("INSERT"):
                call = connection.execute_insert
            try:
                result = await call(*arguments)
            except sqlite3.IntegrityError:
                errors += 1
                continue
            if isinstance(result, list):
                rows += len(result)
            elif method == "execute" and isinstance(result, aiosqlite.Cursor):
                rows += len(await result.fetchall())
            if choice.random() < 0.1:
                await connection.commit()
    return rows, errors


async def test_counts_equal_those_of_sqlite(tmp_path):
    """By operation and table, for a mixed load on sqlite3 and aiosqlite, both measured."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        aiosqlite_integration.patch(aiosqlite, patches, recording.recorder)
        sqlite3_integration.patch(sqlite3, patches, recording.recorder)
        expected, sets, rows, errors = Counter(), 0, [], []
        try:
            for seed, work in enumerate(LOADS):
                trace = []
                done = work(seed, OPERATIONS // len(LOADS), trace)
                fetched, failed = await done if isawaitable(done) else done
                operations, batched = counted(trace)
                expected += operations
                sets += batched
                rows.append(fetched)
                errors.append(failed)
            statements = list(statements_of(recording.recorder))
        finally:
            patches.undo()
        expected["SCRIPT", ""] += len(LOADS)  # the schema, before there was a trace
        found = Counter()
        for labels in recording.series(DURATION):
            key = labels["db_operation_name"], labels["db_collection_name"]
            found[key] += recording.count(DURATION, **labels)
        assert expected == found
        assert OPERATIONS + len(LOADS) == recording.count(DURATION)
        assert sum(errors) == recording.count(DURATION, error_type="IntegrityError")
        assert sum(rows) == recording.sum(ROWS)
        assert sets == sum(statement.parameter_sets for statement in statements)
        assert min(*rows, *errors, sets) > 10, "the load is no load"


LOADS = (
    partial(run, isolation_level=""),
    partial(run, isolation_level=None),
    run_awaited,
    run_awaited,
)
