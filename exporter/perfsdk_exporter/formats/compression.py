"""Compresses a page while it is written, in constant memory, as gzip or zstd."""

import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:  # an interpreter that was built without it: zstd is not offered
    zstd = None  # type: ignore[assignment]  # mypy has no optional modules

ENCODINGS: tuple[str, ...] = ("gzip", "zstd") if zstd else ("gzip",)
"""The content codings beside `identity` that `compress` knows."""

_FAST = 1
"""The level of both: the page shrinks to a tenth anyway, and the scrape waits for it."""

_GZIP_FORMAT = zlib.MAX_WBITS | 16
"""With gzip's header, in which zlib leaves the time of modification 0."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def compress(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The chunks in a content coding: `identity` or one of `ENCODINGS`.

    Raises:
        ValueError: another coding.
    """
    if encoding == "identity":
        return iter(chunks)
    return _compressed(chunks, _compressor(encoding))


def _compressor(encoding: str) -> _Compressor:
    if encoding == "gzip":
        return zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP_FORMAT)
    if encoding == "zstd" and zstd:
        compressor: _Compressor = zstd.ZstdCompressor(_FAST)
        return compressor
    raise ValueError(f"unknown content coding {encoding!r}; known are identity, {ENCODINGS}")


def _compressed(chunks: Iterable[bytes], compressor: _Compressor) -> Iterator[bytes]:
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()
