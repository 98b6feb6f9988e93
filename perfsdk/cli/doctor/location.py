"""Looks at the directory of the segments: whose it is, whether files fit in and can be locked."""

import fcntl
import grp
import os
import pwd
import re
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from perfsdk.cli.doctor.in_force import InForce
from perfsdk.cli.doctor.report import Section, counted, size, table
from perfsdk.cli.doctor.segments import Reading, read_segments
from perfsdk.settings import Settings
from perfsdk.store.directory import (
    DirectoryError,
    check_directory,
    default_root,
    segment_directory,
    services,
)

_MOUNTS = Path("/proc/self/mounts")


class Location(NamedTuple):
    """The directory to look at and why it is this one, or the problem of finding it."""

    directory: Path | None
    origin: str = ""
    problem: str = ""


def locate(found: InForce) -> Location:
    """The directory that was set; else the only service's there is, as the exporter does."""
    origin = found.origins["directory"]
    if not found.is_given("directory") and not found.is_given("service"):
        names = services()
        if len(names) > 1:
            several = f"several services in {default_root()}: {', '.join(names)}"
            return Location(None, origin, f"{several}; say which one with --service")
        if names:
            return Location(default_root() / names[0], "of the only service there is")
    settings = found.settings
    return Location(segment_directory(settings.directory, settings.service), origin)


def examine(directory: Path, settings: Settings) -> Section:
    """Owner, mode, file system and room of the directory, and what is wrong with them."""
    rows: list[tuple[str, str]] = [("path", os.fspath(directory))]
    problems: list[str] = []
    try:
        check_directory(directory)
        status = directory.stat() if directory.exists() else None
    except (DirectoryError, OSError) as error:
        return Section("Segment directory", table(rows), [str(error)])
    if status is None:
        rows.append(("exists", "no"))
        problems.append(_missing(directory))
    else:
        mode = stat.S_IMODE(status.st_mode)
        rows.append(("owner", f"{_user(status.st_uid)}, group {_group(status.st_gid)}"))
        rows.append(("mode", f"{mode:04o}"))
        problems.append(_wrong_mode(directory, mode, settings.directory_mode))
        problems.append(_unusable(directory))
    there = _nearest(directory)
    if filesystem := _filesystem(there):
        rows.append(("file system", filesystem))
    shown, lacking = _room(there, settings.segment_size_bytes)
    rows.append(("room", shown))
    return Section("Segment directory", table(rows), [*filter(None, problems), *lacking])


def read(directory: Path) -> Reading | None:
    """What the segments there hold; None when the directory is not to be trusted."""
    try:
        check_directory(directory)
    except DirectoryError:
        return None
    return read_segments(directory)


def _missing(directory: Path) -> str:
    text = (
        f"{directory} does not exist, so no process has recorded anything there; start the "
        "application and send it a request, with the same user, PERFSDK_DIR and service as here"
    )
    others = _others(directory)
    return f"{text} ({others})" if others else text


def _others(directory: Path) -> str:
    """Where else there are segments, when the directory is a default one."""
    root = default_root()
    if root not in directory.parents:
        return ""
    if names := services():
        return f"services there: {', '.join(names)}"
    prefix = root.name.rpartition("-")[0] + "-"
    users = sorted(path.name for path in root.parent.glob(f"{prefix}*") if path != root)
    users = [_user(int(uid)) for name in users if (uid := name.removeprefix(prefix)).isdecimal()]
    return f"there are segments of user {', '.join(users)}" if users else ""


def _wrong_mode(directory: Path, mode: int, wanted: int) -> str:
    if mode & stat.S_IWOTH:
        return f"{directory} can be written by everybody; chmod {wanted:o} {directory}"
    if lacking := wanted & ~mode:
        who = "its group" if lacking & 0o070 == lacking else "its owner"
        right = wanted | stat.S_ISGID if wanted & 0o070 else wanted
        return f"{directory} lacks rights for {who}; chmod {right:o} {directory}"
    return ""


def _unusable(directory: Path) -> str:
    """Why a worker could not make and lock a file, told by a file without a name."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0")
            file.flush()
            return _unlockable(directory, file.fileno())
    except OSError as error:
        return (
            f"{directory}: user {_user(os.getuid())} cannot make a file there "
            f"({error.strerror}); make it writable, make room, or give another directory"
        )


def _unlockable(directory: Path, fd: int) -> str:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return (
            f"{directory}: files cannot be locked there ({error.strerror}); give a directory in "
            "shared memory or on a local disk with PERFSDK_DIR"
        )
    return ""


def _room(there: Path, segment_bytes: int) -> tuple[str, list[str]]:
    """What is left for new workers; a problem when one more may find it full."""
    usage = os.statvfs(there)
    free = usage.f_bavail * usage.f_frsize
    more = free // segment_bytes
    total = usage.f_blocks * usage.f_frsize
    enough = f"{counted(more, 'more worker')} of {size(segment_bytes)} fit"
    shown = f"{size(free)} free of {size(total)}: {enough}"
    problems = []
    if more < 1:
        problems.append(
            f"{there}: {size(free)} are left, a worker may take {size(segment_bytes)}; make room, "
            "enlarge the file system (a container's /dev/shm: shm_size, emptyDir sizeLimit) or "
            "lower PERFSDK_SEGMENT_SIZE_BYTES"
        )
    if usage.f_files and not usage.f_favail:
        problems.append(f"{there}: no inodes are left; remove files there")
    return shown, problems


def _nearest(path: Path) -> Path:
    """The path itself or the first directory above it that exists."""
    return next(part for part in (path, *path.parents) if part.exists())


def _filesystem(path: Path) -> str:
    """The type of the file system that holds the path; empty where the system does not tell."""
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    resolved, found, depth = path.resolve(), "", -1
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), point))
        # Of several at one point the last one is on top.
        if (mounted == resolved or mounted in resolved.parents) and len(mounted.parts) >= depth:
            found, depth = kind, len(mounted.parts)
    return found


def _user(uid: int) -> str:
    try:
        return f"{uid} ({pwd.getpwuid(uid).pw_name})"
    except (KeyError, OverflowError):
        return str(uid)


def _group(gid: int) -> str:
    try:
        return f"{gid} ({grp.getgrgid(gid).gr_name})"
    except KeyError:
        return str(gid)
