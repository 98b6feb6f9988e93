"""One process's file: created, locked, mapped and grown, so that a store into it never fails."""

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

from perfsdk.store.format import (
    CELL,
    CELLS_END_OFFSET,
    PAGE,
    RECORDS_END_OFFSET,
    SCRATCH_CELLS,
    SUFFIX,
    Header,
    pack_header,
)

VALUES_STEP = 64 << 10
RECORDS_STEP = 32 << 10
KEPT_FOR_SELF = 4 << 10
"""Bytes of either region that only metrics about ourselves may take, so that a drop is counted."""


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
        self._words = memoryview(memory).cast("Q")
        self._fd = fd
        self._lock_fd = lock_fd
        self._values_reserved = 0
        self._records_reserved = 0
        self._refused_until = 0.0
        self.allocate_cells(SCRATCH_CELLS)

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
            _reserve(fd, 0, PAGE)
            os.pwrite(fd, pack_header(header), 0)
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
            self._grow("values", self.cells_end * CELL, for_self)
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
        start = self.records_end
        self.records_end = start + size
        try:
            self._grow("records", self.records_end, for_self)
        except SegmentFullError:
            if self.records_end == start + size:
                self.records_end = start
                raise
        offset = self.header.records_offset + start
        self._memory[offset : offset + size] = record
        self._words[RECORDS_END_OFFSET >> 3] = self.records_end

    def records(self) -> bytes:
        """A copy of the records written so far."""
        start = self.header.records_offset
        return bytes(self._memory[start : start + self.records_end])

    def is_published(self) -> bool:
        """Whether a reader can find the file: it has one, and nobody removed or replaced it."""
        if self.path is None:
            return False
        try:
            return os.stat(self.path).st_ino == os.fstat(self._fd).st_ino
        except OSError:
            return False

    def close(self) -> None:
        """Close the descriptors, which releases the lock: readers see a dead writer.

        In a forked child the lock stays with the parent, because it is never unlocked. Views of
        the memory that are still in use stay valid.
        """
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def _grow(self, region: str, wanted: int, for_self: bool) -> None:
        if region == "values":
            reserved, step = self._values_reserved, VALUES_STEP
            offset, size = PAGE, self.header.values_size
        else:
            reserved, step = self._records_reserved, RECORDS_STEP
            offset, size = self.header.records_offset, self.header.records_size
        if wanted > size - (0 if for_self else KEPT_FOR_SELF):
            raise SegmentFullError(f"the {region} of the segment are full")
        if wanted <= reserved - (0 if for_self else KEPT_FOR_SELF):
            return
        target = min(-(-(wanted + KEPT_FOR_SELF) // step) * step, size)
        if self._fd >= 0 and target > reserved:
            now = time.monotonic()
            if now < self._refused_until:
                raise SegmentFullError("no space left")
            try:
                _reserve(self._fd, offset + reserved, target - reserved)
            except OSError as error:
                if wanted <= reserved and for_self:
                    return
                self._refused_until = now + 5.0
                raise SegmentFullError(error.strerror) from error
        if region == "values":
            self._values_reserved = target
        else:
            self._records_reserved = target


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


def _reserve(fd: int, offset: int, size: int) -> None:
    """Make sure that storing into the range cannot hit a full disk (which would be a SIGBUS)."""
    fallocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if fallocate is not None:
        try:
            fallocate(fd, offset, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
                raise
        else:
            return
    zeros = bytes(64 << 10)
    end = offset + size
    while offset < end:
        offset += os.pwrite(fd, zeros[: end - offset], offset)
