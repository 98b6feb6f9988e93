"""Opens the segments of a directory one after the other, for who needs each of them once."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from perfsdk.store.format import SUFFIX, FormatError
from perfsdk.store.reader import SegmentReader, find_segments


def readers(directory: Path) -> Iterator[SegmentReader]:
    """Every segment that can be opened, not read yet; it is closed when the next one is wanted."""
    for path in find_segments(directory):
        reader = None
        with suppress(FormatError, OSError):
            reader = SegmentReader(path)
        if reader is not None:
            try:
                yield reader
            finally:
                reader.close()


def is_dead(reader: SegmentReader) -> bool:
    """Whether its process ended. A copy is no segment: nobody locks it while its process lives."""
    return reader.path.name == segment_name(reader.header.identity) and not reader.is_live()


def segment_name(identity: bytes) -> str:
    """The name that its writer gave a segment."""
    return f"{identity.hex()}{SUFFIX}"


def header_identity(path: Path) -> bytes | None:
    """The identity in a file's header; None when it cannot be told."""
    try:
        reader = SegmentReader(path)
    except (FormatError, OSError):
        return None
    reader.close()
    return reader.header.identity
