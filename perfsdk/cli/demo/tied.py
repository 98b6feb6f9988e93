"""Replaces itself by the program given as arguments, which ends when its parent does.

Only the kernel can promise that: a parent that is killed cannot tell its children any more.
Run as a file with the parent's process id and the command line of the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie and execute; where the kernel has no such thing, only execute."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the parent has ended already")
    os.execv(command[0], command)  # noqa: S606 - the same process goes on, without a shell


if __name__ == "__main__":
    main()
