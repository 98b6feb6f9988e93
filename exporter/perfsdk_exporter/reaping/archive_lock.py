"""One exporter at a time changes an archive; what killed ones left behind is removed."""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from perfsdk.store.directory import is_trusted
from perfsdk_exporter.reaping.archive import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, share
from perfsdk_exporter.reaping.archive_reader import ARCHIVE

LOCK = "archive.lock"
DAMAGED_PREFIX = "archive.damaged-"
KEPT_DAMAGED = 3

LEFTOVER_SECONDS = 300.0
"""A segment that has no name of its own for so long will not get one."""

_SEGMENT_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def archive_lock(directory: Path) -> Iterator[bool]:
    """Hold the lock of the directory's archive; False while another exporter does.

    Raises:
        OSError: the directory cannot be written, or its file system cannot lock.
    """
    path = directory / LOCK
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            share(fd, directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            # Nobody removes it; if somebody did, the lock of a file without a name is no lock.
            yield os.path.samestat(os.fstat(fd), os.lstat(path))
        finally:
            # Not left to `close`: a child forked meanwhile would keep it.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def has_work(directory: Path) -> bool:
    """Whether there is an archive to look after, or what may be a leftover."""
    return any(name == ARCHIVE or _may_be_leftover(name) for name in os.listdir(directory))


def remove_leftovers(directory: Path, now: float) -> None:
    """Remove temporary files of killed processes; for the holder of the lock.

    `now` in seconds since the epoch.
    """
    for name in filter(_may_be_leftover, os.listdir(directory)):
        path = directory / name
        # Nobody but the holder of the lock makes temporary archives.
        if name.startswith(TEMPORARY_PREFIX) or _is_abandoned(path, now):
            with suppress(OSError):
                os.unlink(path)


def put_aside(directory: Path, now: float) -> Path:
    """Rename a damaged archive and keep the newest ones of those; for the holder of the lock.

    Raises:
        OSError: it cannot be renamed.
    """
    kept = sorted(
        int(name.removeprefix(DAMAGED_PREFIX))
        for name in os.listdir(directory)
        if re.fullmatch(f"{DAMAGED_PREFIX}[0-9]+", name)
    )
    # After all others, also when the clock is not: the first are removed.
    number = max([int(now), *(other + 1 for other in kept)])
    aside = directory / f"{DAMAGED_PREFIX}{number}"
    os.rename(directory / ARCHIVE, aside)
    for old in [*kept, number][:-KEPT_DAMAGED]:
        with suppress(OSError):
            os.unlink(directory / f"{DAMAGED_PREFIX}{old}")
    return aside


def _may_be_leftover(name: str) -> bool:
    if name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX):
        return True
    return _SEGMENT_TEMPORARY.fullmatch(name) is not None


def _is_abandoned(path: Path, now: float) -> bool:
    """Whether a writer ended between making its file and giving it its name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or now - status.st_mtime < LEFTOVER_SECONDS:
            return False
        # Only now: its writer would find its own file locked.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return is_trusted(status, directory=os.stat(path.parent))
    except OSError:
        return False
    finally:
        os.close(fd)
