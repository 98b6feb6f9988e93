"""What the loads of PostgreSQL ask by way of psycopg."""

import contextlib

import psycopg

from tests.integrations.postgresql_loads import (
    BATCH,
    COPY,
    CURSOR,
    FETCHED_AT_ONCE,
    PIPELINED,
    STREAMED,
    Load,
)


class Psycopg(Load):
    """psycopg, synchronous. After a stream, a pipeline on its connection fails (psycopg 3.3)."""

    failure = psycopg.errors.UniqueViolation
    methods = (*Load.methods, "pipeline", "stream")

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        connect = psycopg.connect
        with (
            connect(server.dsn, autocommit=True) as self.connection,
            connect(server.dsn, autocommit=True) as self.streaming,
        ):
            yield

    async def execute(self, text, parameters):
        """One statement and its rows."""
        cursor = self.connection.execute(text, parameters or None)
        if cursor.description:
            cursor.fetchall()

    async def batch(self, sets):
        """One executemany."""
        self.asked(batch=BATCH)
        self.connection.cursor().executemany(self.text(BATCH), sets)

    async def copy(self, _sets):
        """One COPY."""
        self.asked()
        with self.connection.cursor().copy(self.text(COPY)) as copy:
            copy.write_row(("b", 1))

    async def cursor(self, _sets):
        """One statement and two round trips for its rows."""
        self.asked(3)
        with self.connection.transaction(), self.connection.cursor(self.table) as cursor:
            cursor.execute(self.text(CURSOR))
            cursor.fetchmany(FETCHED_AT_ONCE)
            cursor.fetchall()

    async def pipeline(self, sets):
        """So many statements that are sent at once."""
        self.asked(len(sets))
        with self.connection.pipeline():
            for number, _ in enumerate(sets):
                self.connection.execute(self.text(PIPELINED), (number,))

    async def stream(self, _sets):
        """One statement whose rows come as they may."""
        self.asked()
        for _ in self.streaming.cursor().stream(self.text(STREAMED), (9,)):
            pass


class PsycopgAsync(Load):
    """psycopg with asyncio."""

    failure = psycopg.errors.UniqueViolation
    methods = Psycopg.methods

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        connect = psycopg.AsyncConnection.connect
        async with (
            await connect(server.dsn, autocommit=True) as self.connection,
            await connect(server.dsn, autocommit=True) as self.streaming,
        ):
            yield

    async def execute(self, text, parameters):
        """One statement and its rows."""
        cursor = await self.connection.execute(text, parameters or None)
        if cursor.description:
            await cursor.fetchall()

    async def batch(self, sets):
        """One executemany."""
        self.asked(batch=BATCH)
        await self.connection.cursor().executemany(self.text(BATCH), sets)

    async def copy(self, _sets):
        """One COPY."""
        self.asked()
        async with self.connection.cursor().copy(self.text(COPY)) as copy:
            await copy.write_row(("b", 1))

    async def cursor(self, _sets):
        """One statement and two round trips for its rows."""
        self.asked(3)
        connection = self.connection
        async with connection.transaction(), connection.cursor(self.table) as cursor:
            await cursor.execute(self.text(CURSOR))
            await cursor.fetchmany(FETCHED_AT_ONCE)
            await cursor.fetchall()

    async def pipeline(self, sets):
        """So many statements that are sent at once."""
        self.asked(len(sets))
        async with self.connection.pipeline():
            for number, _ in enumerate(sets):
                await self.connection.execute(self.text(PIPELINED), (number,))

    async def stream(self, _sets):
        """One statement whose rows come as they may."""
        self.asked()
        async for _ in self.streaming.cursor().stream(self.text(STREAMED), (9,)):
            pass
