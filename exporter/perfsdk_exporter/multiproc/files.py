"""Reads one file of prometheus_client's multi-process mode: its keys once, its values again.

The file is written through a mapping, all numbers in the byte order of the machine:

    offset  size  field
    0       4     integer: bytes of the file in use                (grows)
    4       4     unused
    8             entries, one after the other:
                  4     integer: length of the key in bytes
                        key: JSON in UTF-8, then spaces up to the next multiple of 8, at least one
                  8     real: value
                  8     real: seconds since the epoch of a `mostrecent` gauge, else 0

An entry is written before the bytes in use grow over it, and stays where it is. A value and its
time are stored together, but as two words: a reader may see one of them older than the other.
"""

import os
import stat
import struct
import zlib
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from perfsdk.store.directory import is_trusted
from perfsdk_exporter.families import Kind

Reals = NDArray[np.float64]
Indices = NDArray[np.int32]

MAX_FILE_SIZE_BYTES = 256 << 20
KINDS = ("counter", "gauge", "histogram", "summary")
MODES = ("all", "max", "min", "mostrecent", "sum")

_LENGTH = struct.Struct("=i")
_FIRST_ENTRY = 8
_ATTEMPTS = 4


class UnusableError(Exception):
    """The file is none of prometheus_client's, or it is damaged; the message says how."""


class ReplacedError(UnusableError):
    """Another file is in its place now: start anew."""

    def __init__(self) -> None:
        super().__init__("was replaced while it was read")


class Buffer:
    """The bytes of the file being read, the same memory for all files."""

    def __init__(self) -> None:
        self._data = memoryview(bytearray(1 << 16))

    def take(self, fd: int, used: int) -> memoryview:
        """What is in use of the file, `used` bytes of it at the last time.

        Raises:
            UnusableError: the file is shorter than it says.
        """
        wanted = max(used, _FIRST_ENTRY)
        self._grow(wanted)
        count = os.preadv(fd, [self._data[:wanted]], 0)
        if count < _FIRST_ENTRY:
            return self._data[:0]  # just made
        (wanted,) = _LENGTH.unpack_from(self._data)
        if wanted == 0:
            return self._data[:0]
        if not _FIRST_ENTRY <= wanted <= MAX_FILE_SIZE_BYTES or wanted % 8:
            raise UnusableError("garbled: impossible size")
        if wanted > os.fstat(fd).st_size:
            raise UnusableError("truncated")
        self._grow(wanted)
        while count < wanted:
            more = os.preadv(fd, [self._data[count:wanted]], count)
            if more == 0:
                raise UnusableError("truncated")
            count += more
        return self._data[:wanted]

    def _grow(self, size: int) -> None:
        if size > len(self._data):
            larger = memoryview(bytearray(size + size // 4))
            larger[: len(self._data)] = self._data
            self._data = larger


class ValuesFile:
    """One file between two readings. Not safe for threads.

    `values` has a number for every entry; `times` too, in a file of `mostrecent` gauges alone.
    `process` is what the writer calls itself, by default its process id; `modified_ns` when
    the file was changed, as far as its mapping tells the file system.
    """

    def __init__(self, path: Path) -> None:
        """Take the file's name apart.

        Raises:
            UnusableError: prometheus_client names no file so.
        """
        kind, _, process = path.name.removesuffix(".db").partition("_")
        mode = ""
        if kind == "gauge":
            mode, _, process = process.partition("_")
            mode = mode.removeprefix("live")
        if kind not in KINDS or not process or (kind == "gauge" and mode not in MODES):
            raise UnusableError("is not named like a file of prometheus_client")
        self.path = path
        self.kind = cast("Kind", kind)
        self.mode = mode
        self.process = process
        self.modified_ns = 0
        self.values: Reals = np.zeros(0)
        self.times: Reals = np.zeros(0)
        self._words: Indices = np.zeros(0, np.int32)
        self._used = 0
        self._state: tuple[int, ...] = ()
        self._fingerprint = 0

    def refresh(self, buffer: Buffer, directory: os.stat_result) -> tuple[list[bytes], bool]:
        """The keys that are new, and whether any value is another one.

        Raises:
            UnusableError: it is damaged, or not to be trusted.
            ReplacedError: it has other keys than before.
            OSError: it cannot be opened (FileNotFoundError: it is gone).
        """
        # O_NONBLOCK: opening a FIFO must not wait for its other end.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableError("not a regular file")
            if not is_trusted(status, directory=directory):
                raise UnusableError(f"belongs to another user ({status.st_uid})")
            return self._refresh(fd, buffer, status)
        finally:
            os.close(fd)

    def _refresh(self, fd: int, buffer: Buffer, status: os.stat_result) -> tuple[list[bytes], bool]:
        data, keys, words = self._entries(fd, buffer)
        numbers = np.frombuffer(data, np.float64)
        # A mapping need not touch the times of the file, so they cannot tell that values are the
        # same. A file put in the place of another, or emptied, has another number or change time.
        state = status.st_ino, status.st_size, status.st_ctime_ns
        if self._used and state != self._state and self._fingerprint != self._prefix(numbers):
            raise ReplacedError
        self._state = state
        self.modified_ns = status.st_mtime_ns
        if keys:
            self._words = np.concatenate((self._words, np.array(words, np.int32)))
            self._used = len(data)
            self._fingerprint = self._prefix(numbers)
        return keys, self._take_values(fd, buffer, numbers) or bool(keys)

    def _entries(self, fd: int, buffer: Buffer) -> tuple[memoryview, list[bytes], list[int]]:
        """What is in use, the keys of new entries, and in which word each has its value."""
        for attempt in range(_ATTEMPTS):
            data = buffer.take(fd, self._used)
            if len(data) < self._used:
                raise ReplacedError
            try:
                return data, *_parse(data, max(self._used, _FIRST_ENTRY))
            except UnusableError:
                # On some processors the stores of the writer are seen in another order.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _prefix(self, numbers: Reals) -> int:
        """A checksum of everything that never changes in the part that is known."""
        fixed = numbers[: self._used // 8].copy()
        fixed[0] = 0.0
        fixed[self._words] = 0.0
        fixed[self._words + 1] = 0.0
        return zlib.crc32(fixed.data)

    def _take_values(self, fd: int, buffer: Buffer, numbers: Reals) -> bool:
        values = numbers[self._words]
        times = self.times
        if self.mode == "mostrecent":
            times = numbers[self._words + 1]
            for _ in range(_ATTEMPTS):
                # What is the same twice is no new time beside an old value.
                data = buffer.take(fd, self._used)
                if len(data) < self._used:
                    raise ReplacedError
                numbers = np.frombuffer(data, np.float64)
                before, values = values, numbers[self._words]
                times_before, times = times, numbers[self._words + 1]
                if _same(before, values) and _same(times_before, times):
                    break
        changed = not (_same(self.values, values) and _same(self.times, times))
        self.values, self.times = values, times
        return changed


def _parse(data: memoryview, start: int) -> tuple[list[bytes], list[int]]:
    """The keys from `start` on, and in which word of the file each has its value."""
    keys: list[bytes] = []
    words: list[int] = []
    if start >= len(data):
        return keys, words
    whole = bytes(data[start:])
    position, end = 0, len(whole)  # both multiples of 8
    while position < end:
        (length,) = _LENGTH.unpack_from(whole, position)
        value = position + 4 + length + 8 - (length + 4) % 8
        if length <= 0 or value + 16 > end:
            raise UnusableError(f"garbled: no entry at byte {start + position}")
        keys.append(whole[position + 4 : position + 4 + length])
        words.append((start + value) // 8)
        position = value + 16
    return keys, words


def _same(one: Reals, other: Reals) -> bool:
    # As bits: NaN is the same as itself.
    return np.array_equal(one.view(np.uint64), other.view(np.uint64))
