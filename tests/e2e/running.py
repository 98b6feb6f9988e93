"""Starts what the end-to-end tests run: applications under their servers, and the exporter."""

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from perfsdk.store.reader import SegmentReader, find_segments
from tests.servers import HOST, Server, free_port, http_get, start_process, wait_until

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 10.0
SHOP = "tests.e2e.shop:signed"
READY = "the shop is open"
"""What each process of the applications here prints; importing one would start its measuring."""


@contextmanager
def start_exporter(directory: Path, tmp_path: Path) -> Iterator[Server]:
    """The real exporter of a directory, at its `url`."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    args = [sys.executable, "-m", "perfsdk_exporter"]
    args += ["--dir", str(directory), "--web.listen-address", f"{HOST}:{port}"]
    log = tmp_path / f"exporter-{port}.log"
    with start_process(args, ready=lambda: http_get(f"{url}/-/ready"), log=log) as process:
        yield Server(port, url, process)


@contextmanager
def start_uvicorn(
    tmp_path: Path,
    *options: str,
    app: str = SHOP,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """An application under uvicorn, when all workers serve."""
    args = ["uvicorn", app, "--host", HOST, "--port", "{port}", *options]
    args += ["--log-level", "critical", "--timeout-keep-alive", "60"]
    args += ["--workers", str(workers)] if workers > 1 else []
    with start_shop(tmp_path, *args, announcements=workers, env=env) as server:
        yield server


@contextmanager
def start_gunicorn(tmp_path: Path, *options: str, workers: int) -> Iterator[Server]:
    """The shop under gunicorn with uvicorn's workers, when all of them serve."""
    args = ["gunicorn", SHOP, "--bind", "{host}:{port}", "-k", "uvicorn_worker.UvicornWorker"]
    args += ["--workers", str(workers), "--log-level", "critical", *options]
    with start_shop(tmp_path, *args, announcements=workers) as server:
        yield server


@contextmanager
def start_shop(
    tmp_path: Path,
    program: str,
    *args: str,
    announcements: int = 1,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """An application under a server that is installed beside this Python.

    `{host}` and `{port}` in the arguments become its address. It is entered when that accepts
    connections, and the application was announced so often: by each worker that loads it, or
    begins its lifespan, itself.
    """
    port = free_port()
    log = log_of(tmp_path, port)
    path = os.path.join(os.path.dirname(sys.executable), program)
    command = [path, *(arg.format(host=HOST, port=port) for arg in args)]
    environment = {"PYTHONPATH": os.fspath(ROOT), **(env or {})}
    ready = functools.partial(is_open, log, port, announcements)
    with start_process(command, ready=ready, log=log, env=environment) as process:
        yield Server(port, f"http://{HOST}:{port}", process)


def log_of(tmp_path: Path, port: int) -> Path:
    """What the application at a port prints."""
    return tmp_path / f"shop-{port}.log"


def is_open(log: Path, port: int, announcements: int) -> bool:
    """Whether the application was announced so often, and its server accepts connections."""
    # A single uvicorn says so before it listens.
    return log.read_text().count(READY) >= announcements and _accepts(port)


def end(shop: Server) -> None:
    """Tell a server to end, as an orchestrator does, and wait until its processes are gone.

    Raises:
        subprocess.TimeoutExpired, TimeoutError: it, or one that it started, did not end.
    """
    started = descendants(shop.process.pid)
    shop.process.terminate()
    shop.process.wait(STOP_SECONDS)
    wait_until(lambda: not any(map(_lives, started)), STOP_SECONDS, "all processes are gone")


def descendants(pid: int) -> set[int]:
    """The PIDs of a process's children, of their children, and so on."""
    found = _children(pid)
    return found.union(*map(descendants, found))


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waits for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _accepts(port: int) -> bool:
    """Whether there is a listener; a connection without a request is not counted by anybody."""
    socket.create_connection((HOST, port), timeout=5).close()
    return True


def children(process: subprocess.Popen) -> set[int]:
    """The PIDs of a process's children."""
    return _children(process.pid)


def _children(pid: int) -> set[int]:
    pids: set[int] = set()
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            pids.update(map(int, listing.read_text().split()))
    return pids


def segment_pids(directory: Path) -> list[int]:
    """The PIDs that the segments of a directory name, one for each segment, sorted."""
    pids = []
    for path in find_segments(directory):
        with suppress(FileNotFoundError):  # reaped meanwhile
            reader = SegmentReader(path)
            pids.append(reader.header.pid)
            reader.close()
    return sorted(pids)
