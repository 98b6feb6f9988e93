"""Runs the own tests of other projects bare and measured: they must pass and fail the same way.

`python -m tests.transparency.run starlette asyncpg`; `--quick` and `--only PATH` run less.
Both runs go on at the same time, in a process each. The files of tests that differ are run once
more, so that a test that fails now and then is not held against us. The exit code is 1 where a
test differs again, where nothing was measured, and where an error of ours was counted.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perfsdk.testing import Recording
from tests.postgresql import start_postgresql
from tests.servers import start_redis
from tests.transparency.outcomes import Case, differences, read_outcomes
from tests.transparency.suites import SUITES, Suite, prepare

TIMEOUT_SECONDS = 1800
OURS = ("PERFSDK_", "OTEL_")
SHOWN = 50
NAMES = ("bare", "measured")

Outcomes = dict[Case, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="|".join(SUITES), help="default: all")
    parser.add_argument("--only", nargs="+", metavar="PATH")
    parser.add_argument("--quick", action="store_true", help="without what takes long")
    options = parser.parse_args()
    if unknown := sorted(set(options.suites) - SUITES.keys()):
        parser.error(f"no suite is called {', '.join(unknown)}")
    good = []
    for suite in (SUITES[name] for name in options.suites or SUITES):
        left_out = suite.slow if options.quick else ()
        tests = options.only or suite.tests
        good.append(check(suite, [*tests, *(f"--ignore={path}" for path in left_out)]))
    return 0 if all(good) else 1


def check(suite: Suite, tests: list[str]) -> bool:
    """Run one suite both ways and print what differs; whether nothing does."""
    prepare(suite)
    with tempfile.TemporaryDirectory(prefix="perfsdk-transparency-") as directory:
        work = Path(directory)
        started = time.monotonic()
        bare, measured = run_both(suite, work, tests)
        found = differences(bare, measured)
        if found:
            files = sorted({each.test.file for each in found})
            print(f"{suite.name}: {len(found)} tests differ; once more: {' '.join(files)}")
            for name in NAMES:
                print(f"  {name}: {_tail(work / f'{name}.log', 1)}")
            again = differences(*run_both(suite, work, files))
            found = [each for each in found if each in again]
        seconds = time.monotonic() - started
        calls, errors = read_recording(work / "segments", suite.metric)
    failed = sum(outcome == "failed" for outcome in bare.values())
    print(
        f"{suite.name} {suite.version}: {len(bare)} tests, {failed} fail without us, "
        f"{len(found)} differ; {calls} calls measured, {seconds:.0f} s"
    )
    for each in found[:SHOWN]:
        print(f"  {each.test.name}: {each.bare}, measured {each.measured}")
    for where, count in errors.items():
        print(f"  an error of ours: {where}, {count} times")
    return bool(bare and calls) and not found and not errors


def run_both(suite: Suite, work: Path, tests: list[str]) -> tuple[Outcomes, Outcomes]:
    """The outcomes without us, and measured."""
    with ExitStack() as stack:
        processes = []
        for name in NAMES:
            server = stack.enter_context(_server(suite, work, name))
            processes.append(start(suite, work, name, tests, server))
            stack.callback(_end, processes[-1])
        for process in processes:
            process.wait(TIMEOUT_SECONDS)
    reports = [work / f"{name}.xml" for name in NAMES]
    for name, report in zip(NAMES, reports, strict=True):
        if not report.exists():
            sys.exit(f"{suite.name}, {name}: no report\n{_tail(work / f'{name}.log', 50)}")
    bare, measured = map(read_outcomes, reports)
    return bare, measured


def start(
    suite: Suite, work: Path, name: str, tests: list[str], server: dict[str, object]
) -> subprocess.Popen:
    """One run of the suite, as a process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    environment |= {key: value.format(**server) for key, value in suite.environment}
    sources = work / f"sources-{name}"  # of its own: tests write files beside themselves
    if not sources.exists():
        shutil.copytree(suite.sources, sources, symlinks=True)
    paths = [sources / suite.path] if suite.path else []
    command = [suite.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:sugar"]
    if name == "measured":
        paths.append(Path(__file__).parent)
        environment["PERFSDK_DIR"] = str(work / "segments")
        command += ["-p", suite.plugin]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    environment["TMPDIR"] = str(work / f"tmp-{name}")
    (work / f"tmp-{name}").mkdir(exist_ok=True)
    command += ["-o", "junit_family=xunit1", f"--junitxml={work / name}.xml"]
    command += [argument.format(**server) for argument in suite.arguments]
    with (work / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [str(part) for part in (*command, *tests)],
            cwd=sources,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def _server(suite: Suite, work: Path, name: str) -> Iterator[dict[str, object]]:
    """What a run needs to know of its Redis or PostgreSQL; nothing where it needs none."""
    if suite.redis:
        with (
            tempfile.TemporaryDirectory(prefix=f"redis-{name}-", dir=work) as directory,
            start_redis(Path(directory)) as server,
        ):
            yield server._asdict()
        return
    if suite.setup is None:
        yield {}
        return
    import psycopg

    with tempfile.TemporaryDirectory(prefix=f"postgresql-{name}-", dir=work) as directory:
        work.chmod(0o711)  # the server may run as another user
        Path(directory).chmod(0o711)
        with start_postgresql(Path(directory)) as server:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                for statement in suite.setup:
                    connection.execute(statement)
            yield server._asdict()


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def read_recording(directory: Path, metric: str) -> tuple[int, dict[str, int]]:
    """How many calls were measured, and the errors of ours by where they happened."""
    with Recording(directory) as recording:
        errors = "perfsdk_internal_errors_total"
        return recording.count(metric), {
            labels["where"]: int(recording.value(errors, **labels))
            for labels in recording.series(errors)
        }


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main())
