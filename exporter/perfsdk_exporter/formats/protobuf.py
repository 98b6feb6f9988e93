"""Writes families as Prometheus's protobuf format, native histograms beside classic buckets.

Each family is one message with its length before it, in the order of the names. Counts are
integers and bounds reals: Prometheus spells `le` itself. What was written for a histogram is
kept with it, so one that nobody added to is not written again.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from operator import sub
from typing import Any

from perfsdk_exporter.families import Exemplar, Family, Histogram, Labels
from perfsdk_exporter.formats import schema
from perfsdk_exporter.formats.exposition import Format

NATIVE_SCHEMA = 3

ZERO_THRESHOLD = 2.0**-128
"""The zero bucket goes up to here. If it were 0, a histogram without observations could not be
told from a classic one, and Prometheus may take the first of a family for all of it."""

_LAST_ZERO_INDEX = -1024
"""The bucket that ends at the threshold: it and those below are part of the zero bucket."""

_LONGEST_GAP = 2
"""More empty buckets than this are cheaper as the offset of a new span."""

_SERIES_AT_ONCE = 500
"""Series that are joined to one piece of the page."""

_TYPES = {
    "counter": "COUNTER",
    "gauge": "GAUGE",
    "histogram": "HISTOGRAM",
    "summary": "SUMMARY",
    "unknown": "UNTYPED",
}


def render_protobuf(families: Iterable[Family]) -> Iterator[bytes]:
    """The page as messages of type MetricFamily, each after its length, in pieces."""
    for family in sorted(families, key=lambda f: f.name):
        head = _head(family)
        if not family.histograms:
            yield from _delimited(head, _values(family))
            continue
        # Most versions of Prometheus take all series of a message for what the first one is. A
        # family has native and classic ones only while processes of two versions run.
        for native in (True, False):
            histograms = {
                labels: histogram
                for labels, histogram in family.histograms.items()
                if (histogram.native is not None) == native
            }
            if histograms:
                yield from _delimited(head, _histograms(family, histograms, native=native))


PROTOBUF = Format(
    "application/vnd.google.protobuf",
    (),
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    render_protobuf,
)


def _head(family: Family) -> bytes:
    """The fields of a family that come before its series."""
    # Labels were checked; half a surrogate pair can only be in a help text.
    text = family.help.encode("utf-8", "replace").decode()
    head = schema.MetricFamily(name=family.name, help=text, type=_TYPES[family.kind])
    # Prometheus 3 refuses a page with a unit in which the name does not end.
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    if family.unit and name.endswith(f"_{family.unit}"):
        head.unit = family.unit
    serialized: bytes = head.SerializeToString()
    return serialized


def _delimited(head: bytes, series: Sequence[bytes]) -> Iterator[bytes]:
    """One message in pieces: the bytes of its fields, one after the other, are the message."""
    yield _varint(len(head) + sum(map(len, series))) + head
    for start in range(0, len(series), _SERIES_AT_ONCE):
        yield b"".join(series[start : start + _SERIES_AT_ONCE])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Series:
    """One message that is filled for series after series: a new one for each costs five times."""

    def __init__(self, names: Labels) -> None:
        self._family = schema.MetricFamily()
        self.metric = self._family.metric.add()
        self._labels = [self.metric.label.add(name=name) for name in names]

    def field(self, values: Labels) -> bytes:
        """The metric, as it is filled, as a field of its family: tag, length, metric."""
        for label, value in zip(self._labels, values, strict=True):
            label.value = value
        field: bytes = self._family.SerializeToString()
        return field


def _values(family: Family) -> list[bytes]:
    series = _Series(family.labels)
    message = getattr(series.metric, _TYPES[family.kind].lower())
    fields = []
    for labels, value in family.values.items():
        message.value = value
        fields.append(series.field(labels))
    return fields


def _histograms(
    family: Family, histograms: Mapping[Labels, Histogram], *, native: bool
) -> list[bytes]:
    series = _Series(family.labels)
    message: _Summary | _Buckets | None = None
    fields = []
    for labels, histogram in histograms.items():
        field = histogram.chunks.get("protobuf")
        if field is None:
            if message is None:
                message = (
                    _Summary(series.metric.summary)
                    if family.kind == "summary"
                    else _Buckets(series.metric.histogram, family.bounds, native=native)
                )
            message.fill(histogram)
            field = histogram.chunks["protobuf"] = series.field(labels)
        fields.append(field)
    return fields


class _Summary:
    """The message of a summary: count and sum."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def fill(self, histogram: Histogram) -> None:
        self._message.sample_count = int(sum(histogram.buckets))
        self._message.sample_sum = histogram.sum


class _Buckets:
    """The message of a histogram; what all histograms of a family share is set once."""

    def __init__(self, message: Any, bounds: tuple[float, ...], *, native: bool) -> None:
        self._message = message
        self._bounds = bounds
        self._buckets = [message.bucket.add(upper_bound=bound) for bound in (*bounds, inf)]
        self._marked: list[Any] = []  # the buckets that have an exemplar
        self._exemplar = schema.Exemplar()
        self._ids = [self._exemplar.label.add(name=name) for name in ("trace_id", "span_id")]
        if native:
            message.schema = NATIVE_SCHEMA
            message.zero_threshold = ZERO_THRESHOLD

    def fill(self, histogram: Histogram) -> None:
        counts = list(accumulate(map(int, histogram.buckets)))
        if histogram.native is not None:
            counts[-1] = self._fill_native(histogram.native.buckets, counts[-1])
        for bucket, count in zip(self._buckets, counts, strict=True):
            bucket.cumulative_count = count
        self._message.sample_count = counts[-1]
        self._message.sample_sum = histogram.sum
        self._fill_exemplars(histogram.exemplars, native=histogram.native is not None)

    def _fill_native(self, buckets: Mapping[int, float], count: int) -> int:
        """Set spans, deltas and zero bucket; return the count that the histogram then has.

        Prometheus refuses the whole page when native buckets do not add up to the count. So
        what they do not hold is in the zero bucket, and the count is never below what they hold.
        """
        message = self._message
        del message.positive_span[:], message.positive_delta[:]
        if buckets and next(iter(buckets)) <= _LAST_ZERO_INDEX:
            buckets = {i: number for i, number in buckets.items() if i > _LAST_ZERO_INDEX}
        found: list[float] = []
        started = 0  # where the span begins in what was found
        after: int | None = None  # the index after the last bucket
        for index, number in buckets.items():
            if index != after:
                gap = index - (after or 0)
                if after is None or gap > _LONGEST_GAP:
                    self._end_span(len(found) - started)
                    message.positive_span.add(offset=gap)
                    started = len(found)
                else:
                    found += [0.0] * gap
            found.append(number)
            after = index + 1
        self._end_span(len(found) - started)
        counts = list(map(int, found))
        message.positive_delta.extend(map(sub, counts, [0, *counts]))
        inside = sum(counts)
        message.zero_count = max(count - inside, 0)
        return max(count, inside)

    def _end_span(self, length: int) -> None:
        if length:
            self._message.positive_span[-1].length = length

    def _fill_exemplars(self, exemplars: Iterable[Exemplar], *, native: bool) -> None:
        message, copied = self._message, self._exemplar
        for bucket in self._marked:
            bucket.ClearField("exemplar")
        self._marked.clear()
        del message.exemplars[:]
        for exemplar in exemplars:
            for label, text in zip(self._ids, (exemplar.trace_id, exemplar.span_id), strict=True):
                label.value = text
            copied.value = exemplar.value
            # In whole microseconds: milliseconds are cut off there, not rounded.
            seconds, microseconds = divmod(round(exemplar.time * 1e6), 1_000_000)
            copied.timestamp.seconds = seconds
            copied.timestamp.nanos = microseconds * 1000
            bucket = self._buckets[bisect_left(self._bounds, exemplar.value)]
            bucket.exemplar.CopyFrom(copied)
            self._marked.append(bucket)
            if native:
                message.exemplars.append(copied)
