"""Folding in any order and any number of steps gives the plain, exact sum."""

import math
from array import array
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.store.description import describe, parse_metric
from perfsdk.store.series import SeriesRecord, pack_places
from perfsdk_exporter.reaping.folding import Ended, RefusedError, apply, drop, fold, old_series
from perfsdk_exporter.segments.cells import MAX_COUNT, MAX_TOTAL
from tests.store.metrics import ACTIVE, COUNTER, NATIVE, SECONDS

COUNTS = parse_metric(describe(COUNTER))
WAITS = parse_metric(describe(SECONDS))
REQUESTS = parse_metric(describe(NATIVE))
GAUGE = parse_metric(describe(ACTIVE))


def segment(*series, started=1.0):
    """What a process recorded: `(metric, labels, cells, {block: counts})`."""
    values, records = array("d"), []
    for metric, labels, cells, *blocks in series:
        record, places = SeriesRecord(metric, labels, len(values)), {}
        values.extend(cells)
        for block, counts in (blocks[0] if blocks else {}).items():
            places[block] = len(values)
            values.extend(counts)
        record.block_places = pack_places(places)
        records.append(record)
    return Ended(records, values, started)


def add(totals, ended, now=100.0):
    apply(totals, fold(totals, ended, now))


def value(total):
    return Fraction(total.cells[0]) + Fraction(total.low)


reals = st.floats(0.0, 1e9).filter(lambda x: x == 0.0 or x > 1e-9)


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), reals), max_size=3), max_size=30))
def test_counters_are_summed_exactly(processes):
    """No rounding: the two parts are the sum of fractions, also of series described twice."""
    totals, expected = {}, {}
    for recorded in processes:
        add(totals, segment(*((COUNTS, (label,), [real]) for label, real in recorded)))
        for label, real in recorded:
            expected[label,] = expected.get((label,), 0) + Fraction(real)
    found = totals[COUNTS].series if totals else {}
    assert expected == {labels: value(total) for labels, total in found.items()}
    for total in found.values():
        # The first part alone is the nearest real: who does not know the second is not far off.
        assert total.cells[0] == float(value(total))


@given(st.lists(st.floats(-1e300, 1e300, allow_subnormal=True).map(lambda x: x / 1000), max_size=9))
def test_sums_of_very_different_sizes_lose_next_to_nothing(reals):
    """What is beyond twice the precision of a real is all that can be lost."""
    totals = {}
    for real in reals:
        add(totals, segment((WAITS, ("x",), [real, 0.0, 0.0, 0.0])))
    exact, scale = sum(map(Fraction, reals)), sum(abs(Fraction(real)) for real in reals)
    found = value(totals[WAITS].series["x",]) if totals else 0
    assert abs(found - exact) <= scale * Fraction(2) ** -95 + Fraction(2) ** -1050


def test_histograms_and_native_blocks():
    """Buckets and blocks are added one by one; a block of one process alone is kept."""
    totals = {}
    add(totals, segment((REQUESTS, (), [0.5, 1.0, 1.0, 2.0, 0.0], {3: [1, 0, 0, 0, 0, 0, 0, 1]})))
    add(
        totals, segment((REQUESTS, (), [0.25, 0.0, 2.0, 0.0, 0.0], {3: [0] * 8, -4: [2] + [0] * 7}))
    )
    (total,) = totals[REQUESTS].series.values()
    assert [0.75, 1.0, 3.0, 2.0, 0.0] == total.cells.tolist()
    expected = {3: [1, 0, 0, 0, 0, 0, 0, 1], -4: [2] + [0] * 7}
    assert expected == {block: counts.tolist() for block, counts in total.blocks.items()}


def test_different_descriptions_stay_apart():
    """Other bounds, another help text: a series of its own each; gauges are not kept."""
    other = replace(WAITS, bounds=(0.1, 2.0))
    totals = {}
    add(totals, segment((WAITS, ("x",), [1.0, 1.0, 0.0, 0.0]), (GAUGE, (), [1.0]), started=5.0))
    add(totals, segment((other, ("x",), [2.0, 1.0, 0.0, 0.0]), started=7.0))
    add(totals, segment((WAITS, ("x",), [4.0, 1.0, 0.0, 0.0]), started=6.0))
    assert [WAITS, other] == list(totals)
    assert [6.0, 7.0] == [known.started for known in totals.values()]
    assert [5.0, 2.0] == [value(known.series["x",]) for known in totals.values()]


INVALID = {
    "negative counter": (COUNTS, ("x",), [-1.0]),
    "not a number": (COUNTS, ("x",), [math.nan]),
    "infinite": (COUNTS, ("x",), [math.inf]),
    "too large": (COUNTS, ("x",), [MAX_TOTAL * 10]),
    "negative count": (WAITS, ("x",), [1.0, -1.0, 2.0, 0.0]),
    "half a count": (WAITS, ("x",), [1.0, 0.5, 0.5, 0.0]),
    "infinite sum": (WAITS, ("x",), [-math.inf, 0.0, 1.0, 0.0]),
    "too many": (WAITS, ("x",), [1.0, MAX_COUNT, 1024.0, 0.0]),
    "cells that are not there": (WAITS, ("x",), [1.0]),
    "half a native count": (REQUESTS, (), [1.0, 0.0, 1.0, 0.0, 0.0], {0: [0.5] * 2 + [0] * 6}),
    "native alone": (REQUESTS, (), [1.0, 0.0, 1.0, 0.0, 0.0], {0: [1.0] * 2 + [0] * 6}),
}


@pytest.mark.parametrize("case", INVALID)
def test_what_no_process_writes_is_refused_whole(case):
    """Not one series of such a segment gets into the totals."""
    totals = {}
    add(totals, segment((COUNTS, ("x",), [1.0])))
    with pytest.raises(RefusedError):
        fold(totals, segment((COUNTS, ("x",), [1.0]), INVALID[case]), 1.0)
    expected = {COUNTS: {("x",): 1}}
    assert expected == {m: {k: value(t) for k, t in s.series.items()} for m, s in totals.items()}


def test_a_total_never_becomes_one_that_no_page_shows():
    """Two valid values whose sum is not valid: the second is refused, the first stays."""
    for metric, cells in (
        (COUNTS, [MAX_TOTAL]),
        (WAITS, [0.0, MAX_COUNT, 0.0, 0.0]),
    ):
        totals = {}
        add(totals, segment((metric, ("x",), cells)))
        with pytest.raises(RefusedError, match="larger than any page"):
            fold(totals, segment((metric, ("x",), cells)), 1.0)
        assert cells == totals[metric].series["x",].cells.tolist()


def test_zeros_do_not_keep_a_series_young():
    """A worker that was forked with the series and never added to it changes nothing of it."""
    totals = {}
    add(totals, segment((COUNTS, ("x",), [1.0]), (COUNTS, ("new",), [0.0])), now=100.0)
    add(totals, segment((COUNTS, ("x",), [0.0])), now=200.0)
    assert 100.0 == totals[COUNTS].series["x",].added
    assert 100.0 == totals[COUNTS].series["new",].added
    add(totals, segment((COUNTS, ("x",), [2.0])), now=300.0)
    assert 300.0 == totals[COUNTS].series["x",].added


def test_series_grow_old():
    """Older than the retention is old; one from the future begins its time now."""
    totals = {}
    add(totals, segment((COUNTS, ("old",), [1.0])), now=100.0)
    add(totals, segment((COUNTS, ("young",), [1.0])), now=150.0)
    add(totals, segment((COUNTS, ("future",), [1.0])), now=1e9)
    expected = [(COUNTS, ("old",))]
    assert expected == list(old_series(totals, 161.0, 60.0))
    assert 161.0 == totals[COUNTS].series["future",].added
    drop(totals, expected)
    assert {("young",), ("future",)} == totals[COUNTS].series.keys()
    drop(totals, [(COUNTS, ("young",)), (COUNTS, ("future",))])
    assert {} == totals
