"""What is counted for PostgreSQL equals what the server itself counted, statement by statement.

The mapping between operations and the rows of pg_stat_statements:

- A statement that succeeded is one call there; those that failed are not there.
- A batch is one operation. Of `executemany` and `execute_batch` the server counts each set of
  parameters as a call; of `execute_values`, and of an INSERT of SQLAlchemy that gives rows back,
  each page, whose sets are the rows that it inserted.
- A server-side cursor of psycopg and psycopg2 is declared there by `DECLARE ... CURSOR FOR`, which
  is the statement, and each FETCH is one. asyncpg fetches without statements: its round trips
  are known to the load alone.
- COPY is one on both sides, whatever its options.
- In a pipeline and by `stream`, rows are not told.
- What libraries ask on their own account (BEGIN, COMMIT, CLOSE, types) is no operation.
"""

import random
import re
from collections import Counter
from contextlib import closing
from importlib import import_module

import psycopg2
import pytest

from perfsdk.integrations import INTEGRATIONS
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS
from tests.integrations.postgresql_loads import (
    CURSOR,
    PIPELINED,
    STREAMED,
    TABLE,
    Asyncpg,
    Psycopg2,
)
from tests.integrations.psycopg_loads import Psycopg, PsycopgAsync
from tests.integrations.sqlalchemy_loads import SQLAlchemyAsyncpg, SQLAlchemyPsycopg

OPERATIONS = 5000
LOADS = (Psycopg, PsycopgAsync, Psycopg2, Asyncpg, SQLAlchemyAsyncpg, SQLAlchemyPsycopg)
LIBRARIES = ("asyncpg", "psycopg", "psycopg2", "psycopg2.extras", "sqlalchemy")
OWN_ACCOUNT = re.compile(
    "BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|CLOSE|DEALLOCATE|show"
    r"|(?i:select) (?:current_schema|pg_catalog\.|pg_stat_statements_reset|typname)"
)
DECLARE = re.compile(r'DECLARE "\w+" (?:NO )?(?:SCROLL )?CURSOR (?:WITH(?:OUT)? HOLD )?FOR ')
FETCH = re.compile(r'FETCH FORWARD (?:\d+|ALL|\?) FROM "?(\w+)"?')
COPY = re.compile(r'COPY "?(\w+)"?')
RETURNS = re.compile(r"^(?:FETCH|SELECT)|RETURNING|SELECT count")


def bare(text):
    """A statement in the form that both sides share: no literals, casts, lists of parameters."""
    text = re.sub(r"\$\d+|:p\d|%s|'(?:[^']|'')*'|\b\d+\b", "?", " ".join(text.split()))
    text = re.sub(r"\?::[A-Z]+", "?", text).replace("VALUES ?", "VALUES (?)")
    return re.sub(r"\(\?(?:, ?\?)*\)(?:, ?\(\?(?:, ?\?)*\))*", "(?)", text)


def ask_server(server, question):
    """The rows of an answer, by a connection that nobody measures."""
    with closing(psycopg2.extensions.connection(server.dsn)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(question)
        return cursor.fetchall() if cursor.description else []


def server_counts(server):
    """By statement, what the server counted: successes, rows returned or affected."""
    found = {}
    for text, calls, rows in ask_server(
        server,
        "SELECT query, calls, rows FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        f" WHERE d.datname = '{server.database}'",
    ):
        key = bare(DECLARE.sub("", text))
        if OWN_ACCOUNT.match(key):
            continue
        if fetch := FETCH.match(key):
            # The cursors of one load alone are named by SQLAlchemy, not for their table.
            named = fetch[1].startswith("load")
            key = f"FETCH {fetch[1] if named else 'load_sqlalchemypsycopg'}"
        elif copy := COPY.match(key):
            key = f"COPY {copy[1]}"
        before = found.get(key, (0, 0))
        found[key] = before[0] + calls, before[1] + rows
    return found


def our_counts(recorder):
    """By statement, what was counted: successes, sets of batches, rows; and all that failed."""
    found, failed = {}, 0
    for statement in statements_of(recorder):
        key = bare(statement.summary)
        if statement.labels[2] == "FETCH":
            key = f"FETCH {statement.labels[3]}".strip()
        elif copy := COPY.match(key):
            key = f"COPY {copy[1]}"
        calls, sets, rows = found.get(key, (0, 0, 0))
        calls += statement.calls - statement.errors
        found[key] = calls, sets + statement.parameter_sets, rows + statement.rows
        failed += statement.errors
    return found, failed


def mapped(server, loads):
    """What should be counted, by what the server counted and what batches there were."""
    batches = Counter()
    untold = {bare(text.format(load.table)) for load in loads for text in (PIPELINED, STREAMED)}
    for load in loads:
        for text, number in load.batches.items():
            batches[bare(text)] += number
    expected = {}
    for key, (calls, rows) in server.items():
        returned = rows if RETURNS.search(key) and key not in untold else 0
        if key in batches:
            sets = rows if " (b, c) " in key else calls
            expected[key] = batches[key], sets, returned
        else:
            expected[key] = calls, 0, returned
    for load in loads:
        if load.fetches:
            key = bare(CURSOR.format(load.table))
            expected[key] = *expected[key][:2], 0
            expected[f"FETCH {load.table}"] = len(load.fetches), 0, sum(load.fetches)
    return expected


@pytest.fixture
def patches():
    """What is patched for the test."""
    patches = Patches()
    yield patches
    patches.undo()


async def test_counts_equal_those_of_the_server(postgresql, patches, tmp_path):
    """Calls, sets of parameters and rows, for a mixed load by every library, all measured."""
    loads = [make(f"load_{make.__name__.lower()}") for make in LOADS]
    for load in loads:
        ask_server(postgresql, TABLE.format(load.table))
    ask_server(postgresql, "SELECT pg_stat_statements_reset()")
    with Recording(tmp_path / "recording") as recording:
        for library in LIBRARIES:
            integration = import_module(INTEGRATIONS[library])
            integration.patch(import_module(library), patches, recording.recorder)
        try:
            for seed, load in enumerate(loads):
                async with load.connected(postgresql):
                    await load.run(random.Random(seed), OPERATIONS // len(loads) + 1)
            server = server_counts(postgresql)
        finally:
            for load in loads:
                ask_server(postgresql, f"DROP TABLE {load.table}, {load.table}_log")
        found, failed = our_counts(recording.recorder)
        assert mapped(server, loads) == found
        assert sum(load.failed for load in loads) == failed
        total = failed + sum(calls for calls, _, _ in found.values())
        assert OPERATIONS <= total
        assert total == recording.count(DURATION)
        assert failed == total - recording.count(DURATION, error_type="")
        assert sum(rows for _, _, rows in found.values()) == recording.sum(ROWS)
        assert min(load.failed for load in loads) > 3, "the load is no load"
