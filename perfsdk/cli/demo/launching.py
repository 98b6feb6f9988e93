"""Starts the shop and the exporter on free ports of this machine, with data to sell."""

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy.exc import DBAPIError

from perfsdk.cli.demo import processes
from perfsdk.cli.demo.errors import DemoError
from perfsdk.cli.demo.processes import HOST, Child
from perfsdk.cli.demo.stopping import StopRequest
from perfsdk.cli.demo.tables import fill_database

SHOP = "perfsdk.cli.demo.shop:app"
SHOP_WITH_INCIDENT = "perfsdk.cli.demo.incidents:app"
SHOP_FILE = Path(__file__).with_name("shop.py")
SHOP_PORT = 8000
EXPORTER_PORT = 8979

# What the user has set for other applications must not change this one.
FOREIGN_VARIABLES = ("PERFSDK_", "OTEL_", "PROMETHEUS_", "UVICORN_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The shop and the exporter, started."""

    shop: Child
    exporter: Child
    shop_url: str
    exporter_url: str
    stop: StopRequest

    def check(self) -> None:
        """Raises: Interrupted, DemoError: a signal came, or one of the two has ended."""
        self.stop.check()
        self.shop.check()
        self.exporter.check()


def start(
    directory: Path,
    children: ExitStack,
    stop: StopRequest,
    workers: int,
    port: int | None,
    incident: str | None = None,
) -> Running:
    """Start both; their files are in `directory`, and they end with `children`.

    With an incident the shop is the mended one, broken in that way.

    Raises:
        DemoError: no port is free, the disk is full, or the exporter does not answer.
        Interrupted: a signal came.
    """
    database, segments = directory / "shop.sqlite", directory / "segments"
    try:
        fill_database(database)
    except DBAPIError as error:
        raise DemoError(f"{database} cannot be filled: {error.orig}") from error
    stop.check()
    environment = {
        **{name: value for name, value in os.environ.items() if not _is_foreign(name)},
        "PERFSDK_DIR": str(segments),
        "SHOP_DATABASE": str(database),
        **({"SHOP_INCIDENT": incident} if incident else {}),
    }

    def start_child(name: str, *command: str) -> Child:
        child = processes.started(
            name,
            [sys.executable, "-m", *command],
            directory=directory,
            environment=environment,
        )
        return children.enter_context(child)

    shop_port = port or processes.free_port(SHOP_PORT)
    bind = ("--host", HOST, "--port", str(shop_port), "--workers", str(workers))
    quiet = ("--no-access-log", "--timeout-graceful-shutdown", "2")
    served = SHOP_WITH_INCIDENT if incident else SHOP
    shop = start_child("shop", "uvicorn", served, *bind, *quiet)
    address = f"{HOST}:{processes.free_port(EXPORTER_PORT)}"
    where = ("--dir", str(segments), "--web.listen-address", address)
    exporter = start_child("exporter", "perfsdk_exporter", *where)
    processes.wait_until_ready(exporter, lambda: _is_ready(f"http://{address}/-/ready"), stop)
    return Running(
        shop=shop,
        exporter=exporter,
        shop_url=f"http://{HOST}:{shop_port}",
        exporter_url=f"http://{address}",
        stop=stop,
    )


def _is_foreign(variable: str) -> bool:
    return variable.startswith(FOREIGN_VARIABLES)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False
