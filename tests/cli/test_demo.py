"""`perfsdk demo` shows true numbers and leaves nothing behind, however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfsdk.cli.demo.command import INCIDENTS
from tests.servers import stop_process, wait_until

ENDS_WITHIN_SECONDS = 60


class Demo:
    """A running `perfsdk demo` and the files that hold what it printed."""

    def __init__(self, process, directory):
        self.process = process
        self._directory = directory
        self.seen = set()

    @property
    def output(self):
        """What it has printed so far."""
        return (self._directory / "stdout").read_text()

    @property
    def errors(self):
        """What it has written to stderr so far."""
        return (self._directory / "stderr").read_text()

    def children(self):
        """Its processes and theirs, as (pid, start time, command); all are remembered."""
        found = descendants(self.process.pid)
        self.seen |= {(pid, started) for pid, started, _ in found}
        return found

    def wait_for(self, text):
        """Wait until it has printed `text`, and remember its processes."""

        def printed():
            assert self.process.poll() is None, self.errors
            self.children()
            return text in self.output

        wait_until(printed, ENDS_WITHIN_SECONDS, f"{text!r} printed")

    def wait(self):
        """Its exit code, when it has ended."""

        def ended():
            self.children()
            return self.process.poll() is not None

        wait_until(ended, ENDS_WITHIN_SECONDS, "the demo has ended")
        return self.process.returncode

    def left(self):
        """Processes of it that still live."""
        return [identity for identity in self.seen if started_at(identity[0]) == identity[1]]


@pytest.fixture
def start_demo(tmp_path):
    """Starts `perfsdk demo` with these arguments; its temporary directory is the test's."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    @contextmanager
    def start(*arguments):
        with (tmp_path / "stdout").open("w") as out, (tmp_path / "stderr").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "perfsdk.cli", "demo", "--rate", "40", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(temporary), "PERFSDK_ENABLED": "0"},
                start_new_session=True,
            )
        demo = Demo(process, tmp_path)
        try:
            yield demo
            left = demo.left()
            assert not left
            assert not list(temporary.iterdir())
        finally:
            stop_process(process)
            for pid, _ in demo.left():
                os.kill(pid, signal.SIGKILL)

    return start


def descendants(pid):
    """(pid, start time, command) of all processes below one."""
    found = []
    try:
        listings = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return found  # it has ended meanwhile
    for child in map(int, " ".join(listings).split()):
        try:
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        except OSError:
            continue
        started = started_at(child)
        if started is not None:
            found.append((child, started, command))
        found += descendants(child)
    return found


def started_at(pid):
    """When a living process was started, which tells it from a later one of its number."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in {"X", "Z"} else fields[18]


def test_the_report_holds_exactly_what_was_sent(start_demo):
    """Each route's requests and failures on the page are those that the load had answered."""
    with start_demo("--once", "--duration", "4", "--json") as demo:
        assert demo.wait() == 0, demo.errors
    report = json.loads(demo.output)
    answers = report["sent"]["answers"]
    assert report["sent"]["unanswered"] == 0
    latencies = {latency["route"]: latency for latency in report["latencies"]}
    assert {route: sum(found.values()) for route, found in answers.items()} == {
        route: latency["requests"] for route, latency in latencies.items()
    }
    assert {
        route: sum(count for status, count in found.items() if status >= "500")
        for route, found in answers.items()
    } == {route: latency["failed"] for route, latency in latencies.items()}
    assert {"200", "503"} == set(answers["POST /orders/{order_id}/payment"])
    for latency in latencies.values():
        assert 0 < latency["p50_seconds"] <= latency["p95_seconds"] <= latency["p99_seconds"]

    times = {route["route"]: route for route in report["times"]}
    assert set(latencies) == set(times)
    for name, route in times.items():
        assert latencies[name]["requests"] == route["all"]["requests"]
    calls = {name: route["db_calls"] for name, route in times.items()}
    assert 21 <= calls["GET /orders"] < 22  # the driver asks a little for each new connection
    assert 1 < calls["GET /search"] < 2
    assert times["GET /orders"]["all"]["seconds"]["db"] > 0

    (cache,) = report["caches"]
    assert sum(answers["GET /products/{product_id}"].values()) == cache["lookups"]
    assert 0 < cache["hits"] < cache["lookups"]
    assert 0 < cache["miss_seconds"]


def test_it_stays_up_until_ctrl_c_and_prints_plainly(start_demo):
    """Without a terminal the text is plain; SIGINT after the report is the way to end."""
    with start_demo("--duration", "1.5", "--workers", "1") as demo:
        demo.wait_for("All stays up until you press Ctrl-C.")
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() == 0, demo.errors
    assert "" == demo.errors
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", demo.output)
    report = demo.output[: demo.output.index("Check:")]
    assert max(map(len, report.splitlines())) <= 100
    for question in ("What is my P99?", "Where does the time go?", "my cache hit rate?"):
        assert question in demo.output
    assert re.search(r"GET /orders +\d+ +0 % +[<\d]", demo.output)
    assert re.search(r"http://127\.0\.0\.1:\d+/docs\)\n", demo.output)
    assert re.search(r"http://127\.0\.0\.1:\d+/metrics\n", demo.output)


def test_a_signal_before_the_report_ends_it_early(start_demo):
    """SIGTERM in the middle of the load: no report, the exit code of the signal."""
    with start_demo("--duration", "600", "--workers", "1") as demo:
        demo.wait_for("Sending 40 requests a second")
        demo.process.send_signal(signal.SIGTERM)
        assert demo.wait() == 128 + signal.SIGTERM, demo.errors
    assert "P99" not in demo.output


def test_a_dead_child_ends_it_with_the_end_of_its_log(start_demo):
    """The exporter is killed: exit code 1, what happened in one line, and what it said last."""
    with start_demo("--duration", "600", "--workers", "1") as demo:
        demo.wait_for("Sending 40 requests a second")
        (exporter,) = [pid for pid, _, command in demo.children() if "perfsdk_exporter" in command]
        os.kill(exporter, signal.SIGKILL)
        assert demo.wait() == 1
    assert demo.errors.endswith("perfsdk demo: the exporter ended with signal SIGKILL\n")
    assert re.search(r"127\.0\.0\.1:\d+", demo.errors), "the exporter's start line"


def test_a_killed_demo_takes_its_children_with_it(start_demo, tmp_path):
    """Even SIGKILL leaves no process behind; only the directory cannot be removed then."""
    with start_demo("--duration", "600", "--workers", "1") as demo:
        demo.wait_for("Sending 40 requests a second")
        demo.process.kill()
        demo.wait()
        wait_until(lambda: not demo.left(), message="the children have ended")
        for directory in (tmp_path / "temporary").iterdir():
            for path in sorted(directory.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            directory.rmdir()


def seconds(report, route, component):
    """What an average request of a route spends there."""
    found = next(each["all"] for each in report["times"] if each["route"] == route)
    return found["seconds"].get(component, 0.0) / found["requests"]


def db_calls(report):
    """Calls of an average request for the list of orders."""
    return next(each["db_calls"] for each in report["times"] if each["route"] == "GET /orders")


SHOWN = {
    "none": lambda found: (
        sum(each["failed"] for each in found["latencies"]) == 0 and db_calls(found) == 2
    ),
    "slow-query": lambda found: seconds(found, "GET /search", "db") > 0.1,
    "n-plus-one": lambda found: db_calls(found) > 10,
    "cache-flush": lambda found: found["caches"][0]["hit_rate"] < 0.3,
    "pool-exhaustion": lambda found: (
        seconds(found, "GET /orders", "pool_wait") > seconds(found, "GET /orders", "app")
    ),
    "errors": lambda found: sum(each["failed"] for each in found["latencies"]) > 0,
}


def test_every_incident_is_tried():
    """All that the command line takes."""
    assert set(INCIDENTS) == set(SHOWN)


@pytest.mark.parametrize("incident", SHOWN)
def test_the_report_shows_an_incident(start_demo, incident):
    """In the answer where one would look for it; the mended shop has neither errors nor N+1."""
    arguments = ("--once", "--json", "--workers", "1", "--duration", "3")
    with start_demo(*arguments, "--incident", incident) as demo:
        assert demo.wait() == 0, demo.errors
    report = json.loads(demo.output)
    assert SHOWN[incident](report), report
