"""WebSockets of ASGI applications are counted exactly, each once, and never as requests."""

import asyncio
import gc
import weakref

import pytest

from perfsdk.catalog import METRICS
from perfsdk.frameworks.websocket import Connection
from perfsdk.request import Account, current
from tests.frameworks.websocket_driver import (
    ACCEPT,
    ACTIVE,
    CLOSES,
    CONNECT,
    LASTED,
    MESSAGES,
    connected,
    converse,
    disconnect,
    echo,
    read_closes,
    text,
    websocket_scope,
)

ROUTE = "<unresolved>"


@pytest.fixture
def closes(recording):
    """`closes()`: how many connections ended with which code."""
    return lambda: {code: count for (_, code), count in read_closes(recording).items()}


async def test_a_connection(measured, recording, closes):
    """Open, messages either way, its duration and the code of the client; no request."""
    app = measured(echo)
    async with connected(app) as (task, says, sent):
        assert 1 == recording.value(ACTIVE, http_route=ROUTE)
        for message in (text("a"), {"type": "websocket.receive", "text": "b", "bytes": None}):
            says.put_nowait(message)
            await sent.get()
        says.put_nowait(text("c"))
        await sent.get()
        assert 3 == recording.value(MESSAGES, http_route=ROUTE, direction="received")
        says.put_nowait(disconnect(1001))
        assert None is await task
    assert 3 == recording.value(MESSAGES, http_route=ROUTE, direction="sent")
    assert {"1001": 1} == closes()
    assert 0 == recording.value(ACTIVE)
    assert 1 == recording.count(LASTED, http_route=ROUTE)
    assert 0 < recording.sum(LASTED) < 60
    for metric in METRICS:
        if metric.name.startswith("http_server_request"):
            assert [] == recording.series(metric.name), metric.name


async def test_a_task_of_its_own_that_receives(measured, recording, closes):
    """What it gets before the other task has accepted counts, too."""

    async def app(scope, receive, send):
        assert [CONNECT, text("a"), text("b")] == [await receive() for _ in range(3)]
        await send(ACCEPT)
        await receive()

    await converse(measured(app), text("a"), text("b"), disconnect())
    assert 2 == recording.value(MESSAGES, direction="received")
    assert {"1000": 1} == closes()


async def test_a_hundred_connections_at_once(measured, recording, closes):
    """Each has its own state."""
    app = measured(echo)
    opened = [connected(app) for _ in range(100)]
    open_ones = [await one.__aenter__() for one in opened]
    assert 100 == recording.value(ACTIVE)
    for number, (_, says, _) in enumerate(open_ones):
        for _ in range(number):
            says.put_nowait(text())
        says.put_nowait(disconnect(1000 + number % 2))
    await asyncio.gather(*(task for task, _, _ in open_ones))
    for one in opened:
        await one.__aexit__(None, None, None)
    assert {"1000": 50, "1001": 50} == closes()
    for direction in ("received", "sent"):
        assert 4950 == recording.value(MESSAGES, direction=direction)
    assert 100 == recording.count(LASTED)
    assert 0 == recording.value(ACTIVE)


async def test_an_application_in_an_application(measured, recording, closes):
    """Two that are measured count a connection once, also when the scope was copied."""
    inner = measured(echo)

    async def outer(scope, receive, send):
        await inner(dict(scope), receive, send)

    await converse(measured(outer), text(), disconnect())
    assert {"1000": 1} == closes()
    assert 2 == recording.value(MESSAGES)
    assert 1 == recording.count(LASTED)


async def test_a_connection_has_no_account(measured):
    """What it does is not charged to the request, say of a test, that surrounds it."""
    seen = []

    async def app(scope, receive, send):
        seen.append(current.get())
        await echo(scope, receive, send)

    account = Account(0.0)
    token = current.set(account)
    await converse(measured(app), disconnect())
    assert [None] == seen
    assert account is current.get()
    current.reset(token)


async def test_nothing_is_kept_of_a_connection(measured):
    """When it is over it is freed without the garbage collector, and so is the scope."""
    scopes = []

    class Scope(dict):
        """One that can be watched."""

    async def app(scope, receive, send):
        await converse(measured_app, text(), disconnect(), scope=scope)

    measured_app = measured(echo)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            scope = Scope(websocket_scope())
            scopes.append(weakref.ref(scope))
            await app(scope, None, None)
            assert websocket_scope().keys() == scope.keys()
            del scope
        assert [None] * 10 == [scope() for scope in scopes]
        assert [] == [one for one in gc.get_objects() if isinstance(one, Connection)]
    finally:
        gc.enable()


async def test_excluded_paths(measured, recording):
    """They are passed through."""
    app = measured(echo, exclude=("/internal/*",))
    for path in ("/healthz", "/internal/ws"):
        assert ACCEPT == (await converse(app, disconnect(), path=path))[0][0]
    for name in (ACTIVE, LASTED, MESSAGES, CLOSES):
        assert [] == recording.series(name)


@pytest.mark.parametrize("kind", ["lifespan", "webtransport"])
async def test_other_scopes_pass_untouched(kind, measured):
    """The application gets the same objects, and the scope stays as it is."""
    seen = []

    async def app(*given):
        seen.extend(given)

    given = {"type": kind}, object(), object()
    await measured(app)(*given)
    assert all(one is other for one, other in zip(given, seen, strict=True))
    assert {"type": kind} == given[0]
