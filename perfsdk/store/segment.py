"""One process's file: created, locked, mapped and grown, so that a store into it never fails."""

import fcntl
import mmap
import os
import time
from pathlib import Path

from perfsdk.store.format import (
    CELL,
    CELLS_END_OFFSET,
    PAGE,
    RECORD_HEADER,
    RECORDS_END_OFFSET,
    SCRATCH_CELLS,
    SUFFIX,
    Header,
    pack_header,
)
from perfsdk.store.space import allocate_blocks, write_whole

VALUES_STEP = 64 << 10
RECORDS_STEP = 32 << 10
KEPT_FOR_SELF = 4 << 10
"""Bytes of either region that only metrics about ourselves may take, so that a drop is counted."""
BACK_OFF_SECONDS = 5.0
"""For how long a refused reservation is not tried again."""


class SegmentFullError(Exception):
    """No room: the bound of the segment is reached, or the file system has no space."""


class LockUnavailableError(OSError):
    """The file system does not lock files, so nobody could tell a living writer from a dead one."""


class Segment:
    """The mapped file of one process; or, without a path, memory of this process alone.

    Not safe for threads: whoever allocates holds a lock. Allocation is safe under re-entry (a
    signal handler or a finalizer that allocates in between): space is taken by one assignment.
    """

    def __init__(
        self, header: Header, memory: mmap.mmap, *, fd: int, lock_fd: int, path: Path | None
    ) -> None:
        self.header = header
        self.path = path
        self.values = memoryview(memory)[PAGE : header.records_offset].cast("d")
        self.cells_end = 0
        self.records_end = 0
        self._memory = memory
        self._records_offset = header.records_offset
        self._words = memoryview(memory).cast("Q")
        self._fd = fd
        self._lock_fd = lock_fd
        self._regions = {
            "values": (PAGE, header.values_size, VALUES_STEP),
            "records": (header.records_offset, header.records_size, RECORDS_STEP),
        }
        self._reserved = {"values": 0, "records": 0}
        self._refused_until = 0.0
        self.allocate_cells(SCRATCH_CELLS)
        self.make_room(RECORD_HEADER)  # else there may be cells but no way to describe them

    @classmethod
    def create(cls, directory: Path, *, size_bytes: int, file_mode: int) -> "Segment":
        """Make, lock, map and publish a new segment in an existing directory.

        Raises:
            LockUnavailableError: the file system cannot lock.
            SegmentFullError: the file system has no space for the first steps.
            OSError: the file cannot be made.
        """
        header = _new_header(size_bytes)
        name = header.identity.hex()
        temporary = directory / f".{name}.tmp"
        path = directory / f"{name}{SUFFIX}"
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, file_mode)
        lock_fd = -1
        try:
            os.fchmod(fd, file_mode)  # whatever the umask
            os.ftruncate(fd, header.file_size)
            write_whole(fd, pack_header(header).ljust(PAGE, b"\0"), 0)
            lock_fd = os.open(temporary, flags)
            _lock(lock_fd)
            segment = cls(
                header, mmap.mmap(fd, header.file_size), fd=fd, lock_fd=lock_fd, path=path
            )
            os.rename(temporary, path)
        except BaseException:
            os.close(fd)
            if lock_fd >= 0:
                os.close(lock_fd)
            os.unlink(temporary)
            raise
        return segment

    @classmethod
    def in_memory(cls, *, size_bytes: int) -> "Segment":
        """A segment that nobody else sees: for tests, and while no file can be had."""
        header = _new_header(size_bytes)
        memory = mmap.mmap(-1, header.file_size)
        memory[: len(pack_header(header))] = pack_header(header)
        return cls(header, memory, fd=-1, lock_fd=-1, path=None)

    def allocate_cells(self, count: int, *, align: int = 1, for_self: bool = False) -> int:
        """Take `count` zeroed cells and return the index of the first.

        Raises:
            SegmentFullError: there is no room; nothing was taken.
        """
        # From here to the second assignment no call, no loop: nothing can run in between.
        start = -(-self.cells_end // align) * align
        before, self.cells_end = self.cells_end, start + count
        try:
            self._grow("values", (start + count) * CELL, for_self)
        except SegmentFullError:
            if self.cells_end == start + count:
                self.cells_end = before
                raise
            # Re-entered meanwhile, and what came after us found room: so did we.
        self._words[CELLS_END_OFFSET >> 3] = self.cells_end
        return start

    def append_record(self, record: bytes, *, for_self: bool = False) -> None:
        """Publish a record (see `format.pack_record`).

        Raises:
            SegmentFullError: there is no room; nothing was written.
        """
        size = len(record)
        first_word = int.from_bytes(record[:RECORD_HEADER], "little")
        rest = record[RECORD_HEADER:]
        interrupted: BaseException | None = None
        # From here to the second assignment no call, no loop: nothing can run in between.
        start = self.records_end
        self.records_end = start + size
        try:
            self._grow("records", start + size, for_self)
        except BaseException as error:  # no room, or raised by a signal handler
            if self.records_end == start + size:
                self.records_end = start
                raise
            interrupted = error
        # Again no call: an interrupted writer would leave a hole, at which readers wait for ever.
        # The first word says how long the record is: with it, written last, the record is there.
        offset = self._records_offset + start
        self._memory[offset + RECORD_HEADER : offset + size] = rest
        self._words[offset >> 3] = first_word
        self._words[RECORDS_END_OFFSET >> 3] = self.records_end
        if interrupted is not None and not isinstance(interrupted, SegmentFullError):
            raise interrupted

    def make_room(self, record_bytes: int, *, for_self: bool = False) -> None:
        """Reserve room for a record, so that no cells are taken which it then cannot describe.

        Raises:
            SegmentFullError: there is no room.
        """
        self._grow("records", self.records_end + record_bytes, for_self)

    def records(self) -> bytes:
        """A copy of the records written so far."""
        start = self.header.records_offset
        return bytes(self._memory[start : start + self.records_end])

    def is_published(self) -> bool:
        """Whether a reader can find the file: it has one, and nobody removed or replaced it."""
        if self.path is None:
            return False
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # cannot be told; a second file would count everything twice

    def close(self) -> None:
        """Close the descriptors, which releases the lock: readers see a dead writer.

        In a forked child the lock stays with the parent, because it is never unlocked. Views of
        the memory that are still in use stay valid.
        """
        fds = (self._fd, self._lock_fd)
        self._fd = self._lock_fd = -1  # first: a handler may close it too
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def discard(self) -> None:
        """Remove the file of a segment that was made but is not used, and close it."""
        try:
            if self.path is not None:
                os.unlink(self.path)
        except OSError:
            pass  # gone with its directory
        self.close()

    def _grow(self, region: str, wanted: int, for_self: bool) -> None:
        _, size, step = self._regions[region]
        kept = 0 if for_self else KEPT_FOR_SELF
        if wanted > size - kept:
            raise SegmentFullError(f"the {region} of the segment are full")
        if wanted <= self._reserved[region] - kept:
            return
        target = min(-(-(wanted + KEPT_FOR_SELF) // step) * step, size)
        if self._fd >= 0:
            if time.monotonic() < self._refused_until:
                raise SegmentFullError("no space left")
            try:
                self._reserve(region, target)
            except OSError as error:
                self._refused_until = time.monotonic() + BACK_OFF_SECONDS
                raise SegmentFullError(error.strerror) from error
        # More when re-entered meanwhile. `max` would be a call, during which a handler can run.
        if self._reserved[region] < target:  # noqa: PLR1730 - see above
            self._reserved[region] = target

    def _reserve(self, region: str, target: int) -> None:
        """Make sure that storing below `target` cannot hit a full disk (a SIGBUS)."""
        offset = self._regions[region][0]
        start = self._reserved[region]
        if start >= target or allocate_blocks(self._fd, offset + start, target - start):
            return
        zeros = bytes(PAGE)
        while self._reserved[region] < target:
            # What a re-entrant caller has reserved meanwhile may be in use: from here to the
            # write nothing can run in between, nor from the comparison to the assignment.
            start = self._reserved[region]
            written = os.pwrite(self._fd, zeros[: target - start], offset + start)
            if self._reserved[region] < start + written:  # noqa: PLR1730 - `max` is a call
                self._reserved[region] = start + written


def _new_header(size_bytes: int) -> Header:
    # A quarter for descriptions: a series takes about 130 bytes there and 400 of values.
    records_size = size_bytes // 4 // PAGE * PAGE
    values_size = size_bytes // PAGE * PAGE - records_size - PAGE
    return Header(os.urandom(16), os.getpid(), time.time(), values_size, records_size)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LockUnavailableError(error.errno, error.strerror) from error
