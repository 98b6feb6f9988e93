"""What the loads of PostgreSQL ask by way of SQLAlchemy."""

import contextlib

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tests.integrations.postgresql_loads import (
    BATCH,
    CURSOR,
    FETCHED_AT_ONCE,
    PAGE,
    Load,
    numbered,
)

RETURNED_PAGES = "INSERT INTO {0}_log (b, c) VALUES (%s) RETURNING {0}_log.b"


class SQLAlchemyAsyncpg(Load):
    """SQLAlchemy with asyncio on asyncpg."""

    failure = sqlalchemy.exc.IntegrityError
    methods = ("execute", "execute", "execute", "batch", "pages", "pages")

    def __init__(self, table):
        super().__init__(table)
        columns = (sqlalchemy.Column("b", sqlalchemy.Text), sqlalchemy.Column("c"))
        self._log = sqlalchemy.table(f"{table}_log", *columns)

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        engine = create_async_engine(server.dsn.replace("://", "+asyncpg://"))
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            self._with_connection = connection.run_sync
            yield
        await engine.dispose()

    def text(self, statement):
        """With named parameters."""
        return numbered(super().text(statement), ":p")

    async def execute(self, text, parameters):
        """One statement and its rows."""
        given = {f"p{number}": value for number, value in enumerate(parameters, 1)}

        def work(connection):
            result = connection.execute(sqlalchemy.text(text), given)
            if result.returns_rows:
                result.all()

        await self._with_connection(work)

    async def batch(self, sets):
        """One executemany."""
        self.asked(batch=BATCH)
        given = [{"p1": b} for (b,) in (*sets, ("one more",))]  # with one set it is no batch
        text = sqlalchemy.text(self.text(BATCH))
        await self._with_connection(lambda connection: connection.execute(text, given))

    async def pages(self, sets):
        """One INSERT that gives rows back, in pages."""
        self.asked(batch=RETURNED_PAGES)
        insert = sqlalchemy.insert(self._log).returning(self._log.c.b)
        given = [{"b": b, "c": 1} for (b,) in (*sets, ("one more",))]
        options = {"insertmanyvalues_page_size": PAGE}

        def work(connection):
            result = connection.execute(insert, given, execution_options=options)
            assert len(given) == len(result.all())

        await self._with_connection(work)


class SQLAlchemyPsycopg(SQLAlchemyAsyncpg):
    """SQLAlchemy on psycopg."""

    methods = (*SQLAlchemyAsyncpg.methods, "cursor")

    @contextlib.asynccontextmanager
    async def connected(self, server):
        """Ready to be asked."""
        engine = sqlalchemy.create_engine(server.dsn.replace("://", "+psycopg://"))
        self._begin = engine.begin
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")

            async def with_connection(work):
                return work(connection)

            self._with_connection = with_connection
            yield
        engine.dispose()

    async def cursor(self, _sets):
        """One statement and as many round trips as SQLAlchemy makes."""
        self.asked()
        text = sqlalchemy.text(self.text(CURSOR))
        with self._begin() as connection:
            streaming = connection.execution_options(yield_per=FETCHED_AT_ONCE)
            for _ in streaming.execute(text):
                pass
