"""An exemplar is read as it was written, or not at all."""

import math
import threading
from array import array
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.store.exemplars import (
    MAX_RANGES,
    MAX_TIME,
    MIN_TIME,
    PAIR_CELLS,
    SLOT_CELLS,
    read_exemplar,
    write_exemplar,
)
from perfsdk.store.writer import SCRATCH
from tests.store.crafted import NATIVE_METRIC, outcome, segment_of
from tests.store.metrics import NATIVE, only_segment
from tests.store.processes import in_child

CELL = 3
CELLS = CELL + PAIR_CELLS + 3
NOW = 1_800_000_000.5

trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.floats(MIN_TIME, MAX_TIME)
exemplars = st.tuples(trace_ids, span_ids, finite, times)


def cells(data=None):
    """Cells as the writer has them."""
    return memoryview(bytearray(data or CELLS * 8)).cast("d")


def as_read(trace_id, span_id, value, seconds):
    """What a reader gives for it."""
    return f"{trace_id:032x}", f"{span_id:016x}", value, seconds


@given(st.lists(exemplars, min_size=1, max_size=5), st.integers(0, 2**60))
def test_the_newest_is_read_as_it_was_written(written, sequence):
    """Any ids, also those whose bits look like a NaN, in the mapping and in a reader's copy."""
    values = cells()
    for number, exemplar in enumerate(written):
        write_exemplar(values, CELL, sequence + number, *exemplar)
    assert as_read(*written[-1]) == read_exemplar(values, CELL)
    assert as_read(*written[-1]) == read_exemplar(array("d", values.tobytes()), CELL)
    assert [0.0] * CELL == values[:CELL].tolist()
    assert [0.0] * 3 == values[CELL + PAIR_CELLS :].tolist()


@given(exemplars, exemplars, exemplars, st.integers(0, SLOT_CELLS), st.booleans())
def test_a_torn_slot_is_never_a_mixture(first, second, third, stored, forwards):
    """Of a store that is seen half done, the one before is read; done, the new one."""
    before = cells()
    write_exemplar(before, CELL, 1, *first)
    write_exemplar(before, CELL, 2, *second)
    after = cells(before.tobytes())
    write_exemplar(after, CELL, 3, *third)
    torn = cells(before.tobytes())
    order = list(range(SLOT_CELLS))
    for cell in order[:stored] if forwards else order[SLOT_CELLS - stored :]:
        torn.cast("B").cast("Q")[CELL + SLOT_CELLS + cell] = (
            after.cast("B").cast("Q")[CELL + SLOT_CELLS + cell]
        )  # fmt: skip
    is_done = torn.tobytes() == after.tobytes()
    assert as_read(*(third if is_done else second)) == read_exemplar(torn, CELL)


@given(st.binary(min_size=CELLS * 8, max_size=CELLS * 8), st.integers(-5, CELLS + 5))
def test_garbage_is_no_exemplar(data, cell):
    """Whatever the cells hold and wherever the pair should be, nothing is read or raised."""
    assert read_exemplar(cells(data), cell) is None
    assert read_exemplar(array("d", data), cell) is None


@given(exemplars, st.integers(0, SLOT_CELLS * 64 - 1))
def test_a_flipped_bit_hides_the_slot(exemplar, bit):
    """The checksum covers every bit of a slot, its own too."""
    values = cells()
    write_exemplar(values, CELL, 2, *exemplar)
    values.cast("B")[CELL * 8 + bit // 8] ^= 1 << bit % 8
    assert read_exemplar(values, CELL) is None


@pytest.mark.parametrize(
    ("trace_id", "span_id", "value", "seconds"),
    [
        (0, 1, 0.5, NOW),
        (1, 0, 0.5, NOW),
        (1, 1, math.nan, NOW),
        (1, 1, math.inf, NOW),
        (1, 1, 0.5, math.nan),
        (1, 1, 0.5, 0.0),
        (1, 1, 0.5, -NOW),
        (1, 1, 0.5, math.inf),
    ],
)
def test_what_no_process_observes_is_left_out(trace_id, span_id, value, seconds):
    """A checksum that holds is not enough: there was such an observation, at some time."""
    values = cells()
    write_exemplar(values, CELL, 1, 7, 7, 0.25, NOW)
    write_exemplar(values, CELL, 2, trace_id, span_id, value, seconds)
    assert as_read(7, 7, 0.25, NOW) == read_exemplar(values, CELL)


def test_a_pair_is_made_once_and_described(writer, segments, open_reader):
    """Who asks again for the range of a series gets the same cells; a reader knows them."""
    cell = writer.series(NATIVE, ())
    known = {}
    pair = writer.exemplar(cell, 2, known)
    assert {2: pair} == known
    assert pair == writer.exemplar(cell, 2, known)
    write_exemplar(writer.values, pair, 1, 5, 6, 0.75, NOW)
    reader = open_reader(only_segment(segments))
    (series,) = reader.series
    assert {2: pair} == series.exemplars
    assert as_read(5, 6, 0.75, NOW) == read_exemplar(reader.values, series.exemplars[2])


def test_without_room_there_is_no_exemplar(make_writer):
    """A full segment gives the cell that belongs to nobody, and takes nothing."""
    writer = make_writer(size_bytes=1 << 20)
    cell = writer.series(NATIVE, ())
    while writer.block(cell, 0) != SCRATCH:
        pass
    end = writer.segment.cells_end
    known = {}
    assert SCRATCH == writer.exemplar(cell, 0, known)
    assert {} == known
    assert end == writer.segment.cells_end


def test_a_closed_writer_makes_no_exemplar(writer):
    """Nothing is written after the end."""
    cell = writer.series(NATIVE, ())
    writer.close()
    assert SCRATCH == writer.exemplar(cell, 0, {})


def test_a_forked_child_has_the_cells_but_not_the_exemplar(writer, segments, open_reader):
    """The same pair is described in the child's segment, and empty until the child writes."""
    cell = writer.series(NATIVE, ())
    pair = writer.exemplar(cell, 0, {})
    write_exemplar(writer.values, pair, 1, 5, 6, 0.75, NOW)
    before = only_segment(segments)

    def child():
        writer.revive()
        assert read_exemplar(writer.values, pair) is None
        write_exemplar(writer.values, pair, 2, 8, 9, 0.5, NOW)

    in_child(child)
    (after,) = {*segments.glob("*.seg")} - {before}
    found = []
    for path in (before, after):
        reader = open_reader(path)
        (series,) = reader.series
        found.append(read_exemplar(reader.values, series.exemplars[0]))
    assert [as_read(5, 6, 0.75, NOW), as_read(8, 9, 0.5, NOW)] == found


def test_readers_never_see_a_mixture_while_threads_write(writer, segments, open_reader):
    """Value, span id and time tell the same number as the trace id, in every snapshot."""
    cell = writer.series(NATIVE, ())
    pair = writer.exemplar(cell, 0, {})
    over = threading.Event()

    def write(first):
        number = first
        while not over.is_set():
            number += 2
            write_exemplar(
                writer.values, pair, number, number << 64 | number, number, number, NOW + number
            )

    threads = [threading.Thread(target=write, args=(first,)) for first in range(1, 3)]
    for thread in threads:
        thread.start()
    try:
        reader = open_reader(only_segment(segments))
        seen = set()
        deadline = time() + 20
        while len(seen) < 100 and time() < deadline:
            reader.refresh()
            found = read_exemplar(reader.values, pair)
            if found is not None:
                trace_id, span_id, value, seconds = found
                number = int(span_id, 16)
                assert (f"{number << 64 | number:032x}", number, NOW + number) == (
                    trace_id,
                    value,
                    seconds,
                )
                seen.add(number)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len(seen) >= 100


@pytest.mark.parametrize(
    "record",
    [
        ["exemplar", 64, -1, 128],
        ["exemplar", 64, MAX_RANGES, 128],
        ["exemplar", 64, 0, -1],
        ["exemplar", 64, 0, (1 << 12) - PAIR_CELLS + 1],
        ["exemplar", 65, 0, 128],
        ["exemplar", 1 << 80, 0, 128],
    ],
)
def test_a_pair_that_cannot_be_is_refused(file, record):
    """No range or cell that a writer would not make, and none of a series that is not there."""
    file.write_bytes(segment_of(["metric", 0, NATIVE_METRIC], ["series", 0, 64, []], record))
    assert "impossible exemplar record" == outcome(file)


def test_only_histograms_have_exemplars(file):
    """A counter's cells are no place for one."""
    counter = {"name": "a_total", "kind": "counter", "labels": [], "bounds": []}
    records = [["metric", 0, counter], ["series", 0, 64, []], ["exemplar", 64, 0, 128]]
    file.write_bytes(segment_of(*records))
    assert "impossible exemplar record" == outcome(file)
