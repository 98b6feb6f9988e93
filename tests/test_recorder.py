"""What is recorded is exact, bounded, and never raised into the application."""

import errno
import gc
import math
import os
import random
import signal
import sys
import threading
import time
import tracemalloc
from bisect import bisect_left
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from perfsdk import guard
from perfsdk.catalog import (
    DROPPED_SERIES,
    HTTP14,
    INTERNAL_ERRORS,
    LABEL_BOUNDS,
    OVERFLOW,
    SERIES,
    Metric,
)
from perfsdk.recorder import (
    HIGHEST_INDEX,
    LOWEST_INDEX,
    MAX_LABEL_LENGTH,
    NATIVE_EDGES,
    NativeHistogramSeries,
    Recorder,
)
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import SCRATCH, Writer
from perfsdk.testing import Recording
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.location import Location
from tests.store.metrics import only_segment, read
from tests.store.processes import in_child

CALLS = Metric(name="calls_total", kind="counter", help="Calls.", labels=("kind",))
LEVEL = Metric(name="level", kind="gauge", help="A level.", labels=("kind",))
SIZES = Metric(
    name="sizes_bytes", kind="histogram", help="Sizes.", labels=("kind",), bounds=(1.0, 10.0)
)
TIMES = Metric(
    name="times_seconds",
    kind="histogram",
    help="Times.",
    labels=("kind",),
    bounds=HTTP14,
    native=True,
)
FEW = Metric(
    name="few_total", kind="counter", help="Few.", labels=("kind", "colour"), max_series=10
)
CACHES = Metric(name="caches_total", kind="counter", help="C.", labels=("cache_name", "result"))
CACHE_NAMES = LABEL_BOUNDS["cache_name"]

THREADS = 8
ROUNDS = 3000


@pytest.fixture
def recording(perfsdk_dir):
    """A recorder, and what it wrote."""
    with Recording(perfsdk_dir) as made:
        yield made


@pytest.fixture
def recorder(recording):
    """A recorder into the directory of the test."""
    return recording.recorder


@pytest.fixture
def switching_often():
    """Threads change places as often as the interpreter allows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_memory():
    """A recorder that writes no file."""
    return Recorder(Writer(None))


def native_series(recorder=None):
    """A series with native buckets."""
    series = (recorder or in_memory()).histogram(TIMES)["one",]
    assert isinstance(series, NativeHistogramSeries)
    return series


def native_counts(series):
    """Observations by native index, the zero bucket as None."""
    values = series.writer.values
    counts = {
        block * 8 + offset: values[cell + offset]
        for block, cell in series.blocks.items()
        for offset in range(8)
    }
    counts[None] = values[series.base + 1]
    return {index: count for index, count in counts.items() if count}


def classic_counts(series):
    """Observations by classic bucket."""
    first = series.base + 2
    return list(series.writer.values[first : first + len(series.bounds) + 1])


# --- exact ---


@pytest.mark.usefixtures("switching_often")
def test_totals_are_exact(recorder, recording):
    """8 threads, collector callbacks and signal handlers record, also into new series."""
    calls, sizes = recorder.counter(CALLS), recorder.histogram(SIZES)
    level, times = recorder.gauge(LEVEL), recorder.histogram(TIMES)
    durations = [0.0007 * 1.3**power for power in range(30)]
    asides = {"collected": 0, "interrupted": 0}

    def record_aside(kind):
        asides[kind] += 1
        calls.add(("shared",))
        times.observe(("shared",), durations[asides[kind] % 30])
        sizes.observe((f"{kind} {asides[kind] % 50}",), 2.0)

    def collected(phase, _):
        if phase == "stop":
            record_aside("collected")

    start = threading.Barrier(THREADS)

    def work(number):
        start.wait()
        for index in range(ROUNDS):
            calls.add(("shared",))
            times.observe(("shared",), durations[index % 30])
            sizes.observe(("shared",), float(index % 20))
            if index % 50 == 0:
                calls.add((f"together {index}",), number)
                level.set((f"thread {number}",), index)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    threshold, handler = gc.get_threshold(), signal.getsignal(signal.SIGPROF)
    gc.callbacks.append(collected)
    gc.set_threshold(50, 2, 2)
    signal.signal(signal.SIGPROF, lambda *_: record_aside("interrupted"))
    signal.setitimer(signal.ITIMER_PROF, 0.0005, 0.0005)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        gc.callbacks.remove(collected)
        gc.set_threshold(*threshold)
    assert not any(thread.is_alive() for thread in threads)
    assert all(asides.values())
    aside = sum(asides.values())
    assert THREADS * ROUNDS + aside == recording.value("calls_total", kind="shared")
    assert THREADS * ROUNDS == recording.count("sizes_bytes", kind="shared")
    assert THREADS * ROUNDS / 20 * 190 == recording.sum("sizes_bytes", kind="shared")
    assert aside == recording.count("sizes_bytes") - THREADS * ROUNDS
    observed = THREADS * ROUNDS + aside
    assert observed == recording.count("times_seconds", kind="shared")
    assert observed == sum(native_counts(times["shared",]).values())
    reader = read(only_segment(recording.directory))
    reader.close()
    (described,) = [s for s in reader.series if s.metric.name == TIMES.name and s.blocks]
    cells = [cell + index for cell in described.blocks.values() for index in range(8)]
    assert observed == sum(reader.values[cell] for cell in cells)
    for index in range(0, ROUNDS, 50):
        assert sum(range(THREADS)) == recording.value("calls_total", kind=f"together {index}")
    assert {f"thread {n}" for n in range(THREADS)} == {s["kind"] for s in recording.series("level")}


def meeting(call):
    """The same call, but the first two threads in it leave it together."""
    barrier = threading.Barrier(2)
    lock, inside = threading.Lock(), []

    def met(*arguments, **keywords):
        result = call(*arguments, **keywords)
        with lock:
            inside.append(None)
            waits = len(inside) <= 2
        if waits:
            barrier.wait(10)
        return result

    return met


def both(work):
    """Run it in two threads."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_threads_that_make_a_series_together_use_one(recorder, recording, monkeypatch):
    """A gauge that one thread raises and another one lowers is 0 again, never stuck."""
    level = recorder.gauge(LEVEL)
    level.set(("other",), 0.0)
    cells = []
    monkeypatch.setattr(recording._writer, "series", meeting(recording._writer.series))
    both(lambda _: cells.append(level["new",]))
    assert [cells[0]] * 2 == cells
    level.set(("new",), 7.0)
    level.set(("new",), 3.0)
    assert 3.0 == recording.value("level", kind="new")


def test_threads_that_make_a_block_together_use_one(recorder, recording, monkeypatch):
    """Both observations are in the native bucket that a reader sees."""
    series = native_series(recorder)
    barrier, block = threading.Barrier(2), recording._writer.block

    def together(*arguments):
        barrier.wait(10)
        return block(*arguments)

    monkeypatch.setattr(recording._writer, "block", together)
    both(lambda _: series.observe(0.3))
    series.observe(0.3)
    reader = read(only_segment(recording.directory))
    reader.close()
    (described,) = [s for s in reader.series if s.metric.name == TIMES.name]
    assert 3.0 == sum(reader.values[c + i] for c in described.blocks.values() for i in range(8))


# --- histograms ---

POWERS_OF_TWO = [2.0**power for power in range(-24, 18)]
DURATIONS = st.one_of(
    st.floats(2.0**-24, 2.0**17),
    st.floats(1e-6, 100.0),
    st.sampled_from(POWERS_OF_TWO),
    st.sampled_from(HTTP14),
    st.sampled_from(NATIVE_EDGES).map(lambda edge: math.nextafter(edge, 0.0)),
    st.sampled_from(NATIVE_EDGES).map(lambda edge: math.nextafter(edge, math.inf)),
)
ANYTHING = st.one_of(
    DURATIONS, st.floats(), st.sampled_from([0.0, -0.0, -1.0, 5e-324, 1e308, math.inf, math.nan])
)


@given(DURATIONS)
@example(1.0)
@example(0.3)
def test_a_native_index_is_what_the_format_says(value):
    """`ceil(log2(x) * 8)`, by exact arithmetic; also next to the bounds."""
    assume(2.0**-24 < value <= 2.0**17)
    assume(value not in NATIVE_EDGES or value in POWERS_OF_TWO)
    series = native_series()
    series.observe(value)
    ((index, count),) = native_counts(series).items()
    assert 1.0 == count
    power = Fraction(value) ** 8
    assert Fraction(2) ** (index - 1) < power <= Fraction(2) ** index
    if value in POWERS_OF_TWO:
        assert math.log2(value) * 8 == index


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_native_indices_end_at_60_ns_and_36_h(value):
    """What lies beyond shares the outermost buckets, so that a series stays small."""
    series = native_series()
    series.observe(value)
    ((index, _),) = native_counts(series).items()
    assert LOWEST_INDEX <= index <= HIGHEST_INDEX
    if value <= 2.0**-24:
        assert LOWEST_INDEX == index
    if value > 2.0**17:
        assert HIGHEST_INDEX == index


@given(st.lists(ANYTHING, max_size=60))
def test_classic_and_native_buckets_agree(values):
    """Every finite value is in one bucket of each kind, the others are counted as errors."""
    recorder = in_memory()
    series = native_series(recorder)
    for value in values + values:  # remembered cells the second time
        series.observe(value)
    finite = [value for value in values if math.isfinite(value)] * 2
    expected = [0.0] * (len(HTTP14) + 1)
    for value in finite:
        expected[bisect_left(HTTP14, value)] += 1.0
    assert expected == classic_counts(series)
    counts = native_counts(series)
    assert len(finite) == sum(counts.values())
    assert sum(value <= 0 for value in finite) == counts.get(None, 0)
    for index, count in counts.items():
        if index is not None and LOWEST_INDEX < index < HIGHEST_INDEX:
            inside = [v for v in finite if NATIVE_EDGES[index - LOWEST_INDEX - 1] < v]
            assert count == sum(v <= NATIVE_EDGES[index - LOWEST_INDEX] for v in inside)
    total = 0.0
    for value in finite:
        total += value
    assert total == series.writer.values[series.base]
    errors = recorder.counter(INTERNAL_ERRORS)
    dropped = len(values) * 2 - len(finite)
    assert dropped == (errors.writer.values[errors["recorder.not_finite",]] if dropped else 0)


@given(st.lists(ANYTHING, max_size=60))
def test_classic_histograms_take_finite_values_only(values):
    """One NaN would spoil the sum for ever."""
    recorder = in_memory()
    sizes = recorder.histogram(SIZES)
    for value in values:
        sizes.observe(("one",), value)
    finite = [value for value in values if math.isfinite(value)]
    series = sizes["one",]
    cells = recorder.writer.values
    assert len(finite) == sum(cells[series.first : series.first + 3])
    assert sum(value <= 1.0 for value in finite) == cells[series.first]
    total = 0.0
    for value in finite:
        total += value
    assert total == cells[series.base]
    errors = recorder.counter(INTERNAL_ERRORS)
    if len(values) > len(finite):
        assert len(values) - len(finite) == cells[errors["recorder.not_finite",]]


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize("metric", [SIZES, TIMES], ids=["classic", "native"])
@pytest.mark.parametrize("value", ["text", None, [], b"1"])
def test_what_is_no_number_is_dropped(metric, value, recording):
    """Nothing raises, nothing is counted."""
    series = recording.recorder.histogram(metric)["one",]
    series.observe(value)
    assert 0 == recording.count(metric.name)


def test_blocks_are_made_when_first_hit():
    """A new series has none; a second value in the same doubling makes none."""
    series = native_series()
    made = []
    for value in (None, 0.3, 0.35, 0.6, 0.3, 0.0):
        if value is not None:
            series.observe(value)
        made.append(len(series.blocks))
    assert [0, 1, 1, 2, 2, 2] == made


def test_a_series_of_realistic_durations_is_small():
    """A route between 2 ms and a few seconds takes less than 1 KB of cells."""
    generator = random.Random(1)
    recorder = in_memory()
    series = native_series(recorder)
    before = recorder.writer.segment.cells_end
    for _ in range(20_000):
        series.observe(generator.lognormvariate(math.log(0.02), 1.0))
    added = recorder.writer.segment.cells_end - before
    own = 2 + len(HTTP14) + 1
    assert len(series.blocks) >= 8
    assert (own + added) * 8 <= 1024


def test_a_reader_sees_what_was_observed(recorder, recording):
    """Through the file, sums and counts of both kinds of histograms are right."""
    for value in (0.001, 0.3, 0.3, 20.0, 0.0):
        recorder.histogram(TIMES).observe(("a",), value)
        recorder.histogram(SIZES).observe(("a",), value)
    for name in (TIMES.name, SIZES.name):
        assert 5 == recording.count(name)
        assert 20.601 == pytest.approx(recording.sum(name))
    reader = read(only_segment(recording.directory))
    reader.close()
    (times,) = [s for s in reader.series if s.metric.name == TIMES.name]
    assert {index >> 3 for index in (-79, -13, 35)} == set(times.blocks)


# --- bounds ---


def test_past_the_bound_of_a_metric_values_go_to_one_series(recorder, recording, caplog):
    """No value is lost; it is counted, and said once with the metric and the label that grew."""
    few = recorder.counter(FEW)
    for number in range(40):
        few.add((f"kind {number}", ("red", "blue")[number % 2]))
    few.add(("kind 3", "blue"))
    assert 41 == recording.value("few_total")
    assert 30 == recording.value("few_total", kind=OVERFLOW, colour=OVERFLOW)
    assert 2 == recording.value("few_total", kind="kind 3")
    assert 11 == len(recording.series("few_total"))
    assert 30 == recording.value(DROPPED_SERIES.name, metric="few_total", label="kind")
    (message,) = caplog.messages
    assert "few_total" in message
    assert "label kind" in message
    assert OVERFLOW in message


def test_past_the_bound_of_a_label_only_that_label_overflows(recorder, recording, caplog):
    """The other labels keep their values."""
    caches = recorder.counter(CACHES)
    for number in range(CACHE_NAMES + 20):
        for result in ("hit", "miss"):
            caches.add((f"cache {number}", result))
    caches.add(("cache 7", "new result"))
    assert 2 * (CACHE_NAMES + 1) + 1 == len(recording.series("caches_total"))
    assert 20 == recording.value("caches_total", cache_name=OVERFLOW, result="hit")
    assert 1 == recording.value("caches_total", cache_name="cache 7", result="new result")
    dropped = recording.value(DROPPED_SERIES.name, metric="caches_total", label="cache_name")
    assert 40 == dropped
    (message,) = caplog.messages
    assert "caches_total" in message
    assert "cache_name" in message


@pytest.mark.parametrize("metric", [FEW, CACHES], ids=["metric", "label"])
def test_memory_is_bounded_whatever_arrives(metric):
    """Label values that were turned away leave nothing behind in this process."""
    recorder = in_memory()
    family = recorder.counter(metric)

    def arrive(first, count):
        for number in range(first, first + count):
            family.add((f"value {number}", "x"))

    arrive(0, 3000)
    series = len(family)
    assert series <= CACHE_NAMES + 1
    cells = recorder.writer.segment.cells_end
    gc.collect()
    tracemalloc.start()
    try:
        arrive(3000, 1000)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        arrive(4000, 20_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert series == len(family)
    assert cells == recorder.writer.segment.cells_end
    assert after - before < 4000
    assert len(guard._logged) <= 2


def test_an_overflow_value_of_the_application_is_that_series():
    """Asking for it makes it, without a warning or a drop."""
    recorder = in_memory()
    few = recorder.counter(FEW)
    few.add((OVERFLOW, OVERFLOW))
    assert [(OVERFLOW, OVERFLOW)] == list(few)
    assert 0 == len(recorder.counter(DROPPED_SERIES))


# --- label values ---


def test_long_values_are_cut(recorder, recording):
    """At 120 characters; what is alike up to there is one series."""
    calls = recorder.counter(CALLS)
    for end in "abc":
        calls.add(("é" * 200 + end,))
        calls.add(("é" * MAX_LABEL_LENGTH,))
    assert [{"kind": "é" * 120}] == recording.series("calls_total")
    assert 6 == recording.value("calls_total")


def test_a_metric_may_keep_longer_values(recorder, recording):
    """As many characters as it says, of each of its labels."""
    long = Metric(name="long_total", kind="counter", help="L.", labels=("kind",), label_length=300)
    recorder.counter(long).add(("é" * 400,))
    recorder.counter(long).add(("é" * 300,))
    assert [{"kind": "é" * 300}] == recording.series("long_total")


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(), max_size=150), min_size=1, max_size=8))
def test_any_text_may_be_a_label_value(values):
    """Control characters, lone surrogates, anything: nothing raises and readers take it."""
    with Recording() as recording:
        calls = recording.recorder.counter(CALLS)
        for value in values:
            calls.add((value,))
        kinds = [labels["kind"] for labels in recording.series("calls_total")]
        assert len(values) == recording.value("calls_total")
        for kind in kinds:
            kind.encode()
            assert len(kind) <= MAX_LABEL_LENGTH
        expected = {v[:120].encode("utf-8", "replace").decode() for v in values}
        assert expected == set(kinds)


class Shown:
    """Something whose text is what counts."""

    def __str__(self):
        return "shown"


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (None, "None"), (Shown(), "shown")])
def test_values_that_are_no_text_are_written_as_text(value, text, recorder, recording):
    """A label is text, whatever an integration hands in."""
    recorder.counter(CALLS).add((value,))
    assert [{"kind": text}] == recording.series("calls_total")


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize("labels", [(), ("a", "b"), None, 7, [["unhashable"]], (["unhashable"],)])
def test_wrong_labels_are_reported_not_raised(labels, recorder, recording):
    """A mistake of ours costs the value, nothing else."""
    guard.count_error = recorder.count_error
    recorder.counter(CALLS).add(("right",))
    recorder.counter(CALLS).add(labels)
    recorder.gauge(LEVEL).set(labels, 1.0)
    recorder.histogram(SIZES).observe(labels, 1.0)
    assert 3 == recording.value(INTERNAL_ERRORS.name)
    assert 1 == recording.value("calls_total")


# --- fork, loss, and the end ---


def test_after_a_fork_the_same_objects_record_for_the_child(recorder, recording):
    """The child has a segment of its own, from zero; the parent's is as it was."""
    calls, times = recorder.counter(CALLS), recorder.histogram(TIMES)
    sizes, level = recorder.histogram(SIZES)["one",], recorder.gauge(LEVEL)
    calls.add(("before",), 5)
    series = times["one",]
    series.observe(0.3)
    sizes.observe(3.0)
    level.set(("one",), 9.0)
    bound = series.observe

    def child():
        bound(0.3)
        bound(0.6)
        sizes.observe(30.0)
        calls.add(("before",))
        calls.add(("new",))
        level.set(("two",), 2.0)
        return len(find_segments(recording.directory))

    assert 2 == in_child(child)
    assert 6 == recording.value("calls_total", kind="before")
    assert 1 == recording.value("calls_total", kind="new")
    assert 3 == recording.count("times_seconds")
    assert 1.2 == pytest.approx(recording.sum("times_seconds"))
    assert 2 == recording.count("sizes_bytes")
    assert 2.0 == recording.value("level", kind="two")
    calls.add(("before",))
    assert 7 == recording.value("calls_total", kind="before")


@pytest.mark.parametrize("first", ["add", "set", "classic", "native"])
def test_whatever_records_first_after_a_fork(first, recorder, recording):
    """Every kind of recording finds its way into the child's segment."""
    add, put = recorder.counter(CALLS), recorder.gauge(LEVEL)
    classic, native = recorder.histogram(SIZES)["one",], recorder.histogram(TIMES)["one",]
    actions = {
        "add": lambda: add.add(("one",)),
        "set": lambda: put.set(("one",), 1.0),
        "classic": lambda: classic.observe(1.0),
        "native": lambda: native.observe(1.0),
    }
    for action in actions.values():
        action()
    in_child(actions[first])
    assert (first == "add") + 1 == recording.value("calls_total")
    assert (first == "set") + 1 == recording.value("level")
    assert (first == "classic") + 1 == recording.count("sizes_bytes")
    assert (first == "native") + 1 == recording.count("times_seconds")


def test_a_child_that_records_nothing_makes_no_file(recorder, recording):
    """Forks for other purposes leave nothing in the directory."""
    recorder.counter(CALLS).add(("one",))
    assert 1 == in_child(lambda: len(find_segments(recording.directory)))


def fill(recorder):
    """Record into new series until there is no more room."""
    calls = recorder.counter(Metric(**(asdict(CALLS) | {"max_series": 1_000_000})))
    number = 0
    while calls[f"{number} {'x' * 100}",] != SCRATCH:
        number += 1
    return calls, number


def asdict(metric):
    """The metric's fields."""
    return {name: getattr(metric, name) for name in Metric.__dataclass_fields__}


@pytest.fixture
def small(tmp_path):
    """A recorder with little room."""
    writer = Writer(tmp_path, size_bytes=1 << 20)
    yield Recorder(writer)
    writer.close()


def test_a_full_segment_drops_new_series_and_says_so(small, tmp_path, caplog):
    """Known series go on, nothing raises, what is dropped is counted and said once."""
    small.histogram(TIMES).observe(("known",), 0.3)
    calls, number = fill(small)
    for metric in (SIZES, TIMES):
        small.histogram(metric).observe(("new",), 1.0)
        small.histogram(metric).observe(("new",), 1.0)
    small.gauge(LEVEL).set(("new",), 1.0)
    for power in range(-20, 17):
        small.histogram(TIMES).observe(("known",), 2.0**power)
    calls.add(("1 " + "x" * 100,), 3)
    with Recording(tmp_path) as recording:
        assert number == len(recording.series("calls_total"))
        assert 3 == recording.value("calls_total")
        assert 38 == recording.count("times_seconds", kind="known")
        assert 1 == recording.value(DROPPED_SERIES.name, metric="calls_total")
        assert 2 == recording.value(DROPPED_SERIES.name, metric="sizes_bytes")
    (message,) = caplog.messages
    assert "no room" in message
    assert "PERFSDK_SEGMENT_SIZE_BYTES" in message


def test_a_full_disk_drops_new_series(small, tmp_path, monkeypatch):
    """No space left when more is to be reserved: the same."""
    small.counter(CALLS).add(("known",))

    def posix_fallocate(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    _, number = fill(small)
    small.counter(CALLS).add(("known",))
    assert number < 2000
    with Recording(tmp_path) as recording:
        assert 2 == recording.value("calls_total", kind="known")
        assert recording.value(DROPPED_SERIES.name, metric="calls_total")


def test_a_closed_writer_takes_nothing_and_says_nothing(recorder, recording, caplog):
    """What still records after the end is silently ignored, known series and new ones."""
    families = recorder.counter(CALLS), recorder.gauge(LEVEL)
    histograms = recorder.histogram(SIZES), recorder.histogram(TIMES)
    families[0].add(("known",))
    for histogram in histograms:
        histogram.observe(("known",), 0.3)
    recording._writer.close()
    for kind in ("known", "new"):
        families[0].add((kind,))
        families[1].set((kind,), 1.0)
        for histogram in histograms:
            for value in (0.3, 0.3, 100.0, 0.0, math.nan):
                histogram.observe((kind,), value)
    recorder.sample()
    recorder.count_error("somewhere")
    assert 1 == recording.value("calls_total")
    assert [1, 1] == [recording.count(metric.name) for metric in (SIZES, TIMES)]
    assert [] == caplog.messages


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize("error", [RuntimeError, IndexError, KeyError, TypeError, OSError])
@pytest.mark.parametrize("failing", ["series", "block", "revive"])
def test_a_failing_store_does_not_reach_the_application(failing, error, recorder, recording):
    """Whatever the writer raises."""
    recorder.counter(CALLS).add(("known",))

    def fail(*_, **__):
        raise error("inside")

    writer = recording._writer
    native = recorder.histogram(TIMES)["known",]
    setattr(writer, failing, fail)
    recorder.counter(CALLS).add(("known",))
    recorder.counter(CALLS).add(("new",))
    recorder.gauge(LEVEL).set(("new",), 1.0)
    recorder.histogram(SIZES).observe(("new",), 1.0)
    recorder.histogram(TIMES).observe(("new",), 1.0)
    native.observe(0.3)
    native.observe(-1.0)
    recorder.count_error("new")
    recorder.sample()
    delattr(writer, failing)
    assert 2 == recording.value("calls_total", kind="known")


# --- families and samples ---


def test_a_family_is_made_once(recorder):
    """Asking for the same metric gives the same object; another kind is a mistake."""
    assert recorder.counter(CALLS) is recorder.counter(CALLS)
    with pytest.raises(TypeError, match="calls_total is a Counter"):
        recorder.histogram(CALLS)
    with pytest.raises(TypeError, match="calls_total is a Counter"):
        recorder.gauge(CALLS)


def test_a_gauge_is_set(recorder, recording):
    """The last value stays."""
    for value in (3.0, -2.5):
        recorder.gauge(LEVEL).set(("one",), value)
    assert -2.5 == recording.value("level")


@pytest.mark.usefixtures("swallow_errors")
def test_samples_are_taken_until_they_are_taken_back(recorder, recording):
    """One that raises is reported and the others run; the number of series is written."""
    guard.count_error = recorder.count_error
    calls = []

    def broken():
        calls.append("broken")
        raise ValueError

    recorder.on_sample(broken)
    stop = recorder.on_sample(lambda: calls.append("first"))
    recorder.on_sample(lambda: calls.append("second"))
    recorder.counter(CALLS).add(("one",))
    recorder.counter(CALLS).add(("two",))
    recorder.sample()
    stop()
    recorder.sample()
    assert ["broken", "first", "second", "broken", "second"] == calls
    assert 2 == recording.value(SERIES.name, metric="calls_total")
    assert 2 == recording.value(INTERNAL_ERRORS.name, where="recorder.sample")


def test_a_newest_gauge_notes_when_it_was_set(tmp_path):
    """Of two processes the value that was set last is shown, whichever began last."""
    metric = Metric(name="config_version", kind="gauge", help="Version in use.", merge="newest")
    first, second = Writer(tmp_path), Writer(tmp_path)
    gauges = [Recorder(writer).gauge(metric) for writer in (first, second)]
    collector = Collector(Location(str(tmp_path), None))
    for turn in (0, 1, 0, 1):
        before = time.time()
        gauges[turn].set((), float(turn))
        cell = gauges[turn][()]
        assert before <= gauges[turn].writer.values[cell + 1] <= time.time()
        (family,) = (f for f in collector.collect().families if f.name == metric.name)
        assert {(): float(turn)} == family.values
    collector.close()
    first.close()
    gauges[0].set((), 5.0)  # nothing to store it in, and nothing raised
    second.close()
