"""Where segments live: the one place that SDK and exporter ask."""

import os
import stat
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - memory-backed, below it a directory of the user


class DirectoryError(Exception):
    """The directory cannot be used; the message says why and what to do, in one line."""


def service_directory_name(service: str) -> str:
    """The service as one safe component of a path: at most 100 bytes, never `.` or `..`."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in service)
    return safe.encode()[:100].decode(errors="ignore").lstrip(".") or "default"


def default_root() -> Path:
    """The directory of this user that holds one directory for each service."""
    usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    return (SHARED_MEMORY if usable else _temporary()) / f"perfsdk-{os.getuid()}"


def _temporary() -> Path:
    """The directory for temporary files; where none can be written, as it is usually called."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # a read-only root file system
        return Path("/tmp")  # noqa: S108 - only its name: nothing is written there


def segment_directory(directory: str | None, service: str) -> Path:
    """Where the processes of `service` write: `directory` itself when one is given.

    Absolute: a server may change its working directory later.
    """
    if directory is not None:
        return Path(directory).absolute()
    return default_root() / service_directory_name(service)


def services() -> list[str]:
    """The names of the services that have written below the default root, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(default_root()) if entry.is_dir())
    except OSError:
        return []


def check_directory(path: Path) -> None:
    """Refuse at start what can never work: a file, a dangling link, another user's directory.

    Raises:
        DirectoryError: with one line that says what to do.
    """
    _check_default_root(path)
    for part in (path, *path.parents):
        try:
            status = part.lstat() if part == path else part.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DirectoryError(f"{part}: {error.strerror}; give another directory") from error
        if part == path:
            _check_owner(path, status)
        elif not stat.S_ISDIR(status.st_mode):
            raise DirectoryError(f"{part} is not a directory; remove it or give another one")
        return


def ensure_directory(path: Path, mode: int) -> None:
    """Make the directory if need be, with `mode` (0700 or 0770), and check who owns it.

    A directory for a group gets the setgid bit, so that segments belong to that group.

    Raises:
        DirectoryError: it cannot be made, or it is a link or somebody else's.
    """
    wanted = mode | stat.S_ISGID if mode & 0o070 else mode
    _check_default_root(path)
    try:
        for parent in reversed(path.parents):
            _make(parent, 0o755 if mode & 0o070 else 0o700)
        _make(path, wanted)
        status = path.lstat()
        _check_owner(path, status)
        lacking = wanted & ~stat.S_IMODE(status.st_mode)
        if lacking and mode & 0o070 and status.st_uid == os.getuid():
            path.chmod(stat.S_IMODE(status.st_mode) | wanted)  # from before it was to be shared
    except OSError as error:
        raise DirectoryError(
            f"{path}: {error.strerror}; make it writable or give another"
        ) from error


def _make(path: Path, mode: int) -> None:
    if os.path.lexists(path):
        return
    try:
        path.mkdir(mode=mode & 0o777)
    except FileExistsError:
        return  # another process was faster
    path.chmod(mode)  # mkdir is subject to the umask


def is_trusted(status: os.stat_result, *, directory: os.stat_result) -> bool:
    """Whether a file found in the directory may be read: ours, or of the directory's group."""
    if status.st_uid in (os.getuid(), directory.st_uid):
        return True
    return bool(directory.st_mode & stat.S_IWGRP) and status.st_gid == directory.st_gid


def _check_default_root(path: Path) -> None:
    # Everybody may write beside it: another user could have made it, to own what is below.
    root = default_root()
    if root not in path.parents or not os.path.lexists(root):
        return
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise DirectoryError(f"{root} is not a directory of user {os.getuid()}; remove it")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise DirectoryError(f"{path} is a symbolic link; give the directory itself")
    if not stat.S_ISDIR(status.st_mode):
        raise DirectoryError(f"{path} is not a directory; remove it or give another one")
    ours = status.st_uid == os.getuid()
    # A Kubernetes emptyDir with fsGroup belongs to root and to a group of ours.
    shared = bool(status.st_mode & stat.S_IWGRP) and status.st_gid in {os.getgid(), *os.getgroups()}
    if not ours and not shared:
        raise DirectoryError(
            f"{path} belongs to user {status.st_uid}; give a directory of user {os.getuid()}"
        )
