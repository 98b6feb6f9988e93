"""Ways to ask PostgreSQL, each with tables of its own: by these the server tells them apart."""

import contextlib
import io
from collections import Counter

import asyncpg
import psycopg2
import psycopg2.extras

FETCHED_AT_ONCE = 3
PAGE = 4

TABLE = "CREATE TABLE {0} (a integer PRIMARY KEY, b text); CREATE TABLE {0}_log (b text, c integer)"
STATEMENTS = (
    ("INSERT INTO {0} (a, b) VALUES (%s, %s)", "ab"),  # may be there
    ("INSERT INTO {0} (a, b) VALUES (%s, 'it''s 1') ON CONFLICT DO NOTHING RETURNING b, a", "a"),
    ("SELECT b FROM {0} WHERE a = %s", "a"),
    ("SELECT a, b FROM {0} WHERE b <> 'it''s 2' AND a < 7", ""),
    ("UPDATE {0} SET b = %s WHERE a = %s", "ba"),
    ("DELETE FROM {0} WHERE a = %s RETURNING a", "a"),
    ("WITH x AS (SELECT a FROM {0} WHERE a = %s) DELETE FROM {0} USING x WHERE {0}.a = x.a", "a"),
    ("WITH x AS (SELECT a FROM {0} WHERE a > %s) SELECT count(*) FROM x", "a"),
)
"""What is executed one by one: the text, and its parameters. Some of it changes rows."""
BATCH = "INSERT INTO {0}_log (b) VALUES (%s)"
PAGES = "INSERT INTO {0}_log (b, c) VALUES %s"
COPY = "COPY {0}_log FROM STDIN"
CURSOR = "SELECT a FROM {0} WHERE a <> 99"
PIPELINED = "SELECT a FROM {0} WHERE a >= %s"
STREAMED = "SELECT b, a FROM {0} WHERE a < %s"


class Load:
    """What a driver was asked: operations, those that failed, and batches by their text.

    `fetches` are the round trips, each with its number of rows, that are no statements of the
    server.
    """

    failure: type[Exception]
    methods: tuple[str, ...] = ("execute", "execute", "execute", "batch", "copy", "cursor")

    def __init__(self, table):
        self.table = table
        self.operations = self.failed = 0
        self.fetches = []
        self.batches = Counter()

    def text(self, statement):
        """A statement of the table, as the driver takes it."""
        return statement.format(self.table)

    async def run(self, choice, number):
        """Ask for so many operations, or a few more."""
        while self.operations < number:
            method = choice.choice(self.methods)
            sets = [(f"it's {n}",) for n in range(choice.randrange(1, 9))]
            if method != "execute":
                await getattr(self, method)(sets)
                continue
            text, names = choice.choice(STATEMENTS)
            given = {"a": choice.randrange(40), "b": f"'{choice.randrange(9)}"}
            self.operations += 1
            try:
                await self.execute(self.text(text), [given[name] for name in names])
            except self.failure:
                self.failed += 1

    def asked(self, operations=1, *, batch=None):
        """Count what is asked for."""
        self.operations += operations
        if batch is not None:
            self.batches[self.text(batch)] += 1


class Psycopg2(Load):
    """psycopg2 and its extras."""

    failure = psycopg2.errors.UniqueViolation
    methods = (*Load.methods, "pages", "batch_of_extras")

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        with contextlib.closing(psycopg2.connect(server.dsn)) as self.connection:
            self.connection.autocommit = True
            self._cursor = self.connection.cursor()
            yield

    async def execute(self, text, parameters):
        """One statement and its rows."""
        self._cursor.execute(text, parameters or None)
        if self._cursor.description:
            self._cursor.fetchall()

    async def batch(self, sets):
        """One executemany."""
        self.asked(batch=BATCH)
        self._cursor.executemany(self.text(BATCH), sets)

    async def batch_of_extras(self, sets):
        """One execute_batch, in pages."""
        self.asked(batch=BATCH)
        psycopg2.extras.execute_batch(self._cursor, self.text(BATCH), sets, page_size=PAGE)

    async def pages(self, sets):
        """One execute_values, in pages."""
        self.asked(batch=PAGES)
        sets = [(b, 1) for (b,) in sets]
        psycopg2.extras.execute_values(self._cursor, self.text(PAGES), sets, page_size=PAGE)

    async def copy(self, _sets):
        """One COPY."""
        self.asked()
        self._cursor.copy_expert(self.text(COPY), io.StringIO("b\t1\n"))

    async def cursor(self, _sets):
        """One statement and two round trips for its rows."""
        self.asked(3)
        with self.connection.cursor(self.table, withhold=True) as cursor:
            cursor.execute(self.text(CURSOR))
            cursor.fetchmany(FETCHED_AT_ONCE)
            cursor.fetchall()


class Asyncpg(Load):
    """asyncpg, which fetches from cursors without statements."""

    failure = asyncpg.UniqueViolationError

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        self.connection = await asyncpg.connect(server.dsn)
        yield
        await self.connection.close()

    def text(self, statement):
        """With numbered parameters."""
        return numbered(super().text(statement), "$")

    async def execute(self, text, parameters):
        """One statement and its rows."""
        await self.connection.fetch(text, *parameters)

    async def batch(self, sets):
        """One executemany."""
        self.asked(batch=BATCH)
        await self.connection.executemany(self.text(BATCH), sets)

    async def copy(self, _sets):
        """One COPY."""
        self.asked()
        await self.connection.copy_records_to_table(f"{self.table}_log", records=[("b", 1)])

    async def cursor(self, _sets):
        """One statement and as many round trips as it takes for its rows."""
        self.asked()
        async with self.connection.transaction():
            cursor = await self.connection.cursor(self.text(CURSOR))
            number = FETCHED_AT_ONCE
            while number == FETCHED_AT_ONCE:
                number = len(await cursor.fetch(FETCHED_AT_ONCE))
                self.fetches.append(number)


def numbered(text, prefix):
    """A text with `$1` and the like for its parameters."""
    parts = text.split("%s")
    marks = [f"{prefix}{number}" for number in range(1, len(parts))]
    return "".join(part + mark for part, mark in zip(parts, [*marks, ""], strict=True))
