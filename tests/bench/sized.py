"""The applications whose size is measured, in workers of their own that serve when told to."""

import asyncio
import os
import sqlite3
from functools import cache
from multiprocessing import get_context

from tests.bench.applications import scope_of


def make(kind, routes):
    """An application whose routes answer after the calls that the kind names."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def answer(_request):
        if "database" in kind:
            database().execute("select name from products where id = ?", (7,)).fetchall()
        if "cache" in kind:
            cached()(7)
        return PlainTextResponse("well")

    return Starlette(routes=[Route(f"/shops{n}/items/{{id}}", answer) for n in range(routes)])


@cache
def database():
    """Made by the first request, so that it is measured."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table products (id integer primary key, name text)")
    return connection


@cache
def cached():
    """The same of a cached function."""
    import cachetools

    return cachetools.cached(cachetools.LRUCache(100))(str)


def work(pipe, directory, kind, routes):
    """A worker in a process of its own: asks each route so often as it is told, until it is 0."""
    from perfsdk import instrument

    app = instrument(make(kind, routes), directory=directory, service="sizing")

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message):
        pass

    async def ask(times):
        for number in range(routes):
            for _ in range(times):
                await app(scope_of(f"/shops{number}/items/7"), receive, send)

    pipe.send("ready")
    while times := pipe.recv():
        asyncio.run(ask(times))
        pipe.send(times)
    os._exit(0)


class Workers:
    """Processes that serve into one directory."""

    def __init__(self, directory, kind, routes):
        self._arguments = (str(directory), kind, routes)
        self._pipes = []
        self._processes = []

    def grow(self, count):
        """Have so many, each of whose routes was asked."""
        context = get_context("spawn")
        for _ in range(count - len(self._pipes)):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, *self._arguments), daemon=True)
            process.start()
            assert ours.recv() == "ready"
            self._pipes.append(ours)
            self._processes.append(process)
        self.ask(1)

    def ask(self, times, only_first=False):
        """Let them ask each of their routes."""
        asked = self._pipes[:1] if only_first else self._pipes
        for pipe in asked:
            pipe.send(times)
        for pipe in asked:
            pipe.recv()

    def end(self):
        for pipe in self._pipes:
            pipe.send(0)
        for process in self._processes:
            process.join(10)
