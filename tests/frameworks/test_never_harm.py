"""Whatever fails inside perfsdk, the client and the server see what they saw without it."""

import asyncio
import errno
import gc
import importlib
import inspect
import logging
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route

from perfsdk import guard, instrument, instrumentation
from perfsdk.frameworks import exchange, http_server
from perfsdk.store.reader import find_segments
from perfsdk.testing import Recording
from tests.frameworks.driving import (
    DISCONNECT,
    answering,
    ask,
    body_messages,
    http_scope,
    part,
    start,
)

DURATION = "http_server_request_duration_seconds"
ERROR = ValueError("the application's own")

pytestmark = pytest.mark.usefixtures("swallow_errors")

MODULES = [
    "applications",
    "instrumentation",
    "recorder",
    "request",
    "frameworks.asgi",
    "frameworks.delivery",
    "frameworks.exchange",
    "frameworks.fastapi",
    "frameworks.http_server",
    "frameworks.queue_time",
    "frameworks.route",
    "frameworks.selection",
    "frameworks.starlette",
    "runtime.sampler",
    "store.description",
    "store.directory",
    "store.fork",
    "store.format",
    "store.layout",
    "store.segment",
    "store.space",
    "store.writer",
]
THE_WAY_IN = {
    # What servers and applications call: there is nobody around it who could keep an error.
    "frameworks.asgi.Middleware.__call__",
    "frameworks.exchange.Exchange.receive",
    "frameworks.exchange.Exchange.send",
    # Called at the start of the process alone, where an error is to be seen.
    "instrumentation.instrument",
    "instrumentation.uninstrument",
    "instrumentation.Instrumentation.uninstrument",
    "instrumentation.Instrumentation.stop",
    # Called by the interpreter, in a thread of its own or at exit.
    "runtime.sampler.Sampler._run",
    "runtime.sampler.Sampler._sample_at_exit",
    "runtime.sampler.Sampler.sample",
    # Makes one more file for every attempt, which takes too long for a test.
    "store.writer.Writer._use",
}
CANNOT_END = {
    # Without it nobody can say that a request has ended.
    "frameworks.http_server.HttpServer._next_oldest",
}


def functions():
    """Every function and method of ours that could run in a request, by its dotted name."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(f"perfsdk.{name}")
        for attribute, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value):
                found[f"{name}.{attribute}"] = module, attribute
            elif isinstance(value, type):
                for method, function in vars(value).items():
                    if inspect.isfunction(function):
                        found[f"{name}.{attribute}.{method}"] = value, method
    return {name: place for name, place in found.items() if name not in THE_WAY_IN}


FUNCTIONS = functions()


class Own(BaseRoute):
    """A route class of the application's own."""

    def matches(self, scope):
        return (Match.FULL if scope["path"].startswith("/own") else Match.NONE), {}

    async def handle(self, scope, receive, send):
        await PlainTextResponse("own")(scope, receive, send)


def make():
    """An application with something of everything."""
    app = FastAPI()

    @app.post("/echo/{name}")
    async def echo(name: str, request: Request):
        return {name: (await request.body()).decode()}

    @app.get("/stream")
    async def stream():
        async def parts():
            for text in "abc":
                yield text

        return StreamingResponse(parts(), headers={"x-own": "1"})

    @app.get("/error")
    async def error():
        raise ERROR

    @app.get("/gone")
    async def gone():
        raise HTTPException(410, headers={"x-gone": "1"})

    @app.get("/503")
    async def unavailable():
        return JSONResponse({}, 503)

    async def hello(request):
        return PlainTextResponse("hello")

    inside = [Route("/x/{y}", hello)]
    app.mount("/sub/{tenant}", Starlette(routes=inside))
    app.mount("/plain", answering(start(201), part(b"plain")))
    app.router.routes += [Host("host.example", Starlette(routes=inside)), Own()]
    app.router.routes.append(Mount("/m", routes=inside))
    return app


REQUESTS = [
    ("POST", "/echo/me"),
    ("PURGE", "/echo/me"),
    ("GET", "/stream"),
    ("HEAD", "/m/x/1"),
    ("GET", "/error"),
    ("GET", "/gone"),
    ("GET", "/503"),
    ("GET", "/nope"),
    ("GET", "/stream/"),
    ("GET", "/sub/acme/x/7"),
    ("GET", "/sub/acme/nope"),
    ("GET", "/plain/x"),
    ("GET", "/own/1"),
]


ALL, SOME = slice(None), slice(3, 5)


async def ask_everything(app, which=ALL):
    """The answers to the requests, and to one for a host."""
    answers = []
    for method, path in REQUESTS[which]:
        incoming = body_messages(b"a" * 1000, b"b" * 1000)
        answers.append(await ask(app, path, method, incoming=incoming))
    host = http_scope("/x/1") | {"headers": [(b"host", b"host.example")]}
    answers.append(await ask(app, scope=host))
    assert sum(answer.error is ERROR for answer in answers) == 1
    ERROR.__traceback__ = ERROR.__context__ = None  # else it keeps all that it passed through
    return answers


@pytest.fixture(scope="module")
def expected():
    """The answers of the application alone."""
    return asyncio.run(ask_everything(make()))


def being_served():
    """How many requests we believe to be in service."""
    running = instrumentation._running
    server = running.http_server
    values = running.writer.values
    active = sum(values[cell] for cell in server._active.values()) if values else 0
    return len(server._serving), active


class BrokenHandler(logging.Handler):
    """Raises for every message."""

    def emit(self, record):
        raise RuntimeError("broken handler")


@contextmanager
def broken_logging():
    """The application's logging is broken."""
    handler = BrokenHandler()
    guard.logger.addHandler(handler)
    try:
        yield
    finally:
        guard.logger.removeHandler(handler)


def fail(*_, **__):
    """What one of our functions does instead of its work."""
    raise RuntimeError("inside perfsdk")


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_any_function_may_fail(name, measured, expected, monkeypatch):
    """From the first request on, and after some: the same answers, and none stays in service."""
    # With a broken store requests take long: a few of them will do.
    warm_requests = SOME if name.startswith("store.") else ALL
    cold, warm = measured(make()), measured(make())
    with broken_logging():
        for app, which in ((cold, SOME), (warm, warm_requests)):
            if app is warm:
                await ask_everything(app, which)
            with monkeypatch.context() as patch:
                patch.setattr(*FUNCTIONS[name], fail)
                answers = await ask_everything(app, which)
            assert [*expected[:-1][which], expected[-1]] == answers
            if name not in CANNOT_END:
                assert (0, 0) == being_served()


def test_the_functions_are_found():
    """The list above is not empty by mistake."""
    assert len(FUNCTIONS) > 100
    assert {"frameworks.starlette.RouteFinder.find", "store.writer.Writer.series"} <= set(FUNCTIONS)


class Failing:
    """Anything that fails whatever is done with it."""

    def __getattr__(self, name):
        raise RuntimeError("inside perfsdk")

    __call__ = __getitem__ = __bool__ = __len__ = __contains__ = fail


PARTS = [
    (http_server, "METHODS"),
    (http_server, "bisect_left"),
    (http_server, "BYTES"),
    (exchange, "perf_counter"),
    (exchange, "sys"),
    (exchange, "_CLIENT_LEFT"),
    (http_server, "COMPONENTS"),
]


@pytest.mark.parametrize(("module", "name"), PARTS, ids=[name for _, name in PARTS])
async def test_anything_that_is_looked_up_may_fail(module, name, measured, expected, monkeypatch):
    """Tables, clocks and what Python itself gives."""
    app = measured(make())
    with monkeypatch.context() as patch:
        patch.setattr(module, name, Failing())
        assert expected == await ask_everything(app)
    assert (0, 0) == being_served()
    assert expected == await ask_everything(app)


@pytest.mark.parametrize("error", [ValueError, KeyError, IndexError, TypeError, RecursionError])
async def test_a_failing_look_up_of_the_route(error, measured, recording, monkeypatch):
    """One request is not counted, the error is, and nothing stays in service."""

    def find(*_):
        raise error

    app = measured(make())
    await ask(app, "/gone")
    monkeypatch.setattr(app.middleware_stack, "find_route", find)
    assert 410 == (await ask(app, "/gone")).status
    assert (0, 0) == being_served()
    assert 1 == recording.value("perfsdk_internal_errors_total", where="asgi.record")
    assert 1 == recording.count(DURATION)


# --- the directory ---


def deleted(directory):
    """Somebody wiped it."""
    shutil.rmtree(directory)


def emptied(directory):
    """Somebody wiped what is in it."""
    for path in directory.iterdir():
        path.unlink()


def made_a_file(directory):
    """Somebody put a file there."""
    shutil.rmtree(directory)
    directory.write_text("not a directory")


@pytest.mark.parametrize("lose", [deleted, emptied, made_a_file])
@pytest.mark.parametrize("when", ["before", "while serving"])
async def test_a_lost_directory(lose, when, measured, expected, perfsdk_dir, caplog, recording):
    """The application serves on; what can be written again is, with all that was counted."""
    app = measured(make())
    if when == "while serving":
        await ask_everything(app)
    lose(perfsdk_dir)
    for _ in range(2):
        assert expected == await ask_everything(app)
        instrumentation._running.sampler.sample()
    assert (0, 0) == being_served()
    if lose is made_a_file:
        assert any(str(perfsdk_dir) in message for message in caplog.messages)
        perfsdk_dir.unlink()
        instrumentation._running.sampler.sample()
    rounds = 2 + (when == "while serving")
    assert rounds * len(expected) == recording.count(DURATION)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
TOO_MANY_FILES = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("calls", "error"),
    [
        (["posix_fallocate"], FULL),
        (["posix_fallocate", "pwrite"], FULL),
        (["open"], READ_ONLY),
        (["open"], TOO_MANY_FILES),
        (["ftruncate"], FULL),
        (["rename"], READ_ONLY),
    ],
    ids=["full", "full without fallocate", "read-only", "descriptors", "size", "rename"],
)
@pytest.mark.parametrize("when", ["before", "while serving"])
async def test_a_failing_file_system(
    calls, error, when, measured, expected, perfsdk_dir, caplog, monkeypatch, recording
):
    """Full, read-only, out of descriptors: said once, the application serves on, and recovers."""
    real_open, unsupported = os.open, OSError(errno.EOPNOTSUPP, "unsupported")

    def failing(path, *_, **__):
        if calls == ["open"] and not str(path).startswith(str(perfsdk_dir)):
            return real_open(path, *_, **__)
        raise error

    def refusing(*_):
        raise unsupported

    app = measured(make())
    if when == "while serving":
        await ask_everything(app)
    with monkeypatch.context() as patch:
        for call in calls:
            patch.setattr(os, call, failing)
        if "pwrite" in calls:
            patch.setattr(os, "posix_fallocate", refusing)
        for _ in range(2):
            assert expected == await ask_everything(app)
            instrumentation._running.sampler.sample()
    assert (0, 0) == being_served()
    instrumentation._running.sampler.sample()
    assert expected == await ask_everything(app)
    assert recording.count(DURATION) >= len(expected)
    assert len(caplog.messages) == len(set(caplog.messages)) <= 2


# --- memory ---


class Serving:
    """Holds a request as servers do: its scope, and the two callables as methods."""

    def __init__(self, path):
        self.scope = http_scope(path)
        self.waiting = body_messages(b"")
        self.complete = asyncio.Event()

    async def receive(self):
        if self.waiting:
            return self.waiting.pop()
        await self.complete.wait()
        return DISCONNECT

    async def send(self, message):
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete.set()

    async def run(self, app):
        await app(self.scope, self.receive, self.send)


def made_by_us(objects):
    """Those whose class is ours."""
    return [o for o in objects if str(type(o).__module__).startswith("perfsdk")]


@pytest.mark.parametrize("path", ["/m/x/1", "/nope", "/gone", "/own/1", "/503", "/stream"])
async def test_a_request_leaves_no_cycle(path, measured):
    """All that a request needed is freed when it ends, without the garbage collector."""
    app = measured(make())
    await Serving(path).run(app)
    gc.collect()
    gc.disable()
    try:
        before = len(made_by_us(gc.get_objects()))
        for _ in range(50):
            await Serving(path).run(app)
        after = len(made_by_us(gc.get_objects()))
    finally:
        gc.enable()
    assert after - before <= 1


def resident_kb():
    """The memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def test_memory_stays_flat(measured):
    """100,000 requests leave nothing behind."""
    app = instrument(answering(start(), part(b"hello")))
    framework = measured(Starlette(routes=[Mount("/m", answering(start(), part()))]))

    async def send(message): ...

    async def serve(count):
        for number in range(count):
            scope = {"type": "http", "method": "GET", "path": f"/m/{number}", "headers": []}
            await (app if number % 10 else framework)(scope, None, send)

    await serve(10_000)
    gc.collect()
    before = resident_kb()
    await serve(100_000)
    gc.collect()
    assert resident_kb() - before < 1500


async def test_one_file_for_all(measured, perfsdk_dir):
    """However many applications fail and recover, a process has one segment."""
    for _ in range(3):
        await ask_everything(measured(make()))
    assert 1 == len(find_segments(perfsdk_dir))
    with Recording(perfsdk_dir) as recording:
        assert 3 * (len(REQUESTS) + 1) == recording.count(DURATION)
