"""WebSockets of ASGI applications are counted exactly, however they end, and never as requests."""

import asyncio
import gc
import weakref

import pytest

from perfsdk.catalog import METRICS
from perfsdk.frameworks.websocket import MAX_CLOSE_CODES, Connection
from perfsdk.request import Account, current
from tests.frameworks.websocket_driver import (
    ACCEPT,
    ACTIVE,
    CLOSE,
    CLOSES,
    LASTED,
    MESSAGES,
    connected,
    converse,
    disconnect,
    echo,
    read_closes,
    sending,
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


@pytest.mark.parametrize(
    ("said", "label"),
    [
        (disconnect(1000), "1000"),
        (disconnect(None), "1005"),
        (disconnect(0), "1005"),
        (disconnect(1006), "1006"),
        (disconnect(1012), "1012"),
        (disconnect(4000), "_OTHER"),
        (disconnect("what"), "_OTHER"),
        (text("close"), "1000"),
        (text("close 1008"), "1008"),
        (text("close 4001"), "4001"),
        (text("close 999"), "_OTHER"),
        (text("close 99999999999999999999"), "_OTHER"),
        (text("return"), "1006"),
        (text("raise"), "1011"),
    ],
)
async def test_how_a_connection_ends(said, label, measured, recording, closes):
    """By the client's code, else by the application's; the first that is told counts."""
    sent, error = await converse(measured(echo), said)
    assert (label == "1011") == isinstance(error, ValueError)
    assert ACCEPT == sent[0]
    assert {label: 1} == closes()
    assert 1 == recording.count(LASTED)
    assert 0 == recording.value(ACTIVE)


async def test_codes_of_the_application_are_bounded(measured, closes):
    """Past the bound they share one value; those seen before keep theirs."""
    app = measured(echo)
    for code in (*range(4000, 4100), 4000):
        await converse(app, text(f"close {code}"))
    counts = closes()
    assert MAX_CLOSE_CODES + 1 == len(counts)
    assert 2 == counts["4000"]
    assert 100 - MAX_CLOSE_CODES == counts["_OTHER"]


DENIAL = [
    {"type": "websocket.http.response.start", "status": 401, "headers": []},
    {"type": "websocket.http.response.body", "body": b"", "more_body": True},
    {"type": "websocket.http.response.body", "body": b"no"},
]


@pytest.mark.parametrize(
    "app", [sending(CLOSE), sending(*DENIAL), sending()], ids=["close", "denial", "nothing"]
)
async def test_a_handshake_that_is_turned_away(app, measured, recording, closes):
    """Counted once as that: the server answers with an error, there is no connection."""
    bare = await converse(app)
    assert bare == await converse(measured(app))
    assert {"rejected": 1} == closes()
    assert [] == recording.series(LASTED)
    assert [] == recording.series(ACTIVE)


async def test_an_exception_before_the_handshake(measured, closes):
    """It is the application's own object; the server answers 500."""
    error = ValueError("no")

    async def app(scope, receive, send):
        raise error

    assert ([], error) == await converse(measured(app))
    assert {"rejected": 1} == closes()


async def test_a_client_that_leaves_before_the_handshake(measured, recording, closes):
    """It was not turned away: the code is what the server tells, or 1006; no connection."""

    async def slow(scope, receive, send):
        await receive()
        await receive()
        await send(ACCEPT)

    app = measured(slow)
    assert [ACCEPT] == (await converse(app, disconnect(1001)))[0]  # some servers ignore it
    assert isinstance((await converse(app, disconnect(1006), gone_after=0))[1], OSError)
    assert {"1001": 1, "1006": 1} == closes()
    assert isinstance((await converse(measured(sending(ACCEPT)), gone_after=0))[1], OSError)
    assert {"1001": 1, "1006": 2} == closes()
    assert [] == recording.series(LASTED)
    assert [] == recording.series(ACTIVE)


async def test_a_client_that_is_gone_when_something_is_sent(measured, recording, closes):
    """What was not sent is not counted; it is no error of the application."""
    _, error = await converse(measured(echo), text("a"), text("b"), gone_after=2)
    assert isinstance(error, BrokenPipeError)
    assert {"1006": 1} == closes()
    assert 2 == recording.value(MESSAGES, direction="received")
    assert 1 == recording.value(MESSAGES, direction="sent")


async def test_an_application_that_goes_on_after_the_end(measured, recording, closes):
    """Nothing is counted any more."""
    more = [{"type": "websocket.send", "text": "late"}, CLOSE, ACCEPT]
    await converse(measured(sending(ACCEPT, CLOSE, *more)))
    assert {"1000": 1} == closes()
    assert 0 == recording.value(MESSAGES)
    assert 0 == recording.value(ACTIVE)


async def test_a_cancelled_task(measured, recording, closes):
    """The cancellation goes on, and the connection is over."""
    async with connected(measured(echo)) as (task, _, _):
        assert 1 == recording.value(ACTIVE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {"1006": 1} == closes()
    assert 0 == recording.value(ACTIVE)


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
