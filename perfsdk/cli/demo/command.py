"""The arguments of `perfsdk demo`; says in one line what is missing before anything starts."""

import argparse
import sys
from collections.abc import Callable
from importlib.util import find_spec

DESCRIPTION = """\
Start a small shop (FastAPI, SQLite, an in-process cache) and the exporter on 127.0.0.1, send a
bounded load, and print from the exporter's page alone: what is my P99, where does the time go,
what is my cache hit rate. Needs no root, no server and no network; leaves nothing behind."""

NEEDED = (
    *("aiohttp", "cachetools", "fastapi", "httpx", "perfsdk_exporter", "prometheus_client"),
    *("rich", "sqlalchemy", "uvicorn"),
)
# Named here too: the module that plants them needs what may be missing.
INCIDENTS = ("none", "slow-query", "n-plus-one", "cache-flush", "pool-exhaustion", "errors")
INSTALL = "pip install 'perfsdk[demo]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `perfsdk demo` takes."""
    add = parser.add_argument
    add("--once", action="store_true", help="exit after the report instead of staying up")
    add(
        "--duration",
        type=_number(1.0, 3600.0),
        default=20.0,
        metavar="SECONDS",
        help="how long the load lasts (default: 20)",
    )
    add(
        "--rate",
        type=_number(1.0, 500.0),
        default=60.0,
        metavar="REQUESTS",
        help="requests a second (default: 60)",
    )
    add(
        "--workers",
        type=_whole(1, 64),
        default=2,
        metavar="COUNT",
        help="worker processes of the shop (default: 2)",
    )
    add(
        "--port",
        type=_whole(1, 65535),
        metavar="PORT",
        help="port of the shop (default: the first free one from 8000)",
    )
    add(
        "--incident",
        choices=INCIDENTS,
        help="mend the shop's own faults and plant this one (none: the mended shop)",
    )
    add(
        "--json",
        action="store_true",
        help="print the report as JSON; what else there is to say goes to stderr",
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo; the exit code."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(f"perfsdk demo needs {', '.join(missing)}: {INSTALL}", file=sys.stderr)
        return 1
    from perfsdk.cli.demo.running import Options, run_demo

    return run_demo(
        Options(
            once=options.once,
            duration_seconds=options.duration,
            rate=options.rate,
            workers=options.workers,
            port=options.port,
            as_json=options.json,
            incident=options.incident,
        )
    )


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text}: give {lowest:g} to {highest:g}")
        return value

    return number


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text}: give {lowest} to {highest}")
        return value

    return number
