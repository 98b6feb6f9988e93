"""A new segment has the series of the one before at the same cells, as if nothing was recorded."""

from pathlib import Path
from typing import NamedTuple

from perfsdk.store.directory import DirectoryError, ensure_directory
from perfsdk.store.segment import LockUnavailableError, Segment, SegmentFullError


class Layout(NamedTuple):
    """The series of a segment: records, end of the cells, and the cells that begin as NaN."""

    records: bytes
    cells_end: int
    unset: tuple[int, ...]


class UnavailableError(Exception):
    """No file can be had; the message says why, in one line."""


def create_segment(
    directory: Path, layout: Layout, *, size_bytes: int, directory_mode: int
) -> Segment:
    """A segment with a file.

    Raises:
        UnavailableError: the directory or its file system does not allow it.
    """
    try:
        ensure_directory(directory, directory_mode)
        segment = Segment.create(directory, size_bytes=size_bytes, file_mode=directory_mode & 0o660)
        try:
            _lay_out(segment, layout)
        except BaseException:
            segment.discard()
            raise
    except LockUnavailableError as error:
        reason = f"{directory} cannot lock files ({error.strerror}); use /dev/shm"
        raise UnavailableError(reason) from error
    except DirectoryError as error:
        raise UnavailableError(str(error)) from error
    except SegmentFullError as error:
        raise UnavailableError(f"{directory}: {error}") from error
    except OSError as error:
        raise UnavailableError(f"{directory}: {error.strerror}") from error
    return segment


def segment_in_memory(layout: Layout, *, size_bytes: int) -> Segment:
    """A segment that nobody else sees, while no file can be had."""
    segment = Segment.in_memory(size_bytes=size_bytes)
    _lay_out(segment, layout)
    return segment


def _lay_out(segment: Segment, layout: Layout) -> None:
    if layout.cells_end > segment.cells_end:
        segment.allocate_cells(layout.cells_end - segment.cells_end, for_self=True)
    for cell in layout.unset:
        segment.values[cell] = float("nan")
    if layout.records:
        segment.append_record(layout.records, for_self=True)
