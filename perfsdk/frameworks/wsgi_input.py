"""Counts the bytes that an application reads of a request, as the server's own stream does."""

from collections.abc import Callable, Iterator
from typing import Any

from perfsdk import guard

_ALSO_READ = ("read1", "readinto", "readinto1")


class Input:
    """The server's `wsgi.input`, whose other attributes show through.

    `received` is in bytes; `disconnected` is true once a read failed because the client left.
    It knows no exchange, so that the two are freed without the garbage collector.
    """

    __slots__ = ("_stream", "disconnected", "received")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.received = 0.0
        self.disconnected = False

    def read(self, *args: Any, **kwargs: Any) -> Any:
        return self._read(self._stream.read, args, kwargs)

    def readline(self, *args: Any, **kwargs: Any) -> Any:
        return self._read(self._stream.readline, args, kwargs)

    def readlines(self, *args: Any, **kwargs: Any) -> Any:
        return self._read(self._stream.readlines, args, kwargs)

    def __iter__(self) -> Iterator[Any]:
        lines = iter(self._stream)
        while True:
            try:
                line = self._read(next, (lines,), {})
            except StopIteration:
                return
            yield line

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # not made yet, as when it is copied
            raise AttributeError(name)
        found = getattr(self._stream, name)
        if name in _ALSO_READ:
            return lambda *args, **kwargs: self._read(found, args, kwargs)
        return found

    def _read(self, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            data = call(*args, **kwargs)
        except OSError:  # so servers say that the client is gone
            self.disconnected = True
            raise
        try:
            if isinstance(data, list):
                self.received += sum(map(len, data))
            elif data:
                self.received += data if isinstance(data, int) else len(data)
        except Exception:
            guard.failed("wsgi.input")
        return data
