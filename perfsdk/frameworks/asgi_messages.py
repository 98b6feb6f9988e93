"""ASGI's own words: what applications are called with, and what the messages of extensions say."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

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


def file_size(message: Message, kind: str) -> int:
    """The bytes that a server takes from a file; 0 for what is not one or cannot be told."""
    if kind == "http.response.pathsend":
        try:
            return os.stat(message["path"]).st_size
        except OSError:
            return 0  # the server will say so
    return int(message.get("count") or 0) if kind == "http.response.zerocopysend" else 0
