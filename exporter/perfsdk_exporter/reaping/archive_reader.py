"""Opens the archive, believes it only when it is whole, and knows when it was replaced."""

import os
import stat
import zlib
from pathlib import Path

from perfsdk.store.directory import is_trusted
from perfsdk.store.format import MAGIC, VERSION, FormatError
from perfsdk.store.reader import MAX_FILE_SIZE_BYTES, SegmentReader
from perfsdk_exporter.reaping.folding import EXTRA_CELLS

ARCHIVE = "archive.arc"


class DamagedError(FormatError):
    """The archive is one of ours, and what it holds cannot be believed."""


class CurrentArchive:
    """The archive of a directory as it was at the last reading; it is replaced, never changed.

    Not safe for threads.
    """

    def __init__(self) -> None:
        self.reader: SegmentReader | None = None
        """None when there is none, or none that can be read."""
        self._file: tuple[int, int] | None = None

    @property
    def folded(self) -> set[bytes]:
        """Identities of the segments that are in it."""
        return self.reader.folded if self.reader is not None else set()

    def refresh(self, path: Path) -> None:
        """Open it when it is another one than before.

        Raises:
            FormatError, OSError: it cannot be read, see `open_archive`.
        """
        file = _file(path)
        if self.reader is not None and file == self._file:
            return
        known, self.reader = self.reader, None
        self._file = file
        try:
            self.reader = open_archive(path, known)
        except FileNotFoundError:
            pass
        finally:
            if known is not None:
                known.close()

    def is_current(self, path: Path) -> bool:
        """Whether it was not replaced since `refresh`."""
        return _file(path) == self._file

    def close(self) -> None:
        """Close the file."""
        if self.reader is not None:
            self.reader.close()
        self.reader = None


def open_archive(path: Path, known: SegmentReader | None = None) -> SegmentReader:
    """An archive, read and checked; with the series of `known` when both describe the same ones.

    Raises:
        DamagedError: it contradicts itself.
        FormatError: it is not an archive of this version, or not to be trusted.
        OSError: it cannot be opened (FileNotFoundError: there is none).
    """
    try:
        reader = SegmentReader(path, extra_cells=EXTRA_CELLS)
    except FormatError as error:
        if _was_ours(path):
            raise DamagedError(str(error)) from error
        raise
    try:
        if known is not None:
            reader.adopt(known, known.facts["descriptions_size"])
        reader.refresh()
        if not isinstance(reader.facts.get("descriptions_size"), int):
            raise DamagedError("a record is missing")
        if reader.unreadable_records:
            raise DamagedError("the checksum of a record does not hold")
        if reader.facts.get("values_crc32") != zlib.crc32(reader.values):
            raise DamagedError("the checksum of the values does not hold")
    except FormatError as error:
        reader.close()
        raise DamagedError(str(error)) from error
    except BaseException:
        reader.close()
        raise
    return reader


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None when there is none."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


def _was_ours(path: Path) -> bool:
    """Whether what is no segment of this version was one: not a link, nor of a newer version."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_SIZE_BYTES:
            return False
        start = os.pread(fd, 12, 0)
        newer = start[:8] == MAGIC and int.from_bytes(start[8:], "little") > VERSION
        return not newer and is_trusted(status, directory=os.stat(path.parent))
    finally:
        os.close(fd)
