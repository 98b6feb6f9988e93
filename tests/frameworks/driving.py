"""Drives ASGI applications message by message, as a server would, and keeps what they answer."""

import asyncio
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What a client sees, and the exception that reached the server."""

    status: int
    headers: list
    body: bytes
    error: BaseException | None
    messages: list


def http_scope(path="/", method="GET", headers=(), **more):
    """The scope of a request as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "headers": [(b"host", b"example.org"), *headers],
        "state": {},
        **more,
    }


def body_messages(*parts):
    """The messages of a request body that comes in parts."""
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": part, "more_body": index < last}
        for index, part in enumerate(parts)
    ]


START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
DISCONNECT = {"type": "http.disconnect"}


def start(status=200, **more):
    """The message that begins a response."""
    return {**START, "status": status, **more}


def part(body=b"", *, more=False):
    """A message with a part of the response body; the last one unless there is more."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def answering(*messages):
    """An application that sends these messages and no other."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


async def ask(app, path="/", method="GET", *, incoming=None, send=None, scope=None, **more):
    """One request to the application; what it raises is in the answer.

    `incoming` are the messages to receive, after them the client stays without a word until
    the response is complete, and leaves. `send` is called with each message before it counts
    as sent. `more` goes into the scope.
    """
    waiting = list(body_messages(b"") if incoming is None else incoming)
    sent = []
    complete = asyncio.Event()

    async def receive():
        if waiting:
            return waiting.pop(0)
        await complete.wait()
        return DISCONNECT

    async def keep(message):
        if send is not None:
            await send(message)
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            complete.set()

    if scope is None:
        scope = http_scope(path, method, **more)
    error = None
    try:
        await app(scope, receive, keep)
    except BaseException as raised:
        error = raised
    return answer_of(sent, error)


def answer_of(sent, error=None):
    """The answer that consists of these messages."""
    starts = [message for message in sent if message["type"] == "http.response.start"]
    first = starts[0] if starts else {"status": 0, "headers": []}
    body = b"".join(bytes(message.get("body") or b"") for message in sent)
    return Answer(first["status"], list(first.get("headers", [])), body, error, sent)
