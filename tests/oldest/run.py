"""Runs the tests of frameworks with the oldest version of each that is supported.

`python -m tests.oldest.run aiohttp flask`; without names those of `CHECKED`. The tests of several
frameworks go on at the same time, in a process each. What a framework cannot do in that version
is skipped by a mark that says so, and is listed. The exit code is 1 where a test fails.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.oldest.environments import CHECKED, GROUPS, REPOSITORY, Group, prepare

TIMEOUT_SECONDS = 900
AT_ONCE = os.cpu_count() or 2
OURS = ("PERFSDK_", "OTEL_")
_POLL_SECONDS = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "frameworks",
        nargs="*",
        default=CHECKED,
        metavar="|".join(GROUPS),
        help="default: %(default)s",
    )
    names = list(parser.parse_args().frameworks)
    if unknown := sorted(set(names) - GROUPS.keys()):
        parser.error(f"no framework here is called {', '.join(unknown)}")
    started = time.monotonic()
    for environment in dict.fromkeys(GROUPS[name].environment for name in names):
        prepare(environment)
    print(f"==> the environments took {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory(prefix="perfsdk-oldest-") as directory:
        results = run_all(names, Path(directory))
    failed = [name for name, code in results.items() if code != 0]
    if failed:
        print(f"==> failed with the oldest versions: {', '.join(failed)}")
    return 1 if failed else 0


def run_all(names: list[str], work: Path) -> dict[str, int]:
    """The exit codes of the tests by framework; their output is printed as each ends."""
    waiting = list(names)
    running: dict[str, subprocess.Popen] = {}
    results: dict[str, int] = {}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name = waiting.pop(0)
                running[name] = start(GROUPS[name], work / f"{name}.log")
            for name, process in list(running.items()):
                code = process.poll()
                if code is not None:
                    del running[name]
                    results[name] = code
                    _print_result(name, work / f"{name}.log")
            if time.monotonic() > deadline:
                sys.exit(f"not within {TIMEOUT_SECONDS} s: {', '.join(running)}")
            time.sleep(_POLL_SECONDS)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return results


def start(group: Group, log: Path) -> subprocess.Popen:
    """The tests of one framework, as a process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the sources are another environment's, too
    tests = [test for pattern in group.tests for test in _files(pattern)]
    options = ["-q", "-p", "no:cacheprovider", "--no-header", "--timeout", "60"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [group.environment.python, "-m", "pytest", *options, *tests],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _files(pattern: str) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    found = sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob(pattern))
    if not found:  # pytest without arguments would run everything
        raise FileNotFoundError(f"no tests: {pattern}")
    return found


def _print_result(name: str, log: Path) -> None:
    versions = " ".join(GROUPS[name].environment.versions)
    print(f"==> {name} (of {versions})\n{log.read_text(errors='replace')}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
