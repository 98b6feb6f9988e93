"""A collection shows what real segments hold and tells about itself."""

import logging
import math
import os
import sys
import time

import pytest

from perfsdk.catalog import Metric
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.location import Location
from perfsdk_exporter.reaping.reaper import Tally
from tests.exporter.conftest import ACTIVE, REQUESTS, SECONDS, collecting


def test_totals_of_live_and_dead_segments(write, segment_directory, collector, totals):
    """Counters and histograms of a dead process stay, its gauges go."""
    series = [
        (REQUESTS, ("/a",), [3.0]),
        (SECONDS, ("/a",), [2.5, 1.0, 2.0, 3.0]),
        (ACTIVE, (), [2.0]),
    ]
    write(segment_directory, *series)
    dead = write(segment_directory, *series)
    expected = {
        "requests_total": {("/a",): 6.0},
        "wait_seconds": {("/a",): ([2.0, 4.0, 6.0], 5.0)},
        "active": {(): 4.0},
    }
    assert expected == totals(collector.collect())
    dead.close()
    assert {**expected, "active": {(): 2.0}} == totals(collector.collect())


def test_new_values_are_seen_at_the_next_collection(write, segment_directory, collector, totals):
    """Nothing is remembered that could be old."""
    writer = write(segment_directory)
    for amount in range(1, 5):
        cell = writer.series(REQUESTS, ("/a",))
        writer.values[cell] = amount
        expected = {"requests_total": {("/a",): sum(range(amount + 1))}}
        assert expected == totals(collector.collect())


def test_the_age_of_the_oldest_is_on_the_clock_of_the_writers(
    write, segment_directory, collector, totals
):
    """An age is now less the smallest start of all processes."""
    oldest = Metric(name="oldest_seconds", kind="gauge", help="Age.", merge="oldest")
    start = time.perf_counter()
    for begun in (start - 5, start - 10, 0.0):
        write(segment_directory, (oldest, (), [begun]))
    age = totals(collector.collect())["oldest_seconds"][()]
    assert 10.0 <= age <= 10.0 + time.perf_counter() - start


def test_it_tells_what_was_reaped(segment_directory, self_metric):
    """As counts that begin at 0 and grow by what the reaper has done since."""
    tally = Tally()
    collector = Collector(Location(str(segment_directory), None), tally=tally)
    counters = {
        "segments_reaped_total": "segments",
        "archive_series_dropped_total": "dropped_series",
        "archives_damaged_total": "damaged_archives",
        "reaping_failures_total": "failures",
    }
    for expected in (0.0, 3.0, 3.0):
        for done in counters.values():
            setattr(tally, done, int(expected))
        collection = collector.collect()
        found = {name: self_metric(collection, name) for name in counters}
        assert {name: {"": expected} for name in counters} == found
    collector.close()


def test_it_tells_about_itself(write, segment_directory, collector, self_metric):
    """Version, segments by state, series, series left out, duration, its own process."""
    write(segment_directory, (REQUESTS, ("/a",), [1.0]), (REQUESTS, ("/b",), [1.0]))
    write(segment_directory, (REQUESTS, ("/a",), [1.0])).close()
    write(segment_directory, (REQUESTS, ("/a",), [math.nan]), (ACTIVE, (), [1.0]))
    (segment_directory / "x.seg").mkdir()
    collection = collector.collect()
    expected = {"live": 1, "dead": 1, "unreadable": 2}
    assert expected == collection.segments == self_metric(collection, "segments")
    expected = {"": 3.0}
    assert expected == self_metric(collection, "series")
    expected = {"conflict": 0, "invalid": 1, "unsupported": 0, "clash": 0}
    assert expected == self_metric(collection, "series_left_out")
    assert self_metric(collection, "scrape_duration_seconds")[""] > 0
    assert self_metric(collection, "process_open_fds")[""] > 0
    (build_info,) = [f for f in collection.families if f.name == "perfsdk_exporter_build_info"]
    expected = ("version", "pythonversion")
    assert expected == build_info.labels
    expected = [1.0]
    assert expected == list(build_info.values.values())
    assert sys.version.split()[0] in next(iter(build_info.values))


def test_a_segment_cannot_take_our_own_names(
    write, segment_directory, collector, self_metric, totals, caplog
):
    """A metric of the application named like one of ours is left out, counted and named."""
    ours = Metric(name="perfsdk_exporter_series", kind="gauge", help="Not ours.")
    write(segment_directory, (ours, (), [42.0]), (ACTIVE, (), [1.0]))
    caplog.set_level(logging.WARNING)
    collection = collector.collect()
    expected = {"": 1.0}
    assert expected == self_metric(collection, "series")
    assert self_metric(collection, "series_left_out")["clash"] == 1.0
    assert list(totals(collection)) == ["active"]
    (record,) = caplog.records
    assert record.fields["metric"] == "perfsdk_exporter_series"


@pytest.mark.parametrize("exists", [True, False])
def test_without_segments_there_is_an_empty_page(
    exists, segment_directory, tmp_path, totals, self_metric
):
    """An empty or missing directory is no error."""
    with collecting(segment_directory if exists else tmp_path / "not" / "yet") as collector:
        collection = collector.collect()
    assert not totals(collection)
    expected = {"live": 0.0, "dead": 0.0, "unreadable": 0.0}
    assert expected == self_metric(collection, "segments")
    assert exists == (collection.explanation == "")


def test_a_directory_that_becomes_unusable_is_explained(tmp_path, totals, caplog):
    """A file in its place is a state that is logged once, not a crash; it may go again."""
    directory = tmp_path / "segments"
    caplog.set_level(logging.WARNING)
    with collecting(directory) as collector:
        directory.write_text("")
        for _ in range(2):
            collection = collector.collect()
            assert not totals(collection)
            assert "is not a directory" in collection.explanation
        assert [collection.explanation] == caplog.messages
        directory.unlink()
        directory.mkdir(mode=0o700)
        assert not collector.collect().explanation


def test_several_services_that_appear_later_are_explained(tmp_path, monkeypatch, write, totals):
    """With two services and none named, the page stays empty and says what to do."""
    monkeypatch.setattr("perfsdk.store.directory.SHARED_MEMORY", tmp_path)
    root = tmp_path / f"perfsdk-{os.getuid()}"
    collector = Collector(Location(None, None))
    assert "no service" in collector.collect().explanation
    write(root / "cart", (ACTIVE, (), [1.0]))
    write(root / "shop", (ACTIVE, (), [1.0]))
    collection = collector.collect()
    collector.close()
    assert not totals(collection)
    assert "cart, shop; say which one with --service" in collection.explanation


def test_the_first_service_that_appears_is_read_from_then_on(tmp_path, monkeypatch, write, totals):
    """The exporter may start first, and a second service later does not change its mind."""
    monkeypatch.setattr("perfsdk.store.directory.SHARED_MEMORY", tmp_path)
    root = tmp_path / f"perfsdk-{os.getuid()}"
    collector = Collector(Location(None, None))
    assert not totals(collector.collect())
    write(root / "shop", (ACTIVE, (), [1.0]))
    expected = {"active": {(): 1.0}}
    assert expected == totals(collector.collect())
    write(root / "cart", (ACTIVE, (), [5.0]))
    assert expected == totals(collector.collect())
    collector.close()


def test_a_named_service_is_read_among_others(tmp_path, monkeypatch, write, totals):
    """`--service` chooses; its name is made safe as the SDK does."""
    monkeypatch.setattr("perfsdk.store.directory.SHARED_MEMORY", tmp_path)
    root = tmp_path / f"perfsdk-{os.getuid()}"
    write(root / "cart", (ACTIVE, (), [1.0]))
    write(root / "my_shop", (ACTIVE, (), [2.0]))
    collector = Collector(Location(None, "my/shop"))
    expected = {"active": {(): 2.0}}
    assert expected == totals(collector.collect())
    collector.close()
