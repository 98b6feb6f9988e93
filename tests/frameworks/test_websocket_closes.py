"""However a WebSocket ends, it is counted once, by a close code from a bounded set."""

import asyncio

import pytest

from perfsdk.frameworks.websocket import MAX_CLOSE_CODES
from tests.frameworks.websocket_driver import (
    ACCEPT,
    ACTIVE,
    CLOSE,
    LASTED,
    MESSAGES,
    connected,
    converse,
    disconnect,
    echo,
    read_closes,
    sending,
    text,
)

ROUTE = "<unresolved>"


@pytest.fixture
def closes(recording):
    """`closes()`: how many connections ended with which code."""
    return lambda: {code: count for (_, code), count in read_closes(recording).items()}


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
