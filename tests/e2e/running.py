"""Starts what the end-to-end tests run: applications under their servers, and the exporter."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from perfsdk.store.reader import SegmentReader, find_segments
from tests.servers import HOST, Server, free_port, http_get, start_process

ROOT = Path(__file__).parents[2]
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
    args = [sys.executable, "-m", "uvicorn", app, "--host", HOST, *options]
    args += ["--log-level", "critical", "--timeout-keep-alive", "60"]
    args += ["--workers", str(workers)] if workers > 1 else []
    with _start_shop(args, tmp_path, workers, env) as server:
        yield server


@contextmanager
def start_gunicorn(tmp_path: Path, *options: str, workers: int) -> Iterator[Server]:
    """The shop under gunicorn with uvicorn's workers, when all of them serve."""
    args = [sys.executable, "-m", "gunicorn", SHOP, "-k", "uvicorn_worker.UvicornWorker"]
    args += ["--workers", str(workers), "--log-level", "critical", *options]
    with _start_shop(args, tmp_path, workers, None) as server:
        yield server


@contextmanager
def _start_shop(
    args: Sequence[str], tmp_path: Path, workers: int, env: Mapping[str, str] | None
) -> Iterator[Server]:
    port = free_port()
    log = tmp_path / f"shop-{port}.log"
    where = ["--bind", f"{HOST}:{port}"] if "gunicorn" in args else ["--port", str(port)]
    environment = {"PYTHONPATH": os.fspath(ROOT), **(env or {})}

    def ready() -> bool:
        # A single uvicorn says so before it listens.
        return log.read_text().count(READY) >= workers and _accepts(port)

    with start_process([*args, *where], ready=ready, log=log, env=environment) as process:
        yield Server(port, f"http://{HOST}:{port}", process)


def _accepts(port: int) -> bool:
    """Whether there is a listener; a connection without a request is not counted by anybody."""
    socket.create_connection((HOST, port), timeout=5).close()
    return True


def children(process: subprocess.Popen) -> set[int]:
    """The PIDs of a process's children."""
    listings = Path(f"/proc/{process.pid}/task").glob("*/children")
    return {int(pid) for listing in listings for pid in listing.read_text().split()}


def segment_pids(directory: Path) -> list[int]:
    """The PIDs that the segments of a directory name, one for each segment, sorted."""
    pids = []
    for path in find_segments(directory):
        with suppress(FileNotFoundError):  # reaped meanwhile
            reader = SegmentReader(path)
            pids.append(reader.header.pid)
            reader.close()
    return sorted(pids)
