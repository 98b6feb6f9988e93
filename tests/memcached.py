"""A real memcached for tests, on a free port of the loopback, gone after."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import HOST, free_port, require, start_process


class Memcached(NamedTuple):
    """An empty server, and the process."""

    port: int
    process: subprocess.Popen
    host: str = HOST

    def stats(self) -> dict[str, str]:
        """What it counted of itself."""
        lines = _ask(self.port, b"stats\r\n", b"END\r\n").decode().splitlines()
        return dict(line.split(" ", 2)[1:] for line in lines if line.startswith("STAT "))

    def flush(self) -> None:
        """Forget all entries."""
        _ask(self.port, b"flush_all\r\n", b"OK\r\n")


@contextmanager
def start_memcached(directory: Path) -> Iterator[Memcached]:
    """A server of 16 MiB that keeps its log in `directory`."""
    program = require("memcached")
    port = free_port()
    args = [program, f"--listen={HOST}", f"--port={port}", "--udp-port=0", "--memory-limit=16"]
    if os.getuid() == 0:
        args.append("--user=nobody")
    log = directory / "memcached.log"

    def answers() -> bool:
        return _ask(port, b"version\r\n", b"\r\n").startswith(b"VERSION")

    with start_process(args, ready=answers, log=log) as process:
        yield Memcached(port, process)


def _ask(port: int, command: bytes, end: bytes) -> bytes:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(command)
        answer = b""
        while not answer.endswith(end) and (part := connection.recv(65536)):
            answer += part
    return answer
