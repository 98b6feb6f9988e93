"""A real PostgreSQL for tests: in a temporary directory, trusting whoever connects, gone after."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import HOST, free_port, give_to, require, start_process, unprivileged

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian puts them, by version; not on the PATH."""
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
    "pg_stat_statements.max": "10000",
}


class PostgreSQL(NamedTuple):
    """A server with an empty database `shop`, and the process."""

    port: int
    process: subprocess.Popen
    host: str = HOST
    user: str = "postgres"
    database: str = "shop"

    @property
    def dsn(self) -> str:
        """Its address as drivers take it; there is no password."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}"


@contextmanager
def start_postgresql(directory: Path) -> Iterator[PostgreSQL]:
    """A server that keeps what it has in `directory`, with pg_stat_statements in `shop`."""
    initdb, postgres, psql = (_program(name) for name in ("initdb", "postgres", "psql"))
    port = free_port()
    data = directory / "postgresql"
    data.mkdir()
    give_to(data)
    make = [initdb, "--pgdata", data, "--username=postgres", "--auth=trust", "--no-sync"]
    made = subprocess.run(
        [*make, "--encoding=UTF8", "--locale=C"],
        check=False,
        capture_output=True,
        text=True,
        **unprivileged(),
    )
    assert 0 == made.returncode, made.stderr
    args = [postgres, "-D", data, "-p", str(port), "-h", HOST, "-k", data]
    for name, value in SETTINGS.items():
        args += ["-c", f"{name}={value}"]
    ask = [psql, "-h", HOST, "-p", str(port), "-U", "postgres", "-qAt", "-c"]
    answers = lambda: 0 == _run([*ask, "SELECT 1", "postgres"]).returncode  # noqa: E731 - a name for the line below
    log = directory / "postgresql.log"
    with start_process(args, ready=answers, log=log, **unprivileged()) as process:
        for statement, database in (
            ("CREATE DATABASE shop", "postgres"),
            ("CREATE EXTENSION pg_stat_statements", "shop"),
        ):
            done = _run([*ask, statement, database])
            assert 0 == done.returncode, done.stderr
        yield PostgreSQL(port, process)


def _program(name: str) -> str:
    found = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=_version)
    return os.fspath(found[-1]) if found else shutil.which(name) or require(name)


def _version(path: Path) -> int:
    version = path.parent.parent.name
    return int(version) if version.isdigit() else 0


def _run(args: list) -> subprocess.CompletedProcess:
    return subprocess.run(args, check=False, capture_output=True, text=True, timeout=30)
