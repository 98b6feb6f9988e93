"""ASGI's own words: what applications are called with, and what the messages of extensions say."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from perfsdk.frameworks.delivery import declared_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_last(message: Message, kind: str) -> bool:
    """Whether an extension's message carries the last byte."""
    if kind == "http.response.trailers":
        return not message.get("more_trailers", False)
    if kind == "http.response.zerocopysend":
        return not message.get("more_body", False)
    return kind == "http.response.pathsend"


def file_size(message: Message, kind: str, start: Message) -> int:
    """The bytes that a server takes from a file, as the response says; 0 where nobody says so.

    The file itself is not asked: that could block.
    """
    if kind == "http.response.pathsend":
        return declared_bytes(start.get("headers")) or 0
    return int(message.get("count") or 0) if kind == "http.response.zerocopysend" else 0
