"""How responses were delivered: their first byte, what was sent as it is, the work after them."""

from collections.abc import Iterable
from typing import Any

from perfsdk import catalog
from perfsdk.frameworks.route import Route
from perfsdk.recorder import Recorder

COMPRESSIBLE_FROM = 1024.0
"""Bytes from which a body is worth compressing; a real, like what it is compared with."""

BACKGROUND_FROM_SECONDS = 0.001
"""Work after the last byte that takes less is the return of the framework's own functions."""

_COMPRESSIBLE = (
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/x-ndjson",
    "application/x-yaml",
    "application/yaml",
    "application/graphql",
    "application/manifest",
    "application/vnd.api",
    "application/wasm",
    "image/svg",
)
_STREAM = "text/event-stream"
_ENDINGS = ("+json", "+xml")


class Delivery:
    """The families of responses that are told apart by route alone."""

    def __init__(self, recorder: Recorder) -> None:
        self._first_bytes = recorder.histogram(catalog.HTTP_SERVER_TIME_TO_FIRST_BYTE)
        self._uncompressed = recorder.counter(catalog.HTTP_SERVER_UNCOMPRESSED)
        self._background = recorder.histogram(catalog.BACKGROUND_TASK_DURATION)
        self._raised = recorder.counter(catalog.BACKGROUND_TASK_EXCEPTIONS)

    def first_byte(self, route: Route, seconds: float) -> None:
        """The first part of a streamed body that is not empty was sent after so long."""
        if route.measured:
            self._first_bytes.observe((route.template,), seconds)

    def uncompressed(self, route: Route, sent: float, headers: Iterable[Any] | None) -> None:
        """A body of `COMPRESSIBLE_FROM` bytes or more was sent with these response headers.

        Headers are pairs of a name and a value, text or bytes.
        """
        if route.measured and headers is not None and is_uncompressed(headers):
            self._uncompressed.add((route.template,), sent)

    def background(self, route: Route, seconds: float, raised: bool) -> None:
        """Work after the last byte of a response took so long, and perhaps raised."""
        if route.measured:
            self._background.observe((route.template,), seconds)
            if raised:
                self._raised.add((route.template,))


def is_uncompressed(headers: Iterable[Any]) -> bool:
    """Whether a body with these headers could have been compressed, and was not."""
    content_type = ""
    for name, value in headers:
        key = _text(name).lower()
        if key == "content-type":
            content_type = _text(value).lower()
        elif key == "content-encoding" and _text(value).lower() != "identity":
            return False
    media_type = content_type.partition(";")[0].strip()
    if media_type == _STREAM:
        return False  # parts of it are sent one by one
    return media_type.startswith(_COMPRESSIBLE) or media_type.endswith(_ENDINGS)


def declared_bytes(headers: Iterable[Any] | None) -> int | None:
    """What a response says of the length of its body; None when it says nothing."""
    for name, value in headers or ():
        if _text(name).lower() == "content-length":
            text = _text(value)
            return int(text) if text.isdecimal() else None
    return None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
