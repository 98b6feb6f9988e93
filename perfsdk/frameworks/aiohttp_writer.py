"""Has the writer of an aiohttp.web response tell what it sends.

Everything that aiohttp sends, whichever class of response sends it, passes the writer of the
request: the status line first, then parts of the body, then the end. So the writer becomes one
of a class that tells; it stays the same object, and of its own class for `isinstance`.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from perfsdk import guard

if TYPE_CHECKING:
    from perfsdk.frameworks.aiohttp_exchange import Exchange

END_OF_CHUNKS = len(b"0\r\n\r\n")
"""The size of the chunk without a byte that is the end of a body in chunks."""


def tell(writer: Any, exchange: "Exchange") -> None:
    """Have the writer of a request tell its exchange."""
    kind: Any = type(writer)
    writer.perfsdk_exchange = exchange
    writer.__class__ = telling(kind)


def be_silent(writer: Any) -> None:
    """The opposite: the writer is what it was, and holds the exchange no more.

    aiohttp itself keeps the writers of some requests until the garbage collector comes.
    """
    kind = vars(type(writer)).get("perfsdk_kind")
    if kind is not None:
        writer.__class__ = kind
        del writer.perfsdk_exchange


@lru_cache(maxsize=8)
def telling(kind: Any) -> Any:
    """The class of writers `kind` that tell the exchange, their attribute `perfsdk_exchange`."""

    class TellingWriter(kind):  # type: ignore[misc] # whichever class aiohttp writes with
        perfsdk_exchange: "Exchange"
        perfsdk_kind = kind

        async def write_headers(self, status_line: str, headers: Any) -> None:
            exchange = self.perfsdk_exchange
            exchange.begin_response(self, status_line, headers)
            await kind.write_headers(self, status_line, headers)
            exchange.count_headers(self)

        async def write(self, chunk: Any, **options: Any) -> None:
            exchange = self.perfsdk_exchange
            exchange.count(self)  # another task may wait in here meanwhile
            try:
                await kind.write(self, chunk, **options)
            except BaseException as error:
                exchange.broke(self, error)
                raise
            exchange.count(self)

        async def write_eof(self, chunk: bytes = b"") -> None:
            exchange = self.perfsdk_exchange
            exchange.count(self)
            try:
                await kind.write_eof(self, chunk)
            except BaseException as error:
                exchange.broke(self, error)
                raise
            try:
                exchange.end_response(self)
            except Exception:
                guard.failed("aiohttp.end_response")

    TellingWriter.__name__ = kind.__name__
    TellingWriter.__qualname__ = kind.__qualname__
    TellingWriter.__module__ = kind.__module__
    return TellingWriter


def unframed(size: int) -> int:
    """The bytes in a chunk that takes `size` bytes with its length before it and line ends."""
    if size <= 0:
        return 0
    # The length in hexadecimal, two line ends of two bytes; one digit less where it is a carry.
    digits = len(f"{size - 5:x}")
    inside = size - 4 - digits
    return inside if len(f"{inside:x}") == digits else inside + 1


def is_gone(writer: Any) -> bool:
    """Whether nobody reads any more what a writer sends."""
    transport = writer.transport
    return transport is None or transport.is_closing()
