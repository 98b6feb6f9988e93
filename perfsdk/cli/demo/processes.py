"""The demo's child processes: their output is kept, their death is noticed, all of them end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from perfsdk.cli.demo import tied
from perfsdk.cli.demo.errors import DemoError
from perfsdk.cli.demo.stopping import StopRequest

HOST = "127.0.0.1"
LOG_TAIL_LINES = 20
STOP_SECONDS = 8.0
START_SECONDS = 60.0


class Child:
    """A running program and the file that takes its output. It leads a process group."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    def check(self) -> None:
        """Raises: DemoError: the program has ended; with the end of its output."""
        code = self.process.poll()
        if code is not None:
            raise DemoError(f"the {self.name} ended with {_cause(code)}", self.log_tail())

    def log_tail(self) -> str:
        """The last lines of its output."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


@contextmanager
def started(
    name: str, command: Sequence[str], *, directory: Path, environment: Mapping[str, str]
) -> Iterator[Child]:
    """Run a program, its output in `directory`, until the block ends; then nothing is left of it.

    It is told by SIGTERM to end; after 8 s, SIGKILL ends it. Its own children are in its group.
    """
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, tied.__file__, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,  # what the user's directory holds cannot shadow a library
            start_new_session=True,  # a Ctrl-C reaches us alone; we end the children in order
        )
    try:
        yield Child(name, process, log)
    finally:
        _stop(process)


def wait_until_ready(
    child: Child, is_ready: Callable[[], bool], stop: StopRequest, timeout: float = START_SECONDS
) -> None:
    """Wait until a child answers.

    Raises:
        DemoError: it ended, or did not answer within `timeout` seconds.
        Interrupted: a signal came.
    """
    deadline = time.monotonic() + timeout
    while not is_ready():
        child.check()
        if time.monotonic() > deadline:
            raise DemoError(f"the {child.name} gave no answer in {timeout:g} s", child.log_tail())
        stop.wait(0.05)
    child.check()  # somebody else's server may be what answered


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens on.

    Raises:
        DemoError: a hundred ports are taken.
    """
    for port in range(first, min(first + 100, 65536)):
        if _is_free(port):
            return port
    raise DemoError(f"the ports of {HOST} from {first} on are taken")


def require_port(port: int) -> None:
    """Refuse the port that the user chose before anything is started on it.

    Raises:
        DemoError: it cannot be had.
    """
    if not _is_free(port):
        raise DemoError(f"port {port} of {HOST} cannot be had; give another one with --port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that fade away do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what is left, or workers without their master
    process.wait()


def _cause(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
