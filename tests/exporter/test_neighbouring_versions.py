"""Segments of an older and of a newer SDK are added to those of this one, whoever reads them."""

import struct

from perfsdk_exporter.segments.segment_files import segment_name
from tests.exporter.conftest import REQUESTS, SECONDS
from tests.store.crafted import segment_of

OLDER_REQUESTS = {
    "name": "requests_total",
    "kind": "counter",
    "labels": [],
    "bounds": [],
    "help": "Old.",
}
NEWER_REQUESTS = {
    "name": "requests_total",
    "kind": "counter",
    "labels": ["route", "region"],
    "bounds": [],
    "help": "New.",
    "colour": "red",
    "since": [2, 0],
}
NEWER_SECONDS = {
    "name": "wait_seconds",
    "kind": "histogram",
    "labels": ["route"],
    "bounds": [0.1, 0.5, 1.0],
    "unit": "seconds",
    "schema": 5,
}
FIRST = 64
"""The first cell that belongs to a series; the ones before it are scratch."""


def crafted(directory, identity, records, values):
    """A segment that nobody holds any more, with values from the first cell on; its path."""
    data = bytearray(segment_of(*records, identity=identity))
    struct.pack_into(f"<{len(values)}d", data, 4096 + 8 * FIRST, *values)
    path = directory / segment_name(identity)
    path.write_bytes(data)
    return path


def older(directory):
    """What the version before wrote: fewer labels, no facts."""
    return crafted(
        directory, b"o" * 16, [["metric", 0, OLDER_REQUESTS], ["series", 0, FIRST, []]], [5.0]
    )


def newer(directory):
    """What the version after writes: more labels, bounds, keys, records, rules and pages."""
    return crafted(
        directory,
        b"n" * 16,
        [
            ["meta", {"service": "shop", "mood": ["good"]}],
            ["metric", 0, NEWER_REQUESTS],
            ["metric", 1, NEWER_SECONDS],
            [
                "metric",
                2,
                {"name": "level", "kind": "gauge", "labels": [], "bounds": [], "merge": "median"},
            ],
            [
                "metric",
                3,
                {
                    "name": "plans_total",
                    "kind": "counter",
                    "labels": [],
                    "bounds": [],
                    "page": "plans",
                },
            ],
            ["summary", 3, {"quantiles": [0.5]}],
            ["series", 0, FIRST, ["/a", "eu"]],
            ["series", 1, FIRST + 1, ["/a"]],
            ["series", 2, FIRST + 6, []],
            ["series", 3, FIRST + 7, []],
            ["sketch", 0, 1, 2, 3],
        ],
        [7.0, 6.5, 1.0, 2.0, 4.0, 8.0, 3.0, 9.0],
    )


def test_totals_over_three_versions(write, segment_directory, collector, totals):
    """Every count is there; a label that a process does not know is empty in its series."""
    older(segment_directory)
    newer(segment_directory)
    series = [(REQUESTS, ("/a",), [3.0]), (SECONDS, ("/a",), [2.5, 1.0, 2.0, 3.0])]
    write(segment_directory, *series)
    collection = collector.collect()
    assert 0 == collection.segments["unreadable"]
    shown = totals(collection)
    (requests,) = [family for family in collection.families if family.name == "requests_total"]
    by_label = [
        ({k: v for k, v in zip(requests.labels, labels, strict=True) if v}, value)
        for labels, value in shown["requests_total"].items()
    ]
    expected = [({}, 5.0), ({"route": "/a"}, 3.0), ({"route": "/a", "region": "eu"}, 7.0)]
    assert expected == sorted(by_label, key=lambda pair: len(pair[0]))
    # Of the bounds those are shown that both have; the bucket in between is in the next one.
    expected = {("/a",): ([2.0, 8.0, 11.0], 9.0)}
    assert expected == shown["wait_seconds"]
    assert {"requests_total", "wait_seconds"} == set(shown)
    assert [] == collection.queries


def test_a_format_of_the_future_is_left_to_its_exporter(
    write, segment_directory, collector, totals, caplog
):
    """Its file is counted, named and not removed; the others are shown."""
    path = newer(segment_directory)
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack("<I", 2)
    path.write_bytes(data)
    write(segment_directory, (REQUESTS, ("/a",), [3.0]))
    for _ in range(2):
        collection = collector.collect()
        assert 1 == collection.segments["unreadable"]
        assert {"requests_total": {("/a",): 3.0}} == totals(collection)
    expected = [{"file": str(path), "reason": "format version 2, this reader knows 1"}]
    assert expected == [record.fields for record in caplog.records]
    assert path.exists()
