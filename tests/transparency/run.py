"""Runs the own tests of frameworks bare and measured: they must pass and fail in the same way.

`python -m tests.transparency.run starlette fastapi`; `--quick` and `--only PATH` run less.
Both runs go on at the same time, in a process each. The files of tests that differ are run once
more, so that a test that fails now and then is not held against us. The exit code is 1 where a
test differs again, where nothing was measured, and where an error of ours was counted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from perfsdk.testing import Recording
from tests.transparency.outcomes import Case, differences, read_outcomes
from tests.transparency.suites import SUITES, Suite, prepare

PLUGIN = "measure_everything"
TIMEOUT_SECONDS = 1800
OURS = ("PERFSDK_", "OTEL_")
SHOWN = 50
NAMES = ("bare", "measured")

Outcomes = dict[Case, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="|".join(SUITES), help="default: all")
    parser.add_argument("--only", nargs="+", default=["tests"], metavar="PATH")
    parser.add_argument("--quick", action="store_true", help="without what takes long")
    options = parser.parse_args()
    if unknown := sorted(set(options.suites) - SUITES.keys()):
        parser.error(f"no suite is called {', '.join(unknown)}")
    good = []
    for suite in (SUITES[name] for name in options.suites or SUITES):
        left_out = suite.slow if options.quick else ()
        good.append(check(suite, [*options.only, *(f"--ignore={path}" for path in left_out)]))
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
        requests, errors = read_recording(work / "segments")
    failed = sum(outcome == "failed" for outcome in bare.values())
    print(
        f"{suite.name} {suite.version}: {len(bare)} tests, {failed} fail without us, "
        f"{len(found)} differ; {requests} requests measured, {seconds:.0f} s"
    )
    for each in found[:SHOWN]:
        print(f"  {each.test.name}: {each.bare}, measured {each.measured}")
    for where, count in errors.items():
        print(f"  an error of ours: {where}, {count} times")
    return bool(bare and requests) and not found and not errors


def run_both(suite: Suite, work: Path, tests: list[str]) -> tuple[Outcomes, Outcomes]:
    """The outcomes without us, and measured."""
    processes = [start(suite, work, name, tests) for name in NAMES]
    try:
        for process in processes:
            process.wait(TIMEOUT_SECONDS)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    reports = [work / f"{name}.xml" for name in NAMES]
    for name, report in zip(NAMES, reports, strict=True):
        if not report.exists():
            sys.exit(f"{suite.name}, {name}: no report\n{_tail(work / f'{name}.log', 50)}")
    bare, measured = map(read_outcomes, reports)
    return bare, measured


def start(suite: Suite, work: Path, name: str, tests: list[str]) -> subprocess.Popen:
    """One run of the suite, as a process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    paths = [suite.sources / suite.path] if suite.path else []
    command = [suite.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:sugar"]
    if name == "measured":
        paths.append(Path(__file__).parent)
        environment["PERFSDK_DIR"] = str(work / "segments")
        command += ["-p", PLUGIN]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    environment["TMPDIR"] = str(work / f"tmp-{name}")
    (work / f"tmp-{name}").mkdir(exist_ok=True)
    command += ["-o", "junit_family=xunit1", f"--junitxml={work / name}.xml", *tests]
    with (work / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=suite.sources,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def read_recording(directory: Path) -> tuple[int, dict[str, int]]:
    """How many requests were measured, and the errors of ours by where they happened."""
    with Recording(directory) as recording:
        errors = "perfsdk_internal_errors_total"
        return recording.count("http_server_request_duration_seconds"), {
            labels["where"]: int(recording.value(errors, **labels))
            for labels in recording.series(errors)
        }


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    sys.exit(main())
