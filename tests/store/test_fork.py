"""A forked child has a segment of its own, and neither keeps its parent alive nor kills it."""

import fcntl
import math
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from perfsdk.store import fork
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import CLOSED, SCRATCH
from tests.store.metrics import (
    COUNTER,
    EVERY_KIND,
    HIGHEST,
    LOWEST,
    NATIVE,
    NEWEST,
    TOTAL,
    WORKER,
    only_segment,
    read,
    snapshots,
)
from tests.store.processes import in_child, start


def add(writer, cell, amount=1.0):
    """Record as the recorder does: revive after a fork, then repeat."""
    try:
        writer.values[cell] += amount
    except IndexError:
        if writer.revive():
            writer.values[cell] += amount


def test_a_child_begins_at_zero_with_the_same_cells(writer, segments):
    """Known series keep their cells and labels, all values are zero, the parent's are untouched."""
    cells = {metric.name: writer.series(metric, []) for metric in EVERY_KIND}
    block = writer.block(cells["request_seconds"], 2)
    for cell in (*cells.values(), block):
        writer.values[cell] = 5.0
    parent = only_segment(segments)

    def record():
        assert writer.values is CLOSED
        add(writer, cells["calls_total"], 2.0)
        add(writer, writer.series(COUNTER, ["new in the child"]), 3.0)

    in_child(record)
    (child,) = set(find_segments(segments)) - {parent}
    before, after = read(parent), read(child)
    assert cells == {series.metric.name: series.cell for series in before.series}
    names = [*cells, "keys_total"]
    assert names == [series.metric.name for series in after.series]
    assert list(cells.values()) == [series.cell for series in after.series][:-1]
    assert {2: block} == after.series[-2].blocks
    assert {5.0} == {before.values[cell] for cell in (*cells.values(), block)}
    values = {series.metric.name: after.values[series.cell] for series in after.series}
    assert (2.0, 3.0) == (values.pop("calls_total"), values.pop("keys_total"))
    # What has no value yet is not 0: it would be the lowest of all processes.
    for metric in (LOWEST, HIGHEST, NEWEST, WORKER):
        assert math.isnan(values.pop(metric.name))
    assert {0.0} == set(values.values())
    assert 0.0 == after.values[block]
    before.close()
    after.close()


def test_a_child_that_records_nothing_makes_no_file(writer, segments):
    """`subprocess`-like children cost nothing, whether or not the parent has a segment."""
    in_child(lambda: None)
    assert [] == find_segments(segments)
    writer.series(TOTAL, [])
    in_child(writer.maintain)
    assert 1 == len(find_segments(segments))


def test_a_child_of_a_parent_without_segment_makes_its_own(writer, segments):
    """A preloading server forks before anything was recorded."""
    in_child(lambda: add(writer, writer.series(TOTAL, []), 2.0))
    add(writer, writer.series(TOTAL, []), 3.0)
    values = [("calls_total",)]
    assert sorted([{values[0]: 2.0}, {values[0]: 3.0}], key=str) == sorted(
        snapshots(segments), key=str
    )


@pytest.mark.parametrize("middle_records", [True, False])
def test_nested_forks_have_a_segment_each(middle_records, writer, segments):
    """Grandchildren know the series too, also when the generation between recorded nothing."""
    cell = writer.series(TOTAL, [])
    add(writer, cell, 1.0)

    def child():
        if middle_records:
            add(writer, cell, 10.0)
            add(writer, writer.series(COUNTER, ["middle"]))
        in_child(lambda: add(writer, cell, 100.0))

    in_child(child)
    totals = sorted(values["calls_total",] for values in snapshots(segments))
    assert ([1.0, 10.0, 100.0] if middle_records else [1.0, 100.0]) == totals
    known = [("keys_total", "middle") in values for values in snapshots(segments)]
    assert (2 if middle_records else 0) == sum(known)


def test_a_child_of_a_closed_writer_stays_closed(writer, segments):
    """What was stopped in the parent does not begin again in its children."""
    cell = writer.series(TOTAL, [])
    writer.close()
    assert in_child(lambda: [writer.revive(), writer.series(TOTAL, [])]) == [False, SCRATCH]
    in_child(lambda: add(writer, cell))
    assert 1 == len(find_segments(segments))


def test_a_child_that_ends_does_not_free_its_parents_lock(writer, segments, open_reader):
    """Whether it recorded, closed its writer or did nothing, the parent is alive."""
    cell = writer.series(TOTAL, [])
    reader = open_reader(only_segment(segments))
    for work in (lambda: None, lambda: add(writer, cell), writer.close):
        in_child(work)
        assert reader.is_live()
    parent = {path for path in find_segments(segments) if read(path).is_live()}
    assert {reader.path} == parent


PARENT = """
import os, signal, sys
from pathlib import Path
from perfsdk.store.writer import Writer
from tests.store.metrics import TOTAL

writer = Writer(Path(sys.argv[1]))
cell = writer.series(TOTAL, [])
writer.values[cell] += 1.0
if sys.argv[2] != "alone" and os.fork() == 0:
    if sys.argv[2] == "records":
        writer.revive()
        writer.values[cell] += 2.0
    print("ready")
    os.read(0, 1)  # until the test closes its end
    os._exit(0)
if sys.argv[2] == "alone":
    print("ready")
signal.pause()
"""


@pytest.mark.parametrize("child", ["alone", "silent", "records"])
def test_a_killed_writer_is_dead_though_its_child_lives(child, segments, open_reader):
    """After SIGKILL the lock is free and the values are there, whoever inherited the mapping."""
    process = start(PARENT, segments, child)
    try:
        assert "ready\n" == process.stdout.readline()
        opened = [open_reader(path) for path in find_segments(segments)]
        readers = {reader.values[reader.series[0].cell]: reader for reader in opened}
        assert all(reader.is_live() for reader in readers.values())
        process.kill()
        assert -signal.SIGKILL == process.wait()
        expected = {1.0: False, 2.0: True} if child == "records" else {1.0: False}
        assert expected == {value: reader.is_live() for value, reader in readers.items()}
    finally:
        process.kill()
        process.wait()
        process.stdin.close()  # ends the child
        assert "" == process.stdout.read()  # which has ended
        process.stdout.close()
    assert not any(reader.is_live() for reader in readers.values())


def test_a_program_that_is_executed_inherits_nothing(writer, segments):
    """Descriptors close on exec, so that no other program keeps the lock or the file."""
    writer.series(TOTAL, [])
    script = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3, 50) "
    script += "if os.path.lexists(f'/proc/self/fd/{n}')])"
    output = subprocess.run(
        [sys.executable, "-c", script], close_fds=False, check=True, capture_output=True, text=True
    ).stdout
    assert str(segments) not in output
    ours = [
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{name}")
    ]
    assert 3 == ours.count(str(only_segment(segments)))  # file, lock and the mapping's own


def blocked_in_allocation(monkeypatch, writer):
    """A thread that stops in the middle of a record, holding the lock; how to let it go on."""
    entered, leave = threading.Event(), threading.Event()
    real = os.posix_fallocate

    def posix_fallocate(*arguments):
        if threading.current_thread() is thread:
            entered.set()
            assert leave.wait(20)
        real(*arguments)

    monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    thread = threading.Thread(target=writer.series, args=(COUNTER, ["x" * 40_000]), daemon=True)
    thread.start()
    assert entered.wait(20)
    return thread, leave


def test_a_fork_does_not_wait_for_ever_for_the_lock(writer, segments, monkeypatch):
    """A child of the middle of a record records on, and its file has no hole."""
    monkeypatch.setattr(fork, "FORK_WAIT_SECONDS", 0.01)
    cell = writer.series(TOTAL, [])
    parent = only_segment(segments)
    thread, leave = blocked_in_allocation(monkeypatch, writer)

    def record():
        add(writer, cell)
        add(writer, writer.series(COUNTER, ["later"]), 2.0)

    in_child(record)
    leave.set()
    thread.join()
    add(writer, writer.series(COUNTER, ["after"]), 3.0)  # the parent's lock is not stuck either
    (child,) = set(find_segments(segments)) - {parent}
    reader = read(child)
    values = {series.labels: reader.values[series.cell] for series in reader.series}
    assert {(): 1.0, ("later",): 2.0} == values
    reader.close()
    reader = read(parent)
    assert [(), ("x" * 40_000,), ("after",)] == [series.labels for series in reader.series]
    reader.close()


def test_a_fork_waits_for_a_series_that_is_being_made(writer, segments, monkeypatch):
    """The child knows it whole: it is as if the fork had come a moment later."""
    writer.series(TOTAL, [])
    parent = only_segment(segments)
    thread, leave = blocked_in_allocation(monkeypatch, writer)
    armed = [leave]
    os.register_at_fork(before=lambda: armed and armed.pop().set())  # runs before the writer's
    in_child(writer.revive)
    thread.join()
    (child,) = set(find_segments(segments)) - {parent}
    reader = read(child)
    assert [(), ("x" * 40_000,)] == [series.labels for series in reader.series]
    reader.close()


def test_a_child_of_a_file_being_made_holds_no_lock_of_it(writer, segments, monkeypatch):
    """The descriptor that locks is never inherited by a child that does not know of it."""
    entered = threading.Event()
    real, forked = fcntl.flock, []

    def flock(*arguments):
        real(*arguments)
        if threading.current_thread() is thread:
            entered.set()
            assert go_on.wait(20)

    monkeypatch.setattr(fcntl, "flock", flock)
    go_on = threading.Event()
    thread = threading.Thread(target=writer.series, args=(NATIVE, []), daemon=True)
    thread.start()
    assert entered.wait(20)
    armed = [go_on]
    os.register_at_fork(before=lambda: armed and armed.pop().set())

    def inherited():
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        forked.extend(os.readlink(link) for link in links if os.path.lexists(link))
        # The mapping's own duplicate may stay; it carries no lock.
        return sum(str(segments) in link for link in forked)

    assert in_child(inherited) <= 1
    thread.join()


def test_a_fork_that_did_not_get_the_lock_does_not_give_it_back(monkeypatch):
    """Of two threads that fork together, one may wait in vain; the other keeps what it has."""
    monkeypatch.setattr(fork, "FORK_WAIT_SECONDS", 0.01)
    lock = fork.ForkLock(threading.Event().set)
    lock.before_fork()

    def fork_in_vain():
        lock.before_fork()
        lock.after_fork_in_parent()
        return lock.held.acquire(blocking=False)

    with ThreadPoolExecutor(1) as other:
        assert not other.submit(fork_in_vain).result(20)
        lock.after_fork_in_parent()
        assert other.submit(lambda: lock.held.acquire(blocking=False)).result(20)


def test_threads_may_fork_at_the_same_time(writer, segments):
    """The lock is given back by whoever took it; nobody is stuck."""
    cell = writer.series(TOTAL, [])
    threads = [
        threading.Thread(target=in_child, args=(lambda: add(writer, cell),)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    other = threading.Thread(target=writer.series, args=(COUNTER, ["free"]), daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()
    assert [0.0, 1.0, 1.0, 1.0, 1.0] == sorted(v["calls_total",] for v in snapshots(segments))
