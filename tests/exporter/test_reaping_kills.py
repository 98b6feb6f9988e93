"""Whenever an exporter is killed, and whoever else works beside it, every count is there once."""

import fcntl
import os
import shutil
import signal
import time
from fractions import Fraction

import pytest

from perfsdk_exporter.reaping.reaper import Reaper
from tests.exporter.ended import KEPT, ended, in_killable_child, living, reading, sums
from tests.store.metrics import ACTIVE, COUNTER, NATIVE, SECONDS

STEPS = [
    "chmod",
    "close",
    "fchmod",
    "fchown",
    "fsync",
    "listdir",
    "lstat",
    "open",
    "pread",
    "rename",
    "scandir",
    "stat",
    "unlink",
    "write",
]
"""What a reaper asks the system for, each of which may be the last thing that it does."""

SERIES = (
    (COUNTER, ("a",), [0.1]),
    (SECONDS, ("mail",), [0.7, 1.0, 0.0, 2.0]),
    (NATIVE, (), [0.3, 1.0, 1.0, 2.0, 0.0], {3: [1.0, 0, 0, 1.0, 0, 0, 0, 0]}),
    (ACTIVE, (), [1.0]),
)


def reap_until(step, directory):
    """Reap in a child that is killed at this step; whether it came to the end before."""

    def work():
        _kill_at(step)
        Reaper().reap(directory)

    return in_killable_child(work)


def _kill_at(last):
    """Kill this process instead of its `last` call of the system; a write is done by half."""
    made = 0

    def counted(call):
        def instead(*args, **options):
            nonlocal made
            made += 1
            if made == last:
                if call is write:
                    call(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return instead

    write = os.write
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    fcntl.flock = counted(fcntl.flock)


@pytest.fixture(scope="module", params=["no archive", "an archive"])
def template(request, tmp_path_factory):
    """A directory with processes that ended, with and without others that were reaped before."""
    directory = tmp_path_factory.mktemp("template")
    if request.param == "an archive":
        ended(directory, *SERIES)
        Reaper().reap(directory)
    for _ in range(2):
        ended(directory, *SERIES)
    return directory


def test_killed_at_every_step(template, tmp_path):
    """Before and after each call of the system the page is exact; the next reaper ends the work."""
    expected, step, complete = sums(template), 0, False
    while not complete:
        step += 1
        directory = shutil.copytree(template, tmp_path / f"{step}")
        writer = living(directory, (ACTIVE, (), [1.0]))
        alive = {**expected, ("active", (), 0): 1}
        complete = reap_until(step, directory)
        assert alive == sums(directory), step
        if not complete:
            # Once more at another step, which finds what the first one left.
            reap_until(step * 7 % 60 + 1, directory)
            assert alive == sums(directory), step
        Reaper().reap(directory)
        assert alive == sums(directory), step
        assert KEPT | {writer.segment.path.name} == set(os.listdir(directory)), step
        writer.close()
        shutil.rmtree(directory)
    assert step > 50


WORKERS, EXPORTERS = 40, 2
REAL = 0.1
OBSERVATIONS = 30


def live_and_die(directory):
    """Processes that record and end without saying so, one after the other, three at a time."""
    running = set()
    for _ in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            try:
                writer = living(directory, (ACTIVE, (), [1.0]))
                total, wait = writer.series(COUNTER, ("a",)), writer.series(SECONDS, ("mail",))
                for _ in range(OBSERVATIONS):
                    writer.values[wait + 1] += 1.0
                    writer.values[wait] += REAL
                    writer.values[total] += REAL
                    os.sched_yield()
            finally:
                os._exit(0)
        running.add(pid)
        if len(running) == 3:
            running.discard(os.wait()[0])
    while running:
        running.discard(os.wait()[0])


def reap_for_ever(directory):
    """An exporter that does nothing else; the parent kills it."""
    reaper = Reaper()
    while True:
        reaper.reap(directory)


def start(work, directory):
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(60)  # never longer than the test
            work(directory)
        finally:
            os._exit(0)
    return pid


def test_exporters_and_processes_at_once(tmp_path):
    """Two exporters reap, killed and started again, while processes come and go: a reader sees
    no total go down or away, and in the end each is exact."""
    exporters = [start(reap_for_ever, tmp_path) for _ in range(EXPORTERS)]
    workers, pages, before, over = start(live_and_die, tmp_path), 0, {}, False
    deadline = time.monotonic() + 50
    with reading(tmp_path) as read:
        while not over:
            over = os.waitpid(workers, os.WNOHANG)[0] != 0  # then one more look
            found = read()
            found.pop(("active", (), 0), None)
            lower = {key: (was, found.get(key)) for key, was in before.items()}
            assert {} == {
                k: pair for k, pair in lower.items() if pair[1] is None or pair[1] < pair[0]
            }
            before, pages = found, pages + 1
            if pages % 40 == 0:
                _end(exporters.pop(0))
                exporters.append(start(reap_for_ever, tmp_path))
            assert time.monotonic() < deadline
    for pid in exporters:
        _end(pid)
    one = 0.0
    for _ in range(OBSERVATIONS):
        one += REAL
    Reaper().reap(tmp_path)
    expected = {
        ("keys_total", ("a",), 0): WORKERS * Fraction(one),
        ("wait_seconds", ("mail",), 0): WORKERS * Fraction(one),
        ("wait_seconds", ("mail",), 1): WORKERS * OBSERVATIONS,
        ("wait_seconds", ("mail",), 2): 0,
        ("wait_seconds", ("mail",), 3): 0,
    }
    assert expected == before == sums(tmp_path)
    assert set(os.listdir(tmp_path)) == KEPT
    assert pages > 20


def _end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
