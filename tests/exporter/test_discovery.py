"""Files that are no segments are skipped, counted and named once; the page is still served."""

import json
import logging
import os
import shutil
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from perfsdk.store import format as segment_format
from perfsdk.store.format import Header, pack_header, pack_record
from perfsdk.store.reader import find_segments
from perfsdk_exporter.formats.exposition import render_openmetrics
from perfsdk_exporter.reaping.archive import write_archive
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.segments.discovery import Segments
from tests.exporter.conftest import ACTIVE, REQUESTS, SECONDS, collecting

SERIES = [
    (REQUESTS, ("/a",), [3.0]),
    (SECONDS, ("/a",), [1.5, 1.0, 2.0, 0.0]),
    (ACTIVE, (), [2.0]),
]


@pytest.fixture
def intact(write, segment_directory):
    """A segment beside the bad file."""
    write(segment_directory, (REQUESTS, ("/a",), [1.0]))


def segment_bytes(writer):
    """The whole file of a writer."""
    return writer.segment.path.read_bytes()


def make_fifo(path):
    os.mkfifo(path)


def make_link(path):
    path.symlink_to("/dev/zero")


def make_future(path):
    header = bytearray(pack_header(Header(os.urandom(16), 1, 1.0, 4096, 4096)))
    struct.pack_into("<I", header, 8, segment_format.VERSION + 1)
    path.write_bytes(bytes(header) + bytes(3 * 4096))


def make_contradiction(path):
    """Checksums hold, and the series points behind the end of the cells."""
    description = {"name": "m", "kind": "counter", "labels": [], "bounds": []}
    records = pack_record(["metric", 0, description]) + pack_record(["series", 0, 10**9, []])
    path.write_bytes(segment_of(records))


def segment_of(records, cells=b"", started=1.0):
    """A segment file of the current version with the given records and cells."""
    header = pack_header(Header(os.urandom(16), 1, started, 4096, 4096))
    ends = struct.pack("<QQ", len(cells) // 8, len(records))
    head = (header.ljust(segment_format.CELLS_END_OFFSET, b"\0") + ends).ljust(4096, b"\0")
    return head + cells.ljust(4096, b"\0") + records.ljust(4096, b"\0")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "truncated header"),
        (lambda path: path.write_bytes(b"garbage" * 1000), "not a segment"),
        (lambda path: path.write_bytes(bytes(9000)), "not a segment"),
        (make_future, "format version"),
        (make_contradiction, "impossible series record"),
        (make_fifo, "not a regular file"),
        (make_link, "symbolic link"),
        (lambda path: path.mkdir(), "not a regular file"),
    ],
    ids=["empty", "garbage", "zeros", "future", "contradiction", "fifo", "symlink", "directory"],
)
@pytest.mark.usefixtures("intact")
def test_a_file_that_is_no_segment(
    make, reason, segment_directory, collector, totals, self_metric, caplog
):
    """It is counted, named once in the log with the reason, and changes no total."""
    path = segment_directory / "x.seg"
    make(path)
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        collection = collector.collect()
    expected = {"requests_total": {("/a",): 1.0}}
    assert expected == totals(collection)
    expected = {"live": 1.0, "dead": 0.0, "unreadable": 1.0}
    assert expected == self_metric(collection, "segments")
    (record,) = caplog.records
    assert str(path) == record.fields["file"]
    assert reason in record.fields["reason"]


def test_a_segment_cut_off_anywhere_is_skipped(
    write, segment_directory, tmp_path, collector, totals, self_metric
):
    """Whatever the length that is left, the page is the page without that file."""
    whole = segment_bytes(write(tmp_path / "elsewhere", *SERIES))
    write(segment_directory, (REQUESTS, ("/a",), [1.0]))
    path = segment_directory / "cut.seg"
    for length in [*range(130), *range(130, len(whole), 4999), len(whole) - 1]:
        path.write_bytes(whole[:length])
        collection = collector.collect()
        expected = {"requests_total": {("/a",): 1.0}}
        assert expected == totals(collection)
        assert self_metric(collection, "segments")["unreadable"] == 1.0


def test_a_file_that_shrinks_while_it_is_open(write, segment_directory, collector, totals):
    """No signal, no error: its series are gone, and come back with the file."""
    path = write(segment_directory, (REQUESTS, ("/a",), [1.0])).segment.path
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert not totals(collector.collect())
    path.write_bytes(whole)
    expected = {"requests_total": {("/a",): 1.0}}
    assert expected == totals(collector.collect())


@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=4))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits_never_spoil_the_page(flips, write, tmp_path_factory):
    """Wherever bits are wrong, there is a page that a strict parser accepts."""
    directory = tmp_path_factory.mktemp("flipped")
    writer = write(directory / "whole", *SERIES)
    header = writer.segment.header
    used = [
        *range(88),
        *range(4096, 4096 + 8 * writer.segment.cells_end),
        *range(header.records_offset, header.records_offset + writer.segment.records_end),
    ]
    flipped = bytearray(segment_bytes(writer))
    writer.close()
    for place, bit in flips:
        flipped[used[int(place * len(used))]] ^= 1 << bit
    (directory / "flipped.seg").write_bytes(flipped)
    with collecting(directory) as collector:
        page = b"".join(render_openmetrics(collector.collect().families)).decode()
    assert list(text_string_to_metric_families(page))


@given(content=st.binary(max_size=300), start=st.booleans())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_never_an_error(content, start, tmp_path_factory):
    """Neither random files nor random records raise anything."""
    directory = tmp_path_factory.mktemp("random")
    (directory / "x.seg").write_bytes(segment_of(content) if start else content)
    with collecting(directory) as collector:
        assert sum(collector.collect().segments.values()) == 1


@pytest.mark.parametrize(
    ("description", "labels"),
    [
        ({"name": "m", "kind": "counter", "labels": ["__name__"], "bounds": []}, ["other"]),
        ({"name": "m", "kind": "histogram", "labels": ["le"], "bounds": []}, ["1"]),
        ({"name": "m", "kind": "counter", "labels": ["a"], "bounds": []}, ["\ud800"]),
    ],
    ids=["reserved", "le", "surrogate"],
)
def test_series_that_no_page_could_show(
    description, labels, segment_directory, collector, totals, self_metric
):
    """Reserved labels and broken Unicode are left out and make the segment count as unreadable."""
    # As a hostile writer would: our own replaces half a surrogate pair.
    series = json.dumps(["series", 0, 0, labels]).encode()
    checked = struct.pack("<II", len(series), zlib.crc32(series)) + series
    records = pack_record(["metric", 0, description]) + checked.ljust(
        -(-len(checked) // 8) * 8, b"\0"
    )
    (segment_directory / "x.seg").write_bytes(segment_of(records, bytes(64)))
    collection = collector.collect()
    assert not totals(collection)
    assert self_metric(collection, "segments")["unreadable"] == 1.0
    assert self_metric(collection, "series_left_out")["invalid"] == 1.0


def test_a_copy_of_a_segment_is_not_counted_twice(
    write, segment_directory, collector, totals, self_metric
):
    """The identity inside the file counts, whatever the file is called."""
    path = write(segment_directory, (REQUESTS, ("/a",), [1.0])).segment.path
    shutil.copy(path, segment_directory / "zzz.seg")
    collection = collector.collect()
    expected = {"requests_total": {("/a",): 1.0}}
    assert expected == totals(collection)
    assert self_metric(collection, "segments")["unreadable"] == 1.0


def test_descriptions_are_parsed_once(write, segment_directory):
    """Between two readings the segment stays open, and new series are added to it."""
    writer = write(segment_directory, (REQUESTS, ("/a",), [1.0]))
    segments = Segments()
    (first,), _ = segments.read(segment_directory)
    before = first.groups[0].series[0]
    writer.series(REQUESTS, ("/b",))
    (second,), _ = segments.read(segment_directory)
    segments.close()
    assert before is second.groups[0].series[0]
    expected = [("/a",), ("/b",)]
    assert expected == [series.labels for series in second.groups[0].series]


def test_files_that_went_away_are_closed(write, segment_directory):
    """Neither a removed nor a replaced file stays open."""
    writer = write(segment_directory, (REQUESTS, ("/a",), [1.0]))
    path = writer.segment.path
    writer.close()
    segments = Segments()
    before = len(os.listdir("/proc/self/fd"))
    segments.read(segment_directory)
    opened = len(os.listdir("/proc/self/fd"))
    replacement = segment_of(b"")
    (segment_directory / "new").write_bytes(replacement)
    (segment_directory / "new").rename(path)
    ((snapshot,), _) = segments.read(segment_directory)
    assert replacement[16:32] == snapshot.identity
    assert opened == len(os.listdir("/proc/self/fd"))
    path.unlink()
    expected = ([], [])
    assert expected == segments.read(segment_directory)
    assert before == len(os.listdir("/proc/self/fd"))


def test_a_file_that_vanishes_meanwhile_is_normal(
    write, segment_directory, collector, totals, self_metric, monkeypatch, caplog
):
    """Between listing and opening a file may go; that is neither counted nor logged."""
    write(segment_directory, (REQUESTS, ("/a",), [1.0]))
    found = [*segment_directory.iterdir(), segment_directory / "gone.seg"]
    monkeypatch.setattr("perfsdk_exporter.segments.discovery.find_segments", lambda _: found)
    caplog.set_level(logging.WARNING)
    collection = collector.collect()
    expected = {"requests_total": {("/a",): 1.0}}
    assert expected == totals(collection)
    assert self_metric(collection, "segments")["unreadable"] == 0.0
    assert not caplog.records


def test_an_archive_that_is_replaced_meanwhile(write, segment_directory, monkeypatch):
    """Another exporter reaps between two steps of a reading: all is read again, nothing twice."""
    write(segment_directory, (REQUESTS, ("/a",), [1.0])).close()
    writer = write(segment_directory, (REQUESTS, ("/a",), [2.0]))
    found = []

    def listing(directory):
        paths = find_segments(directory)
        found.append([path.name for path in paths])
        if len(found) < 4:
            Reaper().reap(directory)  # after the listing, before the files are opened
            write(segment_directory, (REQUESTS, ("/a",), [4.0])).close()
        return paths

    monkeypatch.setattr("perfsdk_exporter.segments.discovery.find_segments", listing)
    segments = Segments()
    snapshots, unreadable = segments.read(segment_directory)
    segments.close()
    assert [] == unreadable
    assert [True, False, False] == [snapshot.archive for snapshot in snapshots]
    assert 4 == len(found)
    assert 1 + 2 + 3 * 4 == sum(s.values[s.groups[0].series[0].cell] for s in snapshots)
    assert writer.segment.header.identity in [snapshot.identity for snapshot in snapshots]


def test_an_archive_that_is_replaced_for_ever(segment_directory, monkeypatch):
    """Rather no page than a wrong one."""

    def listing(directory):
        write_archive(directory, {}, (), now=1.0)
        return []

    monkeypatch.setattr("perfsdk_exporter.segments.discovery.find_segments", listing)
    with pytest.raises(OSError, match="faster than it is read"):
        Segments().read(segment_directory)


def test_what_is_in_the_archive_is_left_out(write, segment_directory):
    """A file that was folded and is still there, and a copy of it, count no more."""
    path = write(segment_directory, (REQUESTS, ("/a",), [1.0])).segment.path
    shutil.copy(path, segment_directory / "copy.seg")
    write_archive(segment_directory, {}, [bytes.fromhex(path.stem)], now=1.0)
    segments = Segments()
    (archive,), (copy,) = segments.read(segment_directory)
    segments.close()
    assert (True, False, 0.0) == (archive.archive, archive.live, archive.started)
    assert (segment_directory / "copy.seg", "is a copy of what is in archive.arc") == copy


def test_of_copies_the_segment_itself_is_read(write, segment_directory):
    """Nobody locks a copy: taking it for the segment would show a living process as dead."""
    writer = write(segment_directory, (REQUESTS, ("/a",), [1.0]))
    shutil.copy(writer.segment.path, segment_directory / "0.seg")
    segments = Segments()
    (snapshot,), (copy,) = segments.read(segment_directory)
    segments.close()
    assert snapshot.live
    assert writer.segment.path == snapshot.path
    assert segment_directory / "0.seg" == copy.path


def test_an_archive_that_shrinks_while_it_is_open(write, segment_directory):
    """No signal, no error: it is named, and read again when it is replaced."""
    write(segment_directory, (REQUESTS, ("/a",), [1.0])).close()
    Reaper().reap(segment_directory)
    path, segments = segment_directory / "archive.arc", Segments()
    segments.read(segment_directory)
    whole = path.read_bytes()
    path.write_bytes(whole[:4100])
    snapshots, unreadable = segments.read(segment_directory)
    assert ([], [path]) == (snapshots, [found.path for found in unreadable])
    path.write_bytes(whole)
    ((snapshot,), unreadable) = segments.read(segment_directory)
    segments.close()
    assert [] == unreadable
    assert 1.0 == snapshot.values[0]
