"""Reads what the segments of a directory hold: who writes them, and what they count of perfsdk."""

import errno
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from perfsdk.catalog import (
    DROPPED_SERIES,
    HTTP_SERVER_REQUEST_DURATION,
    INTEGRATION_INFO,
    INTERNAL_ERRORS,
    PROCESS_START_TIME,
    UNRESOLVED_ROUTES,
    Metric,
)
from perfsdk.frameworks.labels import UNRESOLVED
from perfsdk.store.format import FormatError
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.store.series import SeriesRecord

_COUNTED = {metric.name: metric for metric in (DROPPED_SERIES, INTERNAL_ERRORS, UNRESOLVED_ROUTES)}
_NAME = re.compile(r"[0-9a-f]{32}")
_ROUTE = HTTP_SERVER_REQUEST_DURATION.labels.index("http_route")


class Worker(NamedTuple):
    """What a live process says about itself."""

    pid: int
    service: str
    sdk_version: str
    python_version: str


class Unreadable(NamedTuple):
    """A file that is named like a segment, and why its numbers are not shown."""

    name: str
    reason: str


@dataclass(slots=True)
class Reading:
    """Everything that is read from the segments; `problem` says why there is nothing.

    `counts` holds counters by the metric's name and the values of its labels; `libraries`
    the live workers by library, version and status; `started` when they began, in seconds since
    the epoch; `unresolved` the requests under `<unresolved>`.
    """

    live: list[Worker] = field(default_factory=list)
    dead: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    libraries: Counter[tuple[str, ...]] = field(default_factory=Counter)
    started: set[float] = field(default_factory=set)
    unresolved: int = 0
    problem: str = ""


def read_segments(directory: Path) -> Reading:
    """Read all segments once; what cannot be read is named."""
    reading = Reading()
    seen: dict[bytes, str] = {}
    try:
        # Files with the name of an identity first: of two the other one is the copy.
        paths = sorted(find_segments(directory), key=lambda path: not _NAME.fullmatch(path.stem))
    except OSError as error:
        reading.problem = f"{directory}: {error.strerror}; run the doctor as its owner"
        return reading
    for path in paths:
        _read(path, reading, seen)
    return reading


def _read(path: Path, reading: Reading, seen: dict[bytes, str]) -> None:
    try:
        _add(path, reading, seen)
    except FileNotFoundError:
        pass  # folded by an exporter since the directory was listed
    except (FormatError, OSError) as error:
        reading.unreadable.append(Unreadable(path.name, _reason(error)))


def _add(path: Path, reading: Reading, seen: dict[bytes, str]) -> None:
    reader = SegmentReader(path)
    try:
        live = reader.is_live()
        reader.refresh()
    finally:
        reader.close()
    if reader.unreadable_records:
        raise FormatError(f"the checksum of {reader.unreadable_records} of its records is wrong")
    original = seen.setdefault(reader.header.identity, path.name)
    if original != path.name:
        raise FormatError(f"is a copy of {original}")
    if live:
        reading.live.append(_worker(reader))
    else:
        reading.dead += 1
    for series in reader.series:
        _take(series, reader, reading, live=live)


def _worker(reader: SegmentReader) -> Worker:
    names = ("service", "sdk_version", "python_version")
    return Worker(reader.header.pid, *(str(reader.facts.get(name, "?")) for name in names))


def _take(series: SeriesRecord, reader: SegmentReader, reading: Reading, *, live: bool) -> None:
    name, value = series.metric.name, reader.values[series.cell]
    if name in _COUNTED:
        labels = _labels(series, _COUNTED[name])
        key = (name, *labels)
        reading.counts[key] += _whole(value)
    elif name == HTTP_SERVER_REQUEST_DURATION.name and _route(series) == UNRESOLVED:
        first = series.cell + 1 + series.metric.native
        buckets = reader.values[first : first + len(series.metric.bounds) + 1]
        reading.unresolved += sum(map(_whole, buckets))
    elif live and value == 1.0 and name == INTEGRATION_INFO.name:
        reading.libraries[_labels(series, INTEGRATION_INFO)] += 1
    elif live and name == PROCESS_START_TIME.name and math.isfinite(value):
        reading.started.add(value)


def _route(series: SeriesRecord) -> str:
    return _labels(series, HTTP_SERVER_REQUEST_DURATION)[_ROUTE]


def _labels(series: SeriesRecord, metric: Metric) -> tuple[str, ...]:
    """The values of the labels that the catalog knows; a file may have others."""
    values = dict(zip(series.metric.labels, series.labels, strict=True))
    return tuple(values.get(label, "") for label in metric.labels)


def _whole(value: float) -> int:
    """A count; 0 for what no process writes."""
    return round(value) if math.isfinite(value) and value > 0 else 0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        link = "is a symbolic link"
        return link if error.errno == errno.ELOOP else error.strerror or str(error)
    return str(error)
