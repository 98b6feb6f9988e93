"""What one call of a database or a cache costs, 20 of them in a request, as applications do it.

The request is part of what is timed: of ours a twentieth of the middleware is in the figures, and
the sharing out of the request's time among its components. "outside a request" is the call alone.
"""

import asyncio
import os
import shutil
import tempfile
import time
from inspect import iscoroutinefunction
from pathlib import Path

from tests import postgresql
from tests.bench import cache_peers, call_peers, database_peers
from tests.bench.applications import scope_of
from tests.bench.call_peers import OUTSIDE
from tests.bench.child import in_child
from tests.bench.figures import OURS, Goal, Report, goal_of_overhead, overhead_table
from tests.bench.rounds import interleave

CALLS_IN_A_REQUEST = 20
CALLS_IN_MEMORY = 1000
"""Those of a cache in memory: with 20, the request would be most of what is timed."""
REQUESTS_IN_A_TURN = 10
WARM_REQUESTS = 50
TURNS = 40
MOST_US = 3.0
MOST_PYMEMCACHE_US, MOST_IN_MEMORY_US, MOST_LRU_CACHE_US = 2.5, 0.3, 0.05

LIBRARIES = call_peers.LIBRARIES | database_peers.LIBRARIES | cache_peers.LIBRARIES
PEERS = call_peers.PEERS | database_peers.PEERS | cache_peers.PEERS

SERVER_CORE, CLIENT_CORE = (0, 1) if (os.cpu_count() or 1) >= 2 else (None, None)


def prepare(subject, *, library, calls=CALLS_IN_A_REQUEST, **where):
    """In a child: one library, measured by one peer, or by none."""
    peer = PEERS[library][subject]
    around = peer.install()
    make, run = LIBRARIES[library], _run
    call_all = None

    async def handle(_scope, _receive, send):
        await call_all()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = around(handle)  # before there is a connection, as in an application
    if iscoroutinefunction(make):
        run = asyncio.new_event_loop().run_until_complete
        call_all = _await_all(run(make(**where)), calls)
    else:
        call_all = _call_all(make(**where), calls)
    if where and CLIENT_CORE is not None:
        os.sched_setaffinity(0, {CLIENT_CORE})
    requests = 0

    async def requested(count):
        for _ in range(count):
            await app(scope_of("/"), _receive, _send)

    def ask(count):
        nonlocal requests
        requests += count
        started = time.process_time()
        run(requested(count))
        return (time.process_time() - started) / (count * calls) * 1e6

    def turn():
        ask(1)  # after the others' turns the caches are theirs
        return {"us": ask(REQUESTS_IN_A_TURN)}

    def end():
        recorded = {"recorded": peer.recorded()} if peer.recorded else {}
        return {"calls": requests * calls, **recorded}

    ask(WARM_REQUESTS)
    return turn, end


def _call_all(call, calls):
    async def call_all():
        for _ in range(calls):
            call()

    return call_all


def _await_all(call, calls):
    async def call_all():
        for _ in range(calls):
            await call()

    return call_all


def collect_database(options):
    """SQLAlchemy's execute of `select 1` on one open connection to SQLite in memory."""
    return _collect("sqlalchemy", "SQLAlchemy, select 1", options)


def collect_sqlite3(options):
    """One row by its key, from a table in memory."""
    return _collect("sqlite3", "sqlite3, one row by its key", options)


def collect_psycopg(options):
    """The same from a PostgreSQL of our own."""
    return _collect_from_postgresql("psycopg", "psycopg, one row by its key", options)


def collect_asyncpg(options):
    """The same, asynchronously."""
    return _collect_from_postgresql("asyncpg", "asyncpg, one row by its key", options)


def _collect_from_postgresql(library, title, options):
    if shutil.which("postgres") is None and not any(postgresql.PROGRAMS.glob("*/bin/postgres")):
        text = f"### {title}\n\n**LEFT OUT: PostgreSQL is not installed.**\n"
        return Report(text, [Goal(library, "", "PostgreSQL missing", None)], {})
    with (
        tempfile.TemporaryDirectory() as directory,
        postgresql.start_postgresql(Path(directory)) as server,
    ):
        if SERVER_CORE is not None:  # those that it forks for connections follow
            os.sched_setaffinity(server.process.pid, {SERVER_CORE})
        return _collect(library, title, options, dsn=server.dsn)


def collect_redis(options):
    """redis-py's GET against a server of our own."""
    if shutil.which("redis-server") is None:
        text = "### redis-py, GET\n\n**LEFT OUT: redis-server is not installed.**\n"
        return Report(text, [Goal("redis", "", "redis-server missing", None)], {})
    from tests.servers import start_redis

    with tempfile.TemporaryDirectory() as directory, start_redis(Path(directory)) as server:
        if SERVER_CORE is not None:
            os.sched_setaffinity(server.process.pid, {SERVER_CORE})
        return _collect("redis", "redis-py, GET", options, port=server.port)


def collect_pymemcache(options):
    """pymemcache's get against a memcached of our own."""
    if shutil.which("memcached") is None:
        text = "### pymemcache, get\n\n**LEFT OUT: memcached is not installed.**\n"
        return Report(text, [Goal("pymemcache", "", "memcached missing", None)], {})
    from tests.memcached import start_memcached

    with tempfile.TemporaryDirectory() as directory, start_memcached(Path(directory)) as server:
        if SERVER_CORE is not None:
            os.sched_setaffinity(server.process.pid, {SERVER_CORE})
        title, most = "pymemcache, get", MOST_PYMEMCACHE_US
        return _collect("pymemcache", title, options, most=most, port=server.port)


def collect_cachetools(options):
    """A hit of a decorated function, and those of the cache itself."""
    return _joined(
        _collect_in_memory(f"cachetools {name}", f"cachetools, a hit of {what}", options)
        for name, what in (
            ("cached", "a decorated function"),
            ("item", "cache[key]"),
            ("get", "Cache.get"),
        )
    )


def collect_lru_cache(options):
    """A hit of functools.lru_cache, which is read now and then."""
    title = "functools.lru_cache, a hit"
    return _collect_in_memory("lru_cache", title, options, most=MOST_LRU_CACHE_US)


def _collect_in_memory(library, title, options, *, most=MOST_IN_MEMORY_US):
    return _collect(library, title, options, most=most, calls=CALLS_IN_MEMORY)


def _joined(reports):
    reports = list(reports)
    samples = {name: found for report in reports for name, found in report.samples.items()}
    goals = [goal for report in reports for goal in report.goals]
    return Report("\n".join(report.text for report in reports), goals, samples)


def _collect(library, title, options, *, most=MOST_US, **how):
    start = in_child("calls", library=library, **how)
    rounds = options.rounds_or(7)
    samples = interleave(start, PEERS[library], rounds=rounds, turns=TURNS, label=library)
    text = f"### {title}, processor time\n\n{overhead_table(samples, 'us', 'us')}"
    goals = [
        goal_of_overhead(f"{title}, {where}", most, samples, key="us", unit="us", subject=name)
        for name, where in ((OURS, "in a request"), (OUTSIDE, "outside a request"))
    ]
    return Report(text, goals, {library: samples})


def _run(coroutine):
    """To its end, without an event loop: nothing here waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the application waits")


async def _receive():
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message):
    pass
