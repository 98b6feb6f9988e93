"""Space of a file that is there when it is used: a store into it cannot hit a full disk."""

import errno
import os
from collections.abc import Callable

_CANNOT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)


def allocate_blocks(fd: int, offset: int, size: int) -> bool:
    """Reserve blocks for the range; False where the system or the file system cannot.

    Raises:
        OSError: there is no space.
    """
    fallocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
    if fallocate is None:
        return False
    try:
        fallocate(fd, offset, size)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write the bytes, which reserves their blocks too.

    Raises:
        OSError: there is no space.
    """
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
