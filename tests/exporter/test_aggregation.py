"""Totals over processes equal a plain model, and what no process writes never gets into them."""

import math
from array import array
from bisect import bisect_left
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.store.description import MetricRecord
from perfsdk.store.series import SeriesRecord, pack_places
from perfsdk_exporter.families import Histogram, Native
from perfsdk_exporter.segments.aggregation import Aggregator
from perfsdk_exporter.segments.discovery import SegmentSnapshot, SeriesGroup

NOW = 1000.0


def metric(name="m", kind="counter", labels=(), bounds=(), merge="sum", unit="", native=False):
    return MetricRecord(name, kind, unit, "Help.", labels, bounds, merge, native)


def snapshot(*series, started=1.0, live=True, name="a", skipped=0):
    """A segment of (metric, labels, cells) as discovery makes it."""
    values, groups = array("d"), {}
    for described, labels, cells in series:
        group = groups.setdefault(described, SeriesGroup(described))
        group.series.append(SeriesRecord(described, labels, len(values)))
        values.extend(cells)
    path = Path(f"/segments/{name}.seg")
    groups = tuple(groups.values())
    return SegmentSnapshot(path, name.encode(), started, live, groups, np.asarray(values), skipped)


def aggregate(snapshots):
    """A page of nothing but these, made by an aggregator that has seen none before."""
    return Aggregator().aggregate(snapshots, NOW)


def values_of(*snapshots):
    """{labels: value} of the only family, empty without one."""
    families = aggregate(snapshots).families
    assert len(families) <= 1
    return families[0].values if families else {}


def left_out_of(*snapshots):
    """{(metric, reason): series}."""
    return {(f.metric, f.reason): f.series for f in aggregate(snapshots).left_out}


def test_counters_sum_over_live_and_dead():
    """What a dead process counted stays in the total."""
    requests = metric(labels=("route",))
    live = snapshot((requests, ("/a",), [3.0]), (requests, ("/b",), [1.0]), name="a")
    dead = snapshot((requests, ("/a",), [4.0]), live=False, name="b")
    expected = {("/a",): 7.0, ("/b",): 1.0}
    assert expected == values_of(live, dead)


def test_series_described_twice_in_a_segment_add_up():
    """Two threads that made the same series at once lose nothing."""
    expected = {(): 7.0}
    assert expected == values_of(snapshot((metric(), (), [3.0]), (metric(), (), [4.0])))


def test_histograms_sum_by_bucket():
    """Buckets and sums of live and dead processes add up, native ones beside them or not."""
    plain = metric(kind="histogram", bounds=(1.0, 2.0))
    native = metric(kind="histogram", bounds=(1.0, 2.0), native=True)
    snapshots = [
        snapshot((plain, (), [2.5, 1.0, 2.0, 3.0]), name="a"),
        snapshot((native, (), [0.5, 99.0, 4.0, 0.0, 1.0]), live=False, name="b"),
    ]
    (family,) = aggregate(snapshots).families
    expected = (1.0, 2.0)
    assert expected == family.bounds
    expected = [5.0, 2.0, 4.0]
    assert expected == family.histograms[()].buckets
    expected = 3.0
    assert expected == family.histograms[()].sum


def test_only_shared_bounds_are_shown():
    """Where processes have different bounds, every count is below the next bound they share."""
    one = metric(kind="histogram", bounds=(1.0, 2.0, 5.0))
    other = metric(kind="histogram", bounds=(0.5, 2.0, 3.0, 5.0))
    snapshots = [
        snapshot((one, (), [0.0, 1.0, 10.0, 100.0, 1000.0]), name="a"),
        snapshot((other, (), [0.0, 2.0, 20.0, 200.0, 2000.0, 20000.0]), name="b"),
    ]
    (family,) = aggregate(snapshots).families
    expected = (2.0, 5.0)
    assert expected == family.bounds
    expected = [33.0, 2300.0, 21000.0]
    assert expected == family.histograms[()].buckets


def test_without_shared_bounds_the_number_of_observations_is_left():
    """Processes that share no bound still have the right count."""
    snapshots = [
        snapshot((metric(kind="histogram", bounds=(1.0,)), (), [1.0, 2.0, 3.0]), name="a"),
        snapshot((metric(kind="histogram", bounds=(2.0,)), (), [1.0, 4.0, 5.0]), name="b"),
    ]
    (family,) = aggregate(snapshots).families
    assert not family.bounds
    expected = [14.0]
    assert expected == family.histograms[()].buckets


@pytest.mark.parametrize(
    ("merge", "cells", "expected"),
    [
        ("sum", [[2.0], [3.0]], 5.0),
        ("sum", [[2.0], [-3.0]], -1.0),
        ("min", [[2.0], [3.0], [math.nan]], 2.0),
        ("max", [[2.0], [3.0], [math.nan]], 3.0),
        ("newest", [[2.0, 50.0], [3.0, 40.0]], 2.0),
        ("newest", [[2.0, 40.0], [3.0, math.nan]], 2.0),
        ("newest", [[math.nan, 60.0], [3.0, 40.0]], 3.0),
        ("oldest", [[400.0], [300.0], [0.0]], 700.0),
        ("oldest", [[0.0], [0.0]], 0.0),
        ("oldest", [[NOW + 5.0]], 0.0),
        ("worker", [[7.0]], 7.0),
        ("worker", [[7.0], [8.0]], 8.0),
    ],
)
def test_gauges_merge_by_their_rule(merge, cells, expected):
    """Each rule makes one value of the live processes' values, later started ones last here."""
    gauge = metric(kind="gauge", merge=merge)
    snapshots = [
        snapshot((gauge, (), values), started=float(i), name=str(i))
        for i, values in enumerate(cells)
    ]
    assert {(): expected} == values_of(*snapshots)


def test_parts_of_a_worker_s_gauge_add_up():
    """A series described twice is one gauge of its worker; an older holder of the number goes."""
    gauge = metric(kind="gauge", merge="worker", labels=("worker",))
    old = snapshot((gauge, ("0",), [100.0]), started=1.0, name="a")
    new = snapshot((gauge, ("0",), [3.0]), (gauge, ("0",), [4.0]), started=2.0, name="b")
    expected = {("0",): 7.0}
    assert expected == values_of(old, new)


@pytest.mark.parametrize("merge", ["sum", "min", "max", "newest", "oldest", "worker"])
def test_gauges_of_dead_processes_do_not_count(merge):
    """What a dead process had open is gone."""
    gauge = metric(kind="gauge", merge=merge)
    dead = snapshot((gauge, (), [1.0, 9e9]), live=False, name="a")
    assert not values_of(dead)
    expected = {(): 5.0}
    assert expected == values_of(dead, snapshot((metric(kind="gauge"), (), [5.0]), name="b"))
    assert not left_out_of(dead)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("merge", ["sum", "min", "max", "newest", "oldest", "worker"])
def test_a_gauge_that_is_not_a_number_is_absent(merge, value):
    """NaN means not set, and an infinity is not shown; neither is an error of the segment."""
    gauge = metric(kind="gauge", merge=merge)
    spoiled = snapshot((gauge, (), [value, 1.0]))
    assert not values_of(spoiled)
    assert not left_out_of(spoiled)


def test_gauges_that_add_up_to_infinity_are_absent():
    """Finite values whose sum is not finite give no sample."""
    gauge = metric(kind="gauge")
    snapshots = [snapshot((gauge, (), [1.7e308]), name=name) for name in "ab"]
    assert not values_of(*snapshots)


BAD_NUMBERS = [math.nan, math.inf, -math.inf, -1.0]


@pytest.mark.parametrize("value", [*BAD_NUMBERS, 1.7e308])
def test_an_impossible_counter_is_left_out(value):
    """The segment's other series and the other segments' values of that series still count."""
    requests = metric(labels=("route",))
    spoiled = snapshot((requests, ("/a",), [value]), (requests, ("/b",), [2.0]), name="a")
    intact = snapshot((requests, ("/a",), [1.0]), name="b")
    expected = {("/a",): 1.0, ("/b",): 2.0}
    assert expected == values_of(spoiled, intact)
    expected = {("m", "invalid"): 1}
    assert expected == left_out_of(spoiled, intact)


@pytest.mark.parametrize("cell", [0, 1, 2])
@pytest.mark.parametrize("value", [*BAD_NUMBERS, 0.5, 2.0**60])
def test_an_impossible_histogram_is_left_out(cell, value):
    """Sums that are not finite and buckets that are no counts never reach a total."""
    histogram = metric(kind="histogram", bounds=(1.0,))
    cells = [3.0, 1.0, 2.0]
    cells[cell] = value
    found = aggregate([snapshot((histogram, (), cells))])
    if cell == 0 and math.isfinite(value):
        assert value == found.families[0].histograms[()].sum
    else:
        assert not found.families
        expected = ["invalid"]
        assert expected == [series.reason for series in found.left_out]


@pytest.mark.parametrize("kind", ["counter", "gauge", "histogram"])
def test_cells_that_are_not_there_are_left_out(kind):
    """A description that points behind the values is the segment's error, not ours."""
    described = metric(kind=kind, bounds=(1.0,) if kind == "histogram" else ())
    expected = {("m", "invalid"): 1}
    assert expected == left_out_of(snapshot((described, (), [])))


def test_damaged_descriptions_are_reported():
    """A record whose checksum does not hold is a series that is missing."""
    expected = {("(unknown)", "invalid"): 2}
    assert expected == left_out_of(snapshot(skipped=2))


def test_an_unknown_merge_rule_is_left_out():
    """A gauge of a newer version whose rule we do not know is not shown in a wrong way."""
    gauge = snapshot((metric(kind="gauge", merge="median"), (), [1.0]))
    assert not values_of(gauge)
    expected = {("m", "unsupported"): 1}
    assert expected == left_out_of(gauge)


@pytest.mark.parametrize(
    "older",
    [
        metric(kind="gauge"),
        metric(unit="bytes"),
        metric(labels=("other",)),
        metric(kind="histogram", bounds=(1.0,)),
    ],
    ids=["kind", "unit", "labels", "cells"],
)
def test_the_newest_process_decides_what_a_metric_is(older):
    """Series of another kind, unit or with other labels are left out and counted."""
    newer = metric(labels=("route",), unit="seconds")
    labels = ("x",) * len(older.labels)
    snapshots = [
        snapshot((older, labels, [5.0, 0.0, 0.0]), started=1.0, name="b"),
        snapshot((newer, ("/a",), [1.0]), started=2.0, name="a"),
    ]
    expected = {("/a",): 1.0}
    assert expected == values_of(*snapshots)
    expected = {("m", "conflict"): 1}
    assert expected == left_out_of(*snapshots)


def test_gauges_with_another_rule_are_a_conflict():
    """A start time and a value never get into one gauge."""
    snapshots = [
        snapshot((metric(kind="gauge", merge="oldest"), (), [5.0]), started=1.0, name="a"),
        snapshot((metric(kind="gauge"), (), [1.0]), started=2.0, name="b"),
    ]
    expected = {(): 1.0}
    assert expected == values_of(*snapshots)
    expected = {("m", "conflict"): 1}
    assert expected == left_out_of(*snapshots)


@pytest.mark.parametrize("newest_has_more", [True, False])
def test_versions_that_differ_by_added_labels_are_one_family(newest_has_more):
    """A series without an added label has it empty, whichever of the versions is newer."""
    few = snapshot((metric(labels=("b",)), ("x",), [1.0]), started=2.0, name="a")
    more = metric(labels=("a", "b"))
    started = 3.0 if newest_has_more else 1.0
    many = snapshot((more, ("y", "x"), [2.0]), (more, ("", "x"), [4.0]), started=started, name="b")
    (family,) = aggregate([few, many]).families
    by_name = {
        frozenset(zip(family.labels, labels, strict=True)): value
        for labels, value in family.values.items()
    }
    with_empty, with_label = {("a", ""), ("b", "x")}, {("a", "y"), ("b", "x")}
    assert {frozenset(with_empty): 5.0, frozenset(with_label): 2.0} == by_name


def test_help_and_label_order_are_the_newest_s():
    """The description on the page is the newest process's."""
    old = MetricRecord("m", "counter", "", "Old.", ("a", "b"), (), "sum", False)
    new = MetricRecord("m", "counter", "", "New.", ("b", "a"), (), "sum", False)
    snapshots = [
        snapshot((old, ("1", "2"), [1.0]), started=1.0, name="b"),
        snapshot((new, ("2", "1"), [1.0]), started=2.0, name="a"),
    ]
    (family,) = aggregate(snapshots).families
    expected = ("New.", ("b", "a"), {("2", "1"): 2.0})
    assert expected == (family.help, family.labels, family.values)


reals = st.floats(0, 1e9)


@given(st.lists(st.tuples(reals, reals, st.integers(1, 10**6)), min_size=2, max_size=12))
@settings(max_examples=200)
def test_a_total_never_goes_down(processes):
    """Neither growing values nor new processes lower a sum of reals by the way it is rounded."""
    counter = metric()
    order = [float(started) for *_, started in processes]

    def total(values):
        return values_of(
            *(
                snapshot((counter, (), [value]), started=started, name=str(i))
                for i, (value, started) in enumerate(zip(values, order, strict=False))
            )
        )[()]

    before = [value for value, _, _ in processes]
    after = [value + added for value, added, _ in processes]
    assert total(before[:-1]) <= total(before) <= total(after)


counted = st.tuples(
    st.integers(0, 3),  # process
    st.sampled_from(["/a", "/b", "<overflow>", ""]),
    st.integers(0, 2),  # bucket
    st.integers(0, 2**40),
)


@given(st.lists(counted, max_size=60), st.sets(st.integers(0, 3)))
def test_totals_equal_a_plain_model(observations, dead):
    """However observations are split over processes, dead or alive, the totals are exact."""
    counter = metric("c_total", labels=("route",))
    histogram = metric("h", kind="histogram", labels=("route",), bounds=(1.0, 2.0))
    counts, buckets, sums = {}, {}, {}
    cells = [({}, {}) for _ in range(4)]
    for process, route, bucket, amount in observations:
        counters, histograms = cells[process]
        counters.setdefault((route,), [0.0])[0] += amount
        own = histograms.setdefault((route,), [0.0] * 4)
        own[0] += amount
        own[1 + bucket] += 1
        counts[route,] = counts.get((route,), 0) + amount
        sums[route,] = sums.get((route,), 0) + amount
        buckets.setdefault((route,), [0, 0, 0])[bucket] += 1
    snapshots = [
        snapshot(
            *((counter, labels, found) for labels, found in counters.items()),
            *((histogram, labels, found) for labels, found in histograms.items()),
            live=i not in dead,
            started=float(i),
            name=str(i),
        )
        for i, (counters, histograms) in enumerate(cells)
    ]
    page = {family.name: family for family in aggregate(snapshots).families}
    if not observations:
        assert not page
        return
    shown = page["h"].histograms
    assert counts == page["c_total"].values
    assert buckets == {labels: found.buckets for labels, found in shown.items()}
    assert sums == {labels: found.sum for labels, found in shown.items()}


NATIVE = metric("n", kind="histogram", labels=("r",), bounds=(1.0, 2.0), native=True)


class Process:
    """A segment of the native histogram above, which grows as an application records."""

    def __init__(self, name, live=True):
        self.values, self.group, self.described = array("d"), SeriesGroup(NATIVE), 0
        self.live, self.name, self.rereads = live, name, []
        self.when_reread = lambda: None

    def series(self, label):
        found = next((one for one in self.group.series if one.labels == (label,)), None)
        if found is None:
            found = SeriesRecord(NATIVE, (label,), len(self.values))
            self.values.extend([0.0] * NATIVE.cell_count)
            self.group.series.append(found)
            self.described += 1
        return found

    def observe(self, label, value, *, killed_in_the_middle=False):
        series = self.series(label)
        self.values[series.cell] += value
        self.values[series.cell + 2 + bisect_left(NATIVE.bounds, value)] += 1.0
        if killed_in_the_middle:
            return
        if value <= 0:
            self.values[series.cell + 1] += 1.0
            return
        index = math.ceil(math.log2(value) * 8)
        if index >> 3 not in series.blocks:
            places = {**series.blocks, index >> 3: len(self.values)}
            series.block_places = pack_places(places)
            self.values.extend([0.0] * 8)
            self.described += 1
        self.values[series.blocks[index >> 3] + (index & 7)] += 1.0

    def reread(self, cell, count):
        self.rereads.append((cell, count))
        self.when_reread()

    def snapshot(self):
        return SegmentSnapshot(
            path=Path(f"/segments/{self.name}.seg"),
            identity=self.name.encode(),
            started=1.0,
            live=self.live,
            groups=(self.group,) if self.group.series else (),
            values=np.asarray(self.values),
            described=self.described,
            reread=self.reread,
        )


def native_of(*processes, aggregator=None):
    """The native histogram's series by label."""
    page = (aggregator or Aggregator()).aggregate([p.snapshot() for p in processes], NOW)
    assert not page.left_out
    return {labels[0]: h for f in page.families for labels, h in f.histograms.items()}


def test_native_buckets_add_up():
    """Blocks of all processes, the zero bucket, and indices that some of them alone have."""
    one, other = Process("a"), Process("b", live=False)
    for value in (0.0, 0.5, 1.0, 1.5):
        one.observe("/a", value)
    for value in (-1.0, 1.0, 1000.0):
        other.observe("/a", value)
    found = native_of(one, other)["/a"]
    expected = Native(2.0, {-8: 1.0, 0: 2.0, 5: 1.0, 80: 1.0})
    assert expected == found.native
    assert [-8, 0, 5, 80] == list(found.native.buckets)
    expected = [5.0, 1.0, 1.0]
    assert expected == found.buckets


def test_without_native_buckets_everywhere_there_are_none():
    """A process of a version without them would make them too few."""
    one = Process("a")
    one.observe("/a", 0.5)
    plain = metric("n", kind="histogram", labels=("r",), bounds=(1.0, 2.0))
    old = snapshot((plain, ("/a",), [0.5, 1.0, 0.0, 0.0]), name="b")
    (family,) = aggregate([one.snapshot(), old]).families
    expected = Histogram([2.0, 0.0, 0.0], 1.0)
    assert expected == family.histograms[("/a",)]


def test_a_process_killed_in_the_middle_of_an_observation():
    """Both kinds of buckets hold the same number: that one is in the zero bucket, for good."""
    dead = Process("a", live=False)
    dead.observe("/a", 0.5)
    dead.observe("/a", 0.5, killed_in_the_middle=True)
    aggregator = Aggregator()
    for _ in range(2):
        expected = Histogram([2.0, 0.0, 0.0], 1.0, Native(1.0, {-8: 1.0}))
        assert expected == native_of(dead, aggregator=aggregator)["/a"]
    assert not dead.rereads


def test_a_series_read_in_the_middle_of_an_observation_is_read_again():
    """What the process has done meanwhile is on the page."""
    process = Process("a")
    process.observe("/a", 0.5)
    process.observe("/a", 0.5, killed_in_the_middle=True)

    def complete():
        process.values[process.series("/a").blocks[-1]] = 2.0

    process.when_reread = complete
    expected = Histogram([2.0, 0.0, 0.0], 1.0, Native(0.0, {-8: 2.0}))
    assert expected == native_of(process)["/a"]
    assert process.rereads


def test_native_buckets_that_stay_behind_are_left_out_until_they_rest():
    """They never go down: what a living process lacks counts as zero when it does not change."""
    process, aggregator = Process("a"), Aggregator()
    process.observe("/a", 0.5)
    process.observe("/a", 0.5, killed_in_the_middle=True)
    expected = Histogram([2.0, 0.0, 0.0], 1.0)
    assert expected == native_of(process, aggregator=aggregator)["/a"]
    expected = Histogram([2.0, 0.0, 0.0], 1.0, Native(1.0, {-8: 1.0}))
    assert expected == native_of(process, aggregator=aggregator)["/a"]


def test_native_buckets_without_room_are_left_out():
    """When more than a hundredth of the observations is in none, quantiles would be wrong."""
    process = Process("a", live=False)
    process.observe("/a", 0.5)
    for _ in range(10):
        process.observe("/a", 0.5, killed_in_the_middle=True)
    expected = Histogram([11.0, 0.0, 0.0], 5.5)
    assert expected == native_of(process)["/a"]


@pytest.mark.parametrize("value", [*BAD_NUMBERS, 0.5])
def test_an_impossible_native_bucket(value):
    """The classic ones are shown alone."""
    process = Process("a", live=False)
    process.observe("/a", 0.5)
    process.values[-1] = value
    expected = Histogram([1.0, 0.0, 0.0], 0.5)
    assert expected == native_of(process)["/a"]


def test_what_nobody_added_to_is_the_same_object():
    """So what was written for it can be used again; any change makes another one."""
    process, aggregator = Process("a"), Aggregator()
    for label in ("/a", "/b"):
        process.observe(label, 0.5)
    before = native_of(process, aggregator=aggregator)
    process.observe("/b", 0.5)
    process.observe("/c", 0.5)
    after = native_of(process, aggregator=aggregator)
    assert before["/a"] is after["/a"]
    assert before["/b"] is not after["/b"]
    assert ["/a", "/b", "/c"] == list(after)


def test_series_are_in_the_order_of_their_labels():
    """Whatever the order in which processes made them, also for later ones."""
    process, aggregator = Process("a"), Aggregator()
    for label in ("/b", "/d", "/a", "/c"):
        process.observe(label, 0.5)
        labels = list(native_of(process, aggregator=aggregator))
        assert sorted(labels) == labels


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("observe"),
            st.integers(0, 3),
            st.sampled_from("abc"),
            st.sampled_from([-1.0, 0.0, 0.1, 0.7, 1.0, 1.5, 2.0, 2.5, 1e9]),
        ),
        st.tuples(st.just("die"), st.integers(0, 3)),
        st.tuples(st.just("vanish"), st.integers(0, 3)),
        st.tuples(st.just("collect")),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=200)
def test_what_is_kept_between_collections_changes_nothing(steps):
    """An aggregator that has seen everything shows what one shows that has seen nothing."""
    processes, kept = [Process(str(i)) for i in range(4)], Aggregator()
    for kind, *rest in [*steps, ("collect",)]:
        if kind == "observe":
            number, label, value = rest
            processes[number].live = True
            processes[number].observe(label, value)
        elif kind == "die":
            processes[rest[0]].live = False
        elif kind == "vanish":
            processes[rest[0]] = Process(str(rest[0]))
        else:
            assert native_of(*processes) == native_of(*processes, aggregator=kept)


def test_an_archive_has_the_low_part_of_each_sum():
    """Two cells follow those of each series: the low part, and a time that is not for the page."""
    counter = metric("c_total")
    histogram = metric("h", kind="histogram", bounds=(1.0,))
    high, low = 1e16, 0.75
    archive = snapshot((counter, (), [high, low, 5.0]), (histogram, (), [high, 1.0, 0.0, low, 5.0]))
    live = snapshot((counter, (), [1.25]), (histogram, (), [1.25, 0.0, 2.0]), name="b")
    page = aggregate([archive._replace(archive=True, live=False), live])
    found = {family.name: family for family in page.families}
    expected = {(): 1e16 + 2.0}
    assert expected == found["c_total"].values
    assert {(): Histogram([1.0, 2.0], 1e16 + 2.0)} == found["h"].histograms
