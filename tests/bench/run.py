"""`python -m tests.bench.run`: measures what perfsdk costs beside other libraries, in Markdown."""

import argparse
import json
import os
import platform
import signal
import sys
from importlib import import_module
from pathlib import Path

from tests.bench.figures import Goal, goals_table
from tests.bench.rounds import Options

MEASUREMENTS = {
    "asgi": ("asgi", "collect"),
    "wsgi": ("wsgi", "collect"),
    "routes": ("asgi", "collect_routes"),
    "uvicorn": ("served", "collect"),
    "operations": ("operations", "collect"),
    "database": ("calls", "collect_database"),
    "sqlite3": ("calls", "collect_sqlite3"),
    "psycopg": ("calls", "collect_psycopg"),
    "asyncpg": ("calls", "collect_asyncpg"),
    "redis": ("calls", "collect_redis"),
    "pymemcache": ("calls", "collect_pymemcache"),
    "cachetools": ("calls", "collect_cachetools"),
    "lru_cache": ("calls", "collect_lru_cache"),
    "scrapes": ("scrapes", "collect"),
    "stalls": ("stalls", "collect"),
    "sizing": ("sizing", "collect"),
    "imports": ("imports", "collect"),
}
"""By name: module and function."""


def main():
    """Run what was chosen and print; 0 whatever the figures are: a benchmark is no test."""
    arguments = _parser().parse_args()
    # As an exception it unwinds: servers are ended and directories removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(arguments.quick, arguments.rounds)
    print(f"# Cost of perfsdk\n\n{_machine()}\n", flush=True)
    goals, samples = [], {}
    for name in arguments.only or MEASUREMENTS:
        module, function = MEASUREMENTS[name]
        try:
            report = getattr(import_module(f"tests.bench.{module}"), function)(options)
        except KeyboardInterrupt:
            print(f"{name}: interrupted\n", flush=True)
            goals.append(Goal(name, "", "interrupted", None))
            break
        except Exception as error:
            print(f"### {name}\n\n**FAILED: {error!r}**\n", flush=True)
            goals.append(Goal(name, "", f"FAILED: {error!r}", None))
            continue
        print(f"{report.text}\n{_load()}\n", flush=True)
        goals += report.goals
        samples[name] = report.samples
    print(f"### Goals\n\n{goals_table(goals)}", flush=True)
    if arguments.json:
        goals_as_dicts = [goal._asdict() for goal in goals]
        found = {"machine": _machine(), "goals": goals_as_dicts, "samples": samples}
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds: does it work at all")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds of each")
    parser.add_argument(
        "--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, for a closer look")
    return parser


def _machine():
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} "
        f"processors, {platform.machine()}. {_load()} Ratios within one run say more than "
        "microseconds: other work on the machine slows everything down, and all alike."
    )


def _load():
    return "Load of the machine (1, 5, 15 minutes): {:.2f} {:.2f} {:.2f}.".format(*os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
