"""Starts the real servers that tests talk to, waits until they answer, and always ends them."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn, TypeVar

import pytest

HOST = "127.0.0.1"
MISSING_PROGRAM = "this program is not installed: "
"""How the reason of such a skip begins; the program's name follows."""

# Read at import: the environment of each test is cleaned of our variables.
_SERVERS_REQUIRED = os.environ.get("PERFSDK_REQUIRE_SERVERS", "") not in {"", "0"}
_POLL_SECONDS = 0.02
_LOG_TAIL_CHARACTERS = 4000
_ports_given: set[int] = set()

Result = TypeVar("Result")


class Server(NamedTuple):
    """A server that answers: where, and the process, to look at or to kill."""

    port: int
    url: str
    process: subprocess.Popen


class Sample(NamedTuple):
    """One element of the answer to a PromQL query."""

    labels: dict[str, str]
    value: float


def require(program: str) -> str:
    """The path of a program; without it the test is skipped, or fails where servers are required.

    `PERFSDK_REQUIRE_SERVERS=1` requires them. What was skipped is counted at the end of the run.
    """
    path = shutil.which(program)
    return _missing(program) if path is None else path


def require_library(name: str, package: str) -> ModuleType:
    """The library of a package that is built from its sources; without it as `require` says."""
    try:
        return import_module(name)
    except ImportError:
        return _missing(package)


def _missing(program: str) -> NoReturn:
    if _SERVERS_REQUIRED:
        pytest.fail(f"{program} is not installed, PERFSDK_REQUIRE_SERVERS is set", pytrace=False)
    pytest.skip(f"{MISSING_PROGRAM}{program}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, another one at each call.

    It lies below the range from which the kernel takes the local ports of connections, so that
    no connection made between this call and the server's start gets it. Processes that share the
    tests among them have ports of their own.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(1000):
        port = random.randrange(15_000 + number, 32_000, processes)
        if port in _ports_given:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            _ports_given.add(port)
            return port
    raise RuntimeError(f"no free port on {HOST}")


def wait_until(
    predicate: Callable[[], Result], timeout_seconds: float = 30.0, message: str = ""
) -> Result:
    """The first true value that `predicate` returns; an OSError it raises means not yet.

    Raises:
        TimeoutError: it was not true in time; the text is `message` and what it was last.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            last: Any = predicate()
        except OSError as error:
            last = error
        else:
            if last:
                return last
        if time.monotonic() > deadline:
            what = message or "a condition"
            raise TimeoutError(f"{what}: not within {timeout_seconds:g} s, last seen {last!r}")
        time.sleep(_POLL_SECONDS)


@contextmanager
def start_process(
    args: Sequence[str | os.PathLike],
    *,
    ready: Callable[[], object],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 30.0,
    stop_seconds: float = 10.0,
    user: str | None = None,
) -> Iterator[subprocess.Popen]:
    """Run a program until the block ends, entering it when `ready()` is true.

    Both outputs go to `log`, whose end is shown when the start fails. `env` is added to the
    environment. The program leads a process group: SIGTERM goes to the program alone and, after
    `stop_seconds`, SIGKILL to whatever is left of the group.

    Raises:
        AssertionError: the program ended before it was ready, or was not ready in time.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [os.fspath(arg) for arg in args],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            user=user,
            start_new_session=True,
        )
    try:
        _wait_for_start(process, ready, log, timeout_seconds)
        yield process
    finally:
        stop_process(process, stop_seconds)


def unprivileged() -> dict[str, str]:
    """As whom to run what refuses to run as root: keyword arguments, none for other users."""
    return {"user": "nobody"} if os.getuid() == 0 else {}


def give_to(directory: Path) -> None:
    """Let `unprivileged` programs own a directory, and pass those above it."""
    if not unprivileged():
        return
    shutil.chown(directory, "nobody")
    for above in directory.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)


def _wait_for_start(
    process: subprocess.Popen, ready: Callable[[], object], log: Path, timeout_seconds: float
) -> None:
    try:
        # Dead before ready: somebody else's server on the port must not pass for this one.
        wait_until(lambda: process.poll() is not None or ready(), timeout_seconds, "ready")
    except TimeoutError as error:
        problem = str(error)
    else:
        if process.poll() is None:
            return
        problem = f"exit code {process.returncode}"
    tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    raise AssertionError(f"{process.args[0]} did not start: {problem}\n{tail}")


def stop_process(process: subprocess.Popen, stop_seconds: float = 10.0) -> None:
    """End a process of `start_process` and what is left of its group; ended already is fine."""
    if process.poll() is None:
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(stop_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def http_get(url: str, headers: Mapping[str, str] | None = None) -> str:
    """The body of a 2xx answer.

    Raises:
        OSError: no connection, or another status (urllib's HTTPError).
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


@contextmanager
def start_prometheus(
    tmp_path: Path,
    targets: Sequence[str],
    scrape_interval: str = "1s",
    *,
    rule_files: Sequence[Path] = (),
    scrape_options: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
) -> Iterator[Server]:
    """A Prometheus that scrapes `host:port` targets as the job `test` and evaluates the rules.

    `scrape_options` are further fields of the scrape configuration.
    """
    program = require("prometheus")
    port = free_port()
    url = f"http://{HOST}:{port}"
    scrape = {"job_name": "test", "static_configs": [{"targets": list(targets)}]}
    configuration = {
        "global": {"scrape_interval": scrape_interval, "evaluation_interval": scrape_interval},
        "rule_files": [str(path) for path in rule_files],
        "scrape_configs": [{**scrape, **(scrape_options or {})}],
    }
    config_file = tmp_path / "prometheus.yml"
    config_file.write_text(json.dumps(configuration))  # JSON is YAML
    args = [
        program,
        f"--config.file={config_file}",
        f"--storage.tsdb.path={tmp_path / 'prometheus-data'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
        *flags,
    ]
    ready = lambda: http_get(f"{url}/-/ready")  # noqa: E731 - a name for the line below
    with start_process(args, ready=ready, log=tmp_path / "prometheus.log") as process:
        yield Server(port, url, process)


def query(base_url: str, expr: str) -> list[Sample]:
    """What PromQL `expr` gives now: the samples of an instant vector, or the one of a scalar.

    Raises:
        AssertionError: Prometheus refused the query; the text is its own.
    """
    address = f"{base_url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
    try:
        data = json.loads(http_get(address))["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expr}: {error.read().decode(errors='replace')}") from error
    if data["resultType"] == "scalar":
        return [Sample({}, float(data["result"][1]))]
    return [Sample(item["metric"], float(item["value"][1])) for item in data["result"]]


@contextmanager
def start_redis(tmp_path: Path) -> Iterator[Server]:
    """A Redis that keeps nothing on disk."""
    program = require("redis-server")
    port = free_port()
    args = [program, "--bind", HOST, "--port", str(port), "--dir", tmp_path]
    args += ["--save", "", "--appendonly", "no"]
    with start_process(
        args, ready=lambda: _redis_answers(port), log=tmp_path / "redis.log"
    ) as process:
        yield Server(port, f"redis://{HOST}:{port}/0", process)


def _redis_answers(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
