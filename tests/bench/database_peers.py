"""The drivers of databases that are called, and those that measure their calls.

Each call asks for one row by its key, another one every time: 20 of them in a request are found to
be `n_plus_one`, as they would be in an application.
"""

from itertools import cycle
from time import perf_counter

from tests.bench.call_peers import BY_HAND, TRACES, by_hand, traces, with_ours

METRIC = "db_client_operation_duration_seconds"
ROWS = 100
SCHEMA = "CREATE TEMP TABLE items (id integer PRIMARY KEY, name text)"
FILL = "INSERT INTO items SELECT n, 'name' FROM generate_series(0, 99) n"


def make_sqlite3():
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute(SCHEMA)
    rows = [(number, "name") for number in range(ROWS)]
    connection.executemany("INSERT INTO items VALUES (?, ?)", rows)
    numbers = cycle(range(ROWS))
    ask = "SELECT name FROM items WHERE id = ?"
    # Of a connection's `execute`, OpenTelemetry sees nothing.
    return lambda: connection.cursor().execute(ask, (next(numbers),)).fetchone()


def make_psycopg(dsn):
    import psycopg

    connection = psycopg.connect(dsn, autocommit=True)
    connection.execute(SCHEMA)
    connection.execute(FILL)
    numbers = cycle(range(ROWS))
    ask = "SELECT name FROM items WHERE id = %s"
    return lambda: connection.execute(ask, (next(numbers),)).fetchone()


async def make_asyncpg(dsn):
    import asyncpg

    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA)
    await connection.execute(FILL)
    numbers = cycle(range(ROWS))
    ask = "SELECT name FROM items WHERE id = $1"
    return lambda: connection.fetchrow(ask, next(numbers))


LIBRARIES = {"sqlite3": make_sqlite3, "psycopg": make_psycopg, "asyncpg": make_asyncpg}
"""Each makes a function without arguments: one call. Of what is asynchronous both are awaited."""


def install_by_hand_sqlite3():
    """Subclasses of connections and of cursors."""
    import sqlite3

    class Cursor(sqlite3.Cursor):
        pass

    class Connection(sqlite3.Connection):
        def cursor(self):
            return super().cursor(Cursor)

    Cursor.execute = _measured(Cursor.execute, _durations())
    connect = sqlite3.connect
    sqlite3.connect = lambda database: connect(database, factory=Connection)
    return lambda app: app


def install_by_hand_psycopg():
    """A method in the way of all statements."""
    from psycopg import Cursor

    Cursor.execute = _measured(Cursor.execute, _durations())
    return lambda app: app


def install_by_hand_asyncpg():
    """The same, of the two methods that are used here."""
    from asyncpg import Connection

    durations = _durations()
    for name in ("execute", "fetchrow"):
        setattr(Connection, name, _awaited(getattr(Connection, name), durations))
    return lambda app: app


def _durations():
    from prometheus_client import Histogram

    return Histogram("hand_call_duration_seconds", "Durations.", ["operation", "system"])


def _measured(execute, durations):
    def measured(self, statement, *args, **kwargs):
        started = perf_counter()
        try:
            return execute(self, statement, *args, **kwargs)
        finally:
            duration = perf_counter() - started
            durations.labels(statement.partition(" ")[0], "sql").observe(duration)

    return measured


def _awaited(fetch, durations):
    async def measured(self, statement, *args, **kwargs):
        started = perf_counter()
        try:
            return await fetch(self, statement, *args, **kwargs)
        finally:
            duration = perf_counter() - started
            durations.labels(statement.partition(" ")[0], "sql").observe(duration)

    return measured


def trace_sqlite3(provider):
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

    SQLite3Instrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def trace_psycopg(provider):
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

    PsycopgInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def trace_asyncpg(provider):
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

    AsyncPGInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


PEERS = {
    library: {**with_ours(METRIC), BY_HAND: by_hand(install), TRACES: traces(trace)}
    for library, install, trace in (
        ("sqlite3", install_by_hand_sqlite3, trace_sqlite3),
        ("psycopg", install_by_hand_psycopg, trace_psycopg),
        ("asyncpg", install_by_hand_asyncpg, trace_asyncpg),
    )
}
"""Peers by name, by the library that is called."""
