"""Drives the WebSockets of ASGI applications message by message, as a server would."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import Any

from tests.frameworks.asgi_driver import make_scope

ACTIVE = "websocket_server_active_connections"
LASTED = "websocket_server_connection_duration_seconds"
MESSAGES = "websocket_server_messages_total"
CLOSES = "websocket_server_closes_total"

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


def websocket_scope(path="/ws", **more):
    """The scope of a connection as uvicorn makes it."""
    scope: dict[str, Any] = make_scope("GET", path) | {"type": "websocket", "scheme": "ws"}
    del scope["method"]
    extensions = {"websocket.http.response": {}}
    return scope | {"subprotocols": [], "extensions": extensions} | more


def text(data="hello"):
    """A message from the client."""
    return {"type": "websocket.receive", "text": data}


def disconnect(code=1000):
    """The client closes, with a code or (None) without one; 0: the server tells no code."""
    message = {"type": "websocket.disconnect", "code": code}
    return message if code != 0 else {"type": "websocket.disconnect"}


def sending(*messages):
    """An application that answers the handshake by these messages and returns."""

    async def app(scope, receive, send):
        await receive()
        for message in messages:
            await send(message)

    return app


async def echo(scope, receive, send):
    """Sends back what it receives until the client closes; some words say what else to do."""
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        word, _, code = message["text"].partition(" ")
        if word == "raise":
            raise ValueError
        if word == "return":
            return
        if word == "close":
            await send({**CLOSE, "code": int(code)} if code else CLOSE)
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def converse(app, *incoming, path="/ws", gone_after=None, scope=None):
    """What the application sends to a client that says `incoming`, and the error it raised.

    After that the client waits until the application closes; then it is told of a disconnect.
    The client is gone after `gone_after` messages: each further `send` raises.
    """
    waiting = deque([CONNECT, *incoming])
    closed = asyncio.Event()
    sent = []

    async def receive():
        if waiting:
            return waiting.popleft()
        await closed.wait()
        return disconnect(1005)

    async def send(message):
        if gone_after is not None and len(sent) >= gone_after:
            raise BrokenPipeError("the client is gone")
        sent.append(message)
        if message["type"] in ("websocket.close", "websocket.http.response.body"):
            closed.set()

    error = None
    try:
        await asyncio.wait_for(app(scope or websocket_scope(path), receive, send), 10)
    except BaseException as raised:
        error = raised
    return sent, error


@asynccontextmanager
async def connected(app, path="/ws", **more):
    """A connection that stays open: the task of the application, and what the client says."""
    says, sent = asyncio.Queue(), asyncio.Queue()
    says.put_nowait(CONNECT)
    task = asyncio.create_task(app(websocket_scope(path, **more), says.get, sent.put))
    try:
        assert "websocket.accept" == (await asyncio.wait_for(sent.get(), 10))["type"]
        yield task, says, sent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def read_closes(recording):
    """How many connections of which route ended with which code."""
    return {
        tuple(labels.values()): recording.value(CLOSES, **labels)
        for labels in recording.series(CLOSES)
    }
