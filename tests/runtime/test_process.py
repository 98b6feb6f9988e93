"""What the page says of each worker's process is what the system says, and of living ones alone."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from perfsdk.catalog import (
    PROCESS_CPU_SECONDS,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY,
    PYTHON_INFO,
    WORKERS,
)
from perfsdk.recorder import Recorder
from perfsdk.runtime import process
from perfsdk.runtime.process import GAUGES, Process
from perfsdk.runtime.worker import WorkerNumber
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import Writer
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.location import Location
from tests.servers import wait_until
from tests.store.processes import in_child, run, start

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
CPU = PROCESS_CPU_SECONDS.name
MEMORY = PROCESS_RESIDENT_MEMORY.name
NAMES = {CPU, PYTHON_INFO.name, *(metric.name for metric in GAUGES)}


class Worker:
    """One process of a directory, as `instrument` puts it together."""

    def __init__(self, directory):
        self.writer = Writer(directory, on_open=self._hide)
        self.recorder = Recorder(self.writer)
        self.process = Process(self.recorder, WorkerNumber(directory, file_mode=0o600))

    def _hide(self):
        self.process.hide()

    def record(self):
        self.recorder.gauge(WORKERS).set((), 1.0)

    def close(self):
        self.writer.close()
        self.process.close()


@pytest.fixture
def make(tmp_path):
    """Makes workers of one directory; ended at the end."""
    made = []

    def make_worker():
        made.append(Worker(tmp_path))
        return made[-1]

    yield make_worker
    for worker in made:
        worker.close()


@pytest.fixture
def page(tmp_path):
    """Reads the page of the directory: {name: {label values: value}}, of these metrics alone."""
    collector = Collector(Location(str(tmp_path), None))

    def read():
        families = collector.collect().families
        return {family.name: family.values for family in families if family.name in NAMES}

    yield read
    collector.close()


def prometheus_client():
    """What prometheus_client says of this process: {name: value}, and the labels of Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {s.name: s.value for s in samples}, *(s.labels for s in samples if s.labels)


def test_it_says_what_prometheus_client_says(make, page):
    """The same names, labels and figures; one that changes by itself lies between two readings."""
    worker = make()
    worker.record()
    before, _ = prometheus_client()
    worker.process.sample()
    after, python = prometheus_client()
    shown = page()
    assert set(after) == set(shown) == NAMES
    assert set(PYTHON_INFO.labels) == {"worker", *python}
    assert {("0", *(python[label] for label in PYTHON_INFO.labels[1:])): 1.0} == shown.pop(
        PYTHON_INFO.name
    )
    for name, values in shown.items():
        assert [("0",)] == list(values), name
        low, high = sorted((before[name], after[name]))
        tolerance = 2 * TICK_SECONDS if name.endswith("_seconds_total") else 0.0
        assert low - tolerance <= values["0",] <= high + tolerance, name


def test_a_process_that_recorded_nothing_is_no_worker(make, tmp_path):
    """No number, no segment, no file: neither in a master nor in a child that does not record."""
    worker = make()
    worker.process.sample()
    assert [] == os.listdir(tmp_path)
    worker.record()
    worker.process.sample()
    before = sorted(os.listdir(tmp_path))
    assert 2 == len(before)
    in_child(worker.process.sample)
    assert before == sorted(os.listdir(tmp_path))


def test_a_child_shows_nothing_of_its_parent(make, page):
    """It has a number of its own; until it samples, the parent's figures stay as they were."""
    worker = make()
    worker.record()
    worker.process.sample()
    expected = page()

    def child():
        worker.record()
        shown = [not differences(expected, page())]
        worker.process.sample()
        return [*shown, sorted(worker for (worker,) in page()[MEMORY])]

    assert [True, ["0", "1"]] == in_child(child)


def differences(expected, shown):
    """The metrics that differ."""
    return [name for name in NAMES if expected.get(name) != shown.get(name)]


def test_processor_time_is_of_the_number_and_never_goes_down(make, page):
    """What a replaced worker used stays in the total of its number; gauges of the dead vanish."""
    keeping = make()
    keeping.record()
    keeping.process.sample()
    before = page()[CPU]

    def child():
        sum(range(3_000_000))
        worker = keeping
        worker.record()
        worker.process.sample()
        used = page()[CPU]
        figures = sorted(number for (number,) in page()[MEMORY])
        return [figures, used["1",]]

    (figures, first), (again, total) = in_child(child), in_child(child)
    assert [["0", "1"], ["0", "1"]] == [figures, again]
    assert 0 < first < total
    assert {("0",): before["0",], ("1",): total} == page()[CPU]
    assert [("0",)] == list(page()[MEMORY])


def test_each_sample_adds_what_was_used_since(make, page):
    """A hundred samples make the processor time of the process, not a hundred times it."""
    worker = make()
    worker.record()
    seen = []
    for _ in range(100):
        worker.process.sample()
        seen.append(page()[CPU]["0",])
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert sorted(seen) == seen
    assert seen[-1] <= used.ru_utime + used.ru_stime + 2 * TICK_SECONDS


def test_another_number_hides_the_figures_under_the_one_before(make, page, tmp_path):
    """When the directory was lost and another worker was faster; processor time goes on."""
    worker, other = make(), make()
    worker.record()
    worker.process.sample()
    used = page()[CPU]["0",]
    for path in tmp_path.glob("worker-*"):
        path.unlink()
    other.record()
    other.process.sample()
    other.close()
    holder = WorkerNumber(tmp_path, file_mode=0o600)
    assert 0 == holder.take()
    worker.process.sample()
    holder.close()
    shown = page()
    assert [("1",)] == list(shown[MEMORY])
    assert ["1"] == [labels[0] for labels in shown[PYTHON_INFO.name]]
    assert shown[CPU]["0",] >= used
    assert shown[CPU]["1",] < used  # only what it used since


def test_a_lost_directory_is_not_missed(make, page, tmp_path):
    """Nothing is written and nothing raised; when there is a directory again, all is back."""
    worker = make()
    worker.record()
    worker.process.sample()
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    worker.process.sample()
    assert {} == page()
    worker.writer.maintain()
    worker.process.sample()
    assert [("0",)] == list(page()[MEMORY])


def test_without_a_number_nothing_is_shown(make, page, monkeypatch):
    """Two processes under one number would be wrong figures, so there are none."""
    worker = make()
    worker.record()
    worker.process.sample()
    monkeypatch.setattr(worker.process._worker, "take", lambda: None)
    worker.process.sample()
    assert {CPU} == set(page())


def test_what_the_system_does_not_tell_is_left_out(make, page, monkeypatch):
    """Absent, not 0: without /proc, and when a figure that was there cannot be had any more."""
    worker = make()
    worker.record()
    worker.process.sample()
    monkeypatch.setattr(process, "read_figures", dict)
    worker.process.sample()
    assert {CPU, PYTHON_INFO.name} == set(page())


def test_without_proc_some_figures_are_left(monkeypatch):
    """As on macOS: the limits that `resource` tells."""

    def refuse(*_):
        raise FileNotFoundError

    monkeypatch.setattr(process.os, "listdir", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert {PROCESS_MAX_FDS: soft} == process.read_figures()


def test_no_limit_is_no_figure(monkeypatch):
    """An unlimited number of descriptors cannot be shown."""
    monkeypatch.setattr(process.resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert PROCESS_MAX_FDS not in process.read_figures()


@pytest.mark.parametrize("name", ["a) b (c", ")", "1 2 3"])
def test_the_name_of_the_program_may_be_anything(name, tmp_path):
    """Parentheses, blanks and digits in it do not shift the figures."""
    program = tmp_path / name
    program.symlink_to(sys.executable)
    script = (
        "from perfsdk.runtime.process import *\n"
        "figures = read_figures()\n"
        "print(figures[PROCESS_RESIDENT_MEMORY] < figures[PROCESS_VIRTUAL_MEMORY])"
    )
    root = Path(__file__).parents[2]
    output = subprocess.check_output(
        [program, "-c", script],
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), *sys.path]))},
    )
    assert "True\n" == output


def test_open_descriptors_are_counted():
    """One more when one is opened."""
    before = process.read_figures()[PROCESS_OPEN_FDS]
    with open(os.devnull):
        assert before + 1 == process.read_figures()[PROCESS_OPEN_FDS]


SERVER = """
import asyncio, os, sys, perfsdk
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def send(message): ...
app = perfsdk.instrument(app)
if len(sys.argv) == 1:
    sys.exit()
asyncio.run(app({"type": "http", "method": "GET"}, None, send))
print("served", flush=True)
sys.stdin.read()
"""


def test_instrumented_workers_are_numbered(page, tmp_path, monkeypatch):
    """Two that serve are 0 and 1; the one in place of a killed one has its number and its total."""
    monkeypatch.setenv("PERFSDK_DIR", str(tmp_path))
    monkeypatch.setenv("PERFSDK_SAMPLE_INTERVAL_SECONDS", "0.1")
    run(SERVER)
    assert [] == os.listdir(tmp_path)
    workers = [start(SERVER, "serve"), start(SERVER, "serve")]
    try:
        both = [("0",), ("1",)]
        wait_until(lambda: both == list(page().get(MEMORY, {})))
        before = page()[CPU]
        victim = workers.pop()
        victim.kill()
        victim.communicate()
        (left,) = list(page()[MEMORY])
        workers.append(start(SERVER, "serve"))
        wait_until(lambda: both == list(page().get(MEMORY, {})))
        (reused,) = set(both) - {left}
        assert page()[CPU][reused] > before[reused]
        assert 2 == len(list(tmp_path.glob("worker-*")))
        assert 3 == len(find_segments(tmp_path))
    finally:
        for worker in workers:
            worker.communicate()
