"""A real MariaDB for tests: in a temporary directory, one user without a password, gone after."""

import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import HOST, free_port, give_to, require, start_process, unprivileged

SETUP = (
    "CREATE DATABASE shop; CREATE USER shop@localhost; CREATE USER shop@'127.0.0.1'; "
    "GRANT ALL ON *.* TO shop@localhost; GRANT ALL ON *.* TO shop@'127.0.0.1'"
)


class MariaDB(NamedTuple):
    """A server with an empty database `shop`, and the process."""

    port: int
    process: subprocess.Popen
    socket: str
    host: str = HOST
    user: str = "shop"
    password: str = ""
    database: str = "shop"


@contextmanager
def start_mariadb(directory: Path) -> Iterator[MariaDB]:
    """A server that keeps what it has in `directory`, with performance_schema on."""
    install, server, client = map(require, ("mariadb-install-db", "mariadbd", "mariadb"))
    port = free_port()
    data = directory / "mariadb"
    data.mkdir()
    give_to(data)
    owner = "nobody" if os.getuid() == 0 else getpass.getuser()
    made = subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", f"--auth-root-socket-user={owner}"],
        check=False,
        capture_output=True,
        text=True,
        **unprivileged(),
    )
    assert 0 == made.returncode, made.stdout + made.stderr
    socket = data / "s"
    args = [server, "--no-defaults", f"--datadir={data}", f"--port={port}", f"--socket={socket}"]
    args += [f"--bind-address={HOST}", "--performance-schema=ON", "--skip-log-bin"]
    args += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"]
    args += ["--innodb-log-file-size=8M", f"--pid-file={data / 'pid'}", "--max-connections=60"]

    def run(statements: str) -> subprocess.CompletedProcess:
        ask = [client, "--no-defaults", f"--socket={socket}", f"--user={owner}", "-e", statements]
        return subprocess.run(
            ask, check=False, capture_output=True, text=True, timeout=30, **unprivileged()
        )

    def answers() -> bool:
        return 0 == run("SELECT 1").returncode

    log = directory / "mariadb.log"
    with start_process(args, ready=answers, log=log, **unprivileged()) as process:
        done = run(SETUP)
        assert 0 == done.returncode, done.stderr
        yield MariaDB(port, process, str(socket))
