"""No increment is lost and nothing overlaps, whoever records and whatever is interrupted."""

import errno
import gc
import os
import random
import signal
import sys
import threading

import pytest

from perfsdk.store.writer import SCRATCH
from tests.store.metrics import COUNTER, NATIVE, SECONDS, TOTAL, only_segment, read, snapshot

THREADS = 8
ROUNDS = 10_000
ROUNDS_A_SERIES = 200


@pytest.fixture
def switching_often():
    """Threads change places as often as the interpreter allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def collecting_often():
    """The garbage collector runs every few objects."""
    before = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    yield
    gc.set_threshold(*before)


@pytest.fixture
def on_signals():
    """Calls a function every 0.2 ms of processor time, from a signal handler."""
    before = signal.getsignal(signal.SIGPROF)

    def begin(function):
        signal.signal(signal.SIGPROF, lambda *_: function())
        signal.setitimer(signal.ITIMER_PROF, 0.0002, 0.0002)

    yield begin
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.usefixtures("switching_often", "collecting_often")
def test_totals_are_exact(writer, segments, on_signals):
    """8 threads, collector callbacks and signal handlers make series and add: all is there."""
    shared = writer.series(TOTAL, [])
    interrupts, collections, made = [], [], []
    start = threading.Barrier(THREADS + 1)

    def record_aside(kind, seen):
        seen.append(None)
        writer.values[shared] += 1.0
        if len(seen) % 10 == 0:
            cell = writer.series(COUNTER, [f"{kind} {len(seen)}"])
            made.append(cell)
            writer.values[cell] += 2.0

    def collected(phase, _):
        if phase == "stop":
            record_aside("collected", collections)

    def work(number):
        start.wait()
        own = writer.series(COUNTER, [f"thread {number}"])
        for index in range(ROUNDS):
            writer.values[shared] += 1.0
            writer.values[own] += 1.0
            if index % ROUNDS_A_SERIES == 0:
                histogram = writer.series(SECONDS, [f"{number} {index}"])
                made.append(histogram)
                writer.values[histogram + 1] += 1.0

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    gc.callbacks.append(collected)
    try:
        for thread in threads:
            thread.start()
        on_signals(lambda: record_aside("interrupt", interrupts))
        start.wait()
        mine = writer.series(COUNTER, ["main"])
        for _ in range(ROUNDS):
            writer.values[shared] += 1.0
            writer.values[mine] += 1.0
        for thread in threads:
            thread.join(60)
    finally:
        gc.callbacks.remove(collected)
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert not any(thread.is_alive() for thread in threads)
    assert SCRATCH not in made
    assert len(made) == len(set(made))
    values = snapshot(segments)
    expected = (THREADS + 1) * ROUNDS + len(interrupts) + len(collections)
    assert expected == values["calls_total",]
    assert interrupts
    assert collections
    for number in range(THREADS):
        assert ROUNDS == values["keys_total", f"thread {number}"]
    assert ROUNDS == values["keys_total", "main"]
    asides = [value for (_, *labels), value in values.items() if labels and " " in labels[0]]
    assert 2.0 * (len(interrupts) // 10 + len(collections) // 10) == sum(
        value for value in asides if value == 2.0
    )
    reader = read(only_segment(segments))
    buckets = [reader.values[s.cell + 1] for s in reader.series if s.metric.kind == "histogram"]
    assert [1.0] * (THREADS * ROUNDS // ROUNDS_A_SERIES) == buckets
    assert 0 == reader.unreadable_records
    reader.close()


@pytest.mark.usefixtures("switching_often")
def test_threads_that_open_together_get_one_segment(make_writer, segments):
    """The first series of many threads at once makes one file."""
    for _ in range(5):
        writer = make_writer()
        start = threading.Barrier(THREADS)

        def work(writer=writer, start=start):
            start.wait()
            cell = writer.series(COUNTER, [threading.current_thread().name])
            writer.values[cell] += 1.0

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close()
        values = snapshot(segments)
        assert [1.0] * THREADS == list(values.values())
        only_segment(segments).unlink()


class InterruptedByHandlerError(Exception):
    """What a signal handler raises into whatever runs."""


class Interruptions:
    """Records, as a signal handler would, after every system call of an allocation."""

    def __init__(self, writer, patch):
        self.writer = writer
        self.made = {}
        self.depth = 0
        for name in ("posix_fallocate", "pwrite", "ftruncate", "rename"):
            patch.setattr(os, name, self._interrupted(getattr(os, name)))

    def _interrupted(self, call):
        def interrupted(*arguments):
            try:
                return call(*arguments)
            finally:
                self._record()

        return interrupted

    def _record(self):
        if self.depth < 2 and len(self.made) < 3000:
            self.depth += 1
            name = f"interruption {len(self.made)}"
            self.made[name] = 0  # taken
            self.made[name] = self.writer.series(COUNTER, [name + "x" * 500])
            self.writer.values[self.made[name]] += 7.0
            self.depth -= 1


@pytest.mark.parametrize("fallocate", ["works", "refused"])
def test_an_allocation_inside_an_allocation_takes_other_room(
    fallocate, writer, segments, monkeypatch
):
    """However allocations nest, also that of the file: no cell twice, no value wiped out."""
    if fallocate == "refused":

        def posix_fallocate(*_):
            raise OSError(errno.EOPNOTSUPP, "refused")

        monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    interruptions = Interruptions(writer, monkeypatch)
    outer = {}
    for index in range(600):
        outer[f"outer {index}"] = cell = writer.series(COUNTER, [f"outer {index}" + "x" * 500])
        writer.values[cell] += 3.0
        native = writer.series(NATIVE, [])
        writer.values[writer.block(native, 0)] += 1.0
    assert interruptions.made
    cells = [*outer.values(), *interruptions.made.values()]
    assert SCRATCH not in cells
    assert len(cells) == len(set(cells))
    values = {
        labels[0].rstrip("x"): value for (_, *labels), value in snapshot(segments).items() if labels
    }
    expected = dict.fromkeys(outer, 3.0) | dict.fromkeys(interruptions.made, 7.0)
    assert expected == values
    assert [] == list(segments.glob(".*"))


def test_a_handler_during_maintenance_loses_nothing(writer, segments, monkeypatch):
    """A series made while the file is replaced is in the file that stays."""
    cell = writer.series(TOTAL, [])
    writer.values[cell] += 1.0
    only_segment(segments).unlink()
    with monkeypatch.context() as patch:
        interruptions = Interruptions(writer, patch)
        writer.maintain()
    assert interruptions.made
    writer.maintain()
    values = snapshot(segments)
    assert 1.0 == values.pop(("calls_total",))
    assert [7.0] * len(interruptions.made) == list(values.values())


def test_a_handler_that_raises_leaves_no_hole(writer, segments, monkeypatch):
    """A time limit that strikes in the middle of a record costs that series at most."""
    generator = random.Random(7)
    real = os.posix_fallocate
    interruptions = Interruptions(writer, monkeypatch)
    kept, lost = [], 0

    def posix_fallocate(*arguments):
        real(*arguments)
        if generator.random() < 0.5:
            interruptions._record()
        if generator.random() < 0.5:
            raise InterruptedByHandlerError

    writer.series(TOTAL, [])
    monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    for index in range(400):
        try:
            writer.series(SECONDS, [f"{index} {'x' * 2000}"])
        except InterruptedByHandlerError:  # noqa: PERF203 - it is the point of the loop
            lost += 1
        else:
            kept.append(str(index))
    assert lost > 5
    assert len(kept) > 100
    reader = read(only_segment(segments))
    assert writer.segment.records_end == reader._records_read
    described = {s.labels[0].split()[0] for s in reader.series if s.labels}
    assert set(kept) <= described
    assert 0 == reader.unreadable_records
    reader.close()
    free = threading.Thread(target=writer.series, args=(COUNTER, ["free"]), daemon=True)
    free.start()
    free.join(10)
    assert not free.is_alive()
