"""The small number of a worker: the smallest free one, and its own for as long as it lives."""

import errno
import fcntl
import os
import stat
from pathlib import Path

from perfsdk.store.fork import ForkLock

MOST_WORKERS = 1000
"""Processes with a number at the same time; further ones have none."""

_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENXIO})
"""Errors of one file: another worker has it, or it is nothing that could be ours."""


class WorkerNumber:
    """A number that no other living process of the directory has.

    To have number N is to hold the lock on the empty file `worker-N.lock`. The kernel frees it
    when the process ends, in whatever way, and the next worker takes it; so there are never
    more files than there were workers at one time. No file is ever removed by us, and none is a
    segment. Any thread may ask; a forked child has no number before it asks itself.
    """

    def __init__(self, directory: Path, *, file_mode: int) -> None:
        self._directory = directory
        self._file_mode = file_mode
        self._number: int | None = None
        self._fd = -1
        self._closed = False
        # As for a segment: a child that kept the descriptor would keep the number of its parent.
        self._lock = ForkLock(self._release)

    def take(self) -> int | None:
        """The number of this process; None while none can be had.

        It is another one when the directory was removed meanwhile. Waits for no other process.
        """
        with self._lock.held:
            if self._closed:
                return None
            if self._number is None or not self._is_there(self._number):
                self._release()
                self._number = self._take_smallest()
            return self._number

    def close(self) -> None:
        """Give the number back for good."""
        with self._lock.held:
            self._closed = True
            self._release()

    def _take_smallest(self) -> int | None:
        for number in range(MOST_WORKERS):
            try:
                self._lock_file(number)
            except OSError as error:  # noqa: PERF203 - most tries succeed at once
                self._release()
                if error.errno not in _TAKEN or not os.path.lexists(self._path(number)):
                    return None  # no directory, no descriptor, no locks
            else:
                if self._is_there(number):
                    return number
                self._release()  # no file of ours, or its directory was removed just now
        return None

    def _lock_file(self, number: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._fd = os.open(self._path(number), flags, self._file_mode)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(self._fd)
        if status.st_uid == os.getuid() and stat.S_ISREG(status.st_mode):
            os.fchmod(self._fd, self._file_mode)  # whatever the umask

    def _is_there(self, number: int) -> bool:
        """Whether the locked file is the one that others find: else two have one number."""
        try:
            ours = os.fstat(self._fd)
            found = os.stat(self._path(number), follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, found)

    def _path(self, number: int) -> Path:
        return self._directory / f"worker-{number}.lock"

    def _release(self) -> None:
        """Close, never unlock: in a forked child that would free the number of its parent."""
        fd, self._fd, self._number = self._fd, -1, None
        if fd >= 0:
            os.close(fd)
