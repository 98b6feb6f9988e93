"""Makes one request to an ASGI application, message by message, as a server does."""

import asyncio

from tests.frameworks.contract.framework import Reply
from tests.frameworks.driving import DISCONNECT, answer_of, body_messages, http_scope

PART_BYTES = 65536
MISSING = object()
"""The value of an entry of the scope that is not there."""


async def drive(
    app,
    method="GET",
    path="/",
    *,
    headers=(),
    body=b"",
    on_chunk=None,
    leave_after=None,
    root_path="",
    stripped=False,
    scope=None,
):
    """The reply of the application.

    `headers` are pairs of str. `on_chunk(bytes)` is called with each part of the body before it
    counts as sent. The client leaves after `leave_after` parts of the body that are not empty:
    `receive` tells, and each further `send` raises. With `root_path` the path is that of the
    application; `stripped` says that the proxy took the prefix away. `scope` replaces entries.
    """
    if scope is None:
        scope = {}
    scope = make_scope(method, path, headers, root_path, stripped=stripped) | scope
    scope = {name: value for name, value in scope.items() if value is not MISSING}
    parts = [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)]
    waiting = body_messages(*(parts or [b""]))
    over = asyncio.Event()
    sent, chunks = [], []

    async def receive():
        if waiting:
            return waiting.pop(0)
        await over.wait()
        return DISCONNECT

    async def send(message):
        if leave_after is not None and len(chunks) >= leave_after:
            raise BrokenPipeError("the client is gone")
        part = message["type"] == "http.response.body" and bytes(message.get("body") or b"")
        if part:
            chunks.append(part)
            if on_chunk is not None:
                on_chunk(part)
        sent.append(message)
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last or len(chunks) == leave_after:
            over.set()

    error = None
    try:
        await app(scope, receive, send)
    except BaseException as raised:
        error = raised
    answer = answer_of(sent, error)
    text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
    return Reply(answer.status, text, answer.body, error)


def make_scope(method, path, headers=(), root_path="", *, stripped=False):
    """The scope of a request as uvicorn makes it."""
    path, _, query = path.partition("?")
    scope = http_scope(
        path if stripped else root_path + path,
        method,
        root_path=root_path,
        query_string=query.encode(),
    )
    given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in given):
        given.insert(0, (b"host", b"example.org"))
    return scope | {"headers": given}


async def talk(app, path="/", texts=(), *, leaves=None):
    """What an application sends to the client of a WebSocket, and the exception it raised.

    The client sends `texts` and then leaves with the close code `leaves`, None: it waits until
    the application closes.
    """
    waiting = [{"type": "websocket.connect"}]
    waiting += [{"type": "websocket.receive", "text": text} for text in texts]
    if leaves is not None:
        waiting.append({"type": "websocket.disconnect", "code": leaves})
    closed = asyncio.Event()
    sent = []

    async def receive():
        if waiting:
            return waiting.pop(0)
        await closed.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message):
        sent.append(message)
        if message["type"] == "websocket.close":
            closed.set()

    scope = make_scope("GET", path) | {"type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    error = None
    try:
        await app(scope, receive, send)
    except BaseException as raised:
        error = raised
    return sent, error
