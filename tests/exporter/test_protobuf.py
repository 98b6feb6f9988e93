"""The protobuf page is exact, byte for byte where it is small, and kept where nothing changed."""

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk_exporter.families import Exemplar, Family, Histogram, Native
from perfsdk_exporter.formats.protobuf import PROTOBUF, ZERO_THRESHOLD, render_protobuf
from perfsdk_exporter.formats.schema import MetricFamily

ONE = Exemplar("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 0.5, 1_700_000_000.25)
OTHER = Exemplar("1" * 32, "2" * 16, 7.5, 1_700_000_001.0)


def read_varint(page, start):
    """The number at an offset and the offset after it."""
    number = shift = 0
    while True:
        byte = page[start]
        number |= (byte & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if byte < 0x80:
            return number, start


def messages(families):
    """The messages of a page, read as any client reads them: length, message, length, message."""
    page, found, start = b"".join(render_protobuf(families)), [], 0
    while start < len(page):
        length, start = read_varint(page, start)
        assert start + length <= len(page)
        found.append(MetricFamily.FromString(page[start : start + length]))
        start += length
    return found


def family(name="m", kind="gauge", *, labels=(), values=None, unit="", help_text="Help.", **more):
    values = {} if values is None else values
    return Family(
        name=name, kind=kind, unit=unit, help=help_text, labels=labels, values=values, **more
    )


def histogram_message(histogram, bounds=(1.0,)):
    """The message of a histogram that is alone on its page."""
    (found,) = messages([family(kind="histogram", bounds=bounds, histograms={(): histogram})])
    (metric,) = found.metric
    return metric.histogram


def labels_of(message):
    return tuple((label.name, label.value) for label in message.label)


def native_buckets(message):
    """Index and count of the buckets that spans and deltas stand for, empty ones too."""
    deltas, found, index, count = iter(message.positive_delta), {}, 0, 0
    for span in message.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            found[index] = count
            index += 1
    assert list(deltas) == []
    return found


def test_a_gauge_byte_by_byte():
    """Length, name, help, type, and a series with a label: the wire format of metrics.proto."""
    page = b"".join(render_protobuf([family(labels=("a",), values={("é",): 1.5})]))
    expected = bytes.fromhex(
        "22"  # 34 bytes follow
        "0a 01 6d"  # 1, name: m
        "12 05 48 65 6c 70 2e"  # 2, help: Help.
        "18 01"  # 3, type: GAUGE
        "22 14"  # 4, metric of 20 bytes
        "0a 07 0a 01 61 12 02 c3 a9"  # 1, label: a, é
        "12 09 09 00 00 00 00 00 00 f8 3f"  # 2, gauge: 1, value
    )
    assert expected == page


def test_a_native_histogram_byte_by_byte():
    """Classic and native buckets of one histogram: the wire format of metrics.proto."""
    histogram = Histogram([1.0, 3.0], 4.5, Native(1.0, {0: 1.0, 1: 2.0}))
    page = b"".join(
        render_protobuf(
            [family("h", "histogram", help_text="", bounds=(1.0,), histograms={(): histogram})]
        )
    )
    expected = bytes.fromhex(
        "47"  # 71 bytes follow
        "0a 01 68 12 00 18 04"  # name, help, type: HISTOGRAM
        "22 3e 3a 3c"  # metric of 62 bytes: 7, histogram of 60
        "08 04"  # 1, sample_count
        "11 00 00 00 00 00 00 12 40"  # 2, sample_sum
        "1a 0b 08 01 11 00 00 00 00 00 00 f0 3f"  # 3, bucket: 1 up to 1.0
        "1a 0b 08 04 11 00 00 00 00 00 00 f0 7f"  # 3, bucket: 4 up to +Inf
        "28 06"  # 5, schema: 3, zigzag
        "31 00 00 00 00 00 00 f0 37"  # 6, zero_threshold: 2**-128
        "38 01"  # 7, zero_count
        "62 04 08 00 10 02"  # 12, positive_span: offset 0, length 2
        "68 02 68 02"  # 13, positive_delta: 1, 1, zigzag
    )
    assert expected == page


def test_the_content_type_is_exact():
    """The string that Prometheus compares."""
    expected = (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
        "encoding=delimited"
    )
    assert expected == PROTOBUF.content_type
    assert b"" == b"".join(PROTOBUF.render([]))


@pytest.mark.parametrize(
    ("kind", "field", "number"),
    [("counter", "counter", 0), ("gauge", "gauge", 1), ("unknown", "untyped", 3)],
)
@given(
    values=st.dictionaries(
        st.tuples(st.text(max_size=20), st.text(max_size=200)),
        st.floats(allow_nan=False, allow_infinity=False),
        max_size=6,
    ),
    help_text=st.text(max_size=30),
)
@settings(max_examples=50)
def test_values_round_trip(kind, field, number, values, help_text):
    """Any label values and any real are read back as they were, in the order of the family."""
    given_family = family("m_total", kind, labels=("a", "b"), values=values, help_text=help_text)
    (found,) = messages([given_family])
    assert ("m_total", help_text, number) == (found.name, found.help, found.type)
    expected = [((("a", a), ("b", b)), value) for (a, b), value in values.items()]
    assert expected == [(labels_of(m), getattr(m, field).value) for m in found.metric]


counts = st.integers(0, 2**45).map(float)
native_indexes = st.integers(-1030, -1010) | st.integers(-60, 60) | st.integers(8000, 8192)
natives = st.dictionaries(native_indexes, st.integers(1, 2**40).map(float), max_size=25).map(
    lambda buckets: dict(sorted(buckets.items()))
)


@st.composite
def histograms(draw):
    """A histogram whose buckets of both kinds hold as many observations, or a classic one."""
    buckets = draw(st.lists(counts, min_size=4, max_size=4))
    total = draw(st.floats(-1e300, 1e300))
    if draw(st.booleans()):
        return Histogram(buckets, total)
    positive, zero = draw(natives), draw(counts)
    return Histogram([0.0, zero, 0.0, sum(positive.values())], total, Native(zero, positive))


@given(
    shown=st.dictionaries(st.tuples(st.text(max_size=9)), histograms(), max_size=5),
    bounds=st.lists(st.floats(0, 1e9), min_size=3, max_size=3, unique=True).map(sorted),
)
@settings(max_examples=150)
def test_histograms_round_trip(shown, bounds):
    """Buckets of both kinds, zero bucket, count and sum are read back, kept chunks or not."""
    page = [
        family("h", "histogram", labels=("r",), bounds=tuple(bounds), histograms=shown),
        family("s", "summary", labels=("r",), histograms={("x",): Histogram([7.0], 2.5)}),
    ]
    first, again = messages(page), messages(page)
    assert first == again
    assert ("s", 2) == (first[-1].name, first[-1].type)
    assert (7, 2.5) == (
        first[-1].metric[0].summary.sample_count,
        first[-1].metric[0].summary.sample_sum,
    )
    found = {labels_of(m): m.histogram for message in first[:-1] for m in message.metric}
    assert {(("r", r),) for (r,) in shown} == set(found)
    for (label,), histogram in shown.items():
        message = found[("r", label),]
        expected = [sum(histogram.buckets[: i + 1]) for i in range(4)]
        assert expected == [bucket.cumulative_count for bucket in message.bucket]
        assert [*bounds, math.inf] == [bucket.upper_bound for bucket in message.bucket]
        assert (sum(histogram.buckets), histogram.sum) == (
            message.sample_count,
            message.sample_sum,
        )
        assert (histogram.native is None) == (message.zero_threshold == 0)
        if histogram.native is not None:
            assert_native(histogram.native, message)


def assert_native(native, message):
    tiny = sum(count for index, count in native.buckets.items() if index <= -1024)
    assert native.zero + tiny == message.zero_count
    assert (3, ZERO_THRESHOLD) == (message.schema, message.zero_threshold)
    found = native_buckets(message)
    assert message.sample_count == message.zero_count + sum(found.values())
    expected = {index: count for index, count in native.buckets.items() if index > -1024}
    assert expected == {index: count for index, count in found.items() if count}
    # Never more than two empty buckets between two, none at the ends.
    gaps = [b - a for a, b in zip(list(expected), list(expected)[1:], strict=False)]
    assert len(found) - len(expected) == sum(gap - 1 for gap in gaps if gap <= 3)
    assert all(span.length for span in message.positive_span)


def test_a_native_histogram_without_observations_is_one():
    """Its zero threshold tells it from a classic one, so it needs no empty span as a mark."""
    message = histogram_message(Histogram([0.0, 0.0], 0.0, Native(0.0, {})))
    assert (3, ZERO_THRESHOLD) == (message.schema, message.zero_threshold)
    assert ([], []) == (list(message.positive_span), list(message.positive_delta))


@pytest.mark.parametrize(
    ("buckets", "native", "count", "zero"),
    [
        ([3.0, 2.0], Native(1.0, {4: 3.0}), 5, 2),
        ([1.0, 0.0], Native(1.0, {4: 3.0}), 3, 0),
    ],
    ids=["native buckets behind", "native buckets ahead"],
)
def test_native_buckets_always_add_up_to_the_count(buckets, native, count, zero):
    """Prometheus refuses a page where they do not; `+Inf` equals the count here too."""
    message = histogram_message(Histogram(buckets, 1.0, native))
    assert (count, zero) == (message.sample_count, message.zero_count)
    assert count == message.bucket[-1].cumulative_count
    assert {4: 3} == native_buckets(message)


def test_native_and_classic_series_of_a_family_are_two_messages():
    """Old Prometheus takes all series of a message for what the first one is."""
    shown = {
        ("a",): Histogram([1.0, 0.0], 1.0),
        ("b",): Histogram([1.0, 0.0], 1.0, Native(0.0, {0: 1.0})),
        ("c",): Histogram([2.0, 0.0], 1.0),
    }
    found = messages(
        [family(kind="histogram", labels=("l",), bounds=(1.0,), histograms=shown)],
    )
    assert [["b"], ["a", "c"]] == [[m.label[0].value for m in one.metric] for one in found]
    assert ["m", "m"] == [one.name for one in found]


@pytest.mark.parametrize("native", [Native(0.0, {-8: 1.0, 24: 1.0}), None])
def test_exemplars_are_on_their_buckets_alone(native):
    """Ids, value and time, on the classic bucket and the native histogram, of one series only."""
    shown = {
        ("a",): Histogram([1.0, 0.0, 1.0], 8.0, native, (ONE, OTHER)),
        ("b",): Histogram([1.0, 0.0, 1.0], 8.0, native),
        ("c",): Histogram([1.0, 0.0, 1.0], 8.0, native, (OTHER,)),
    }
    (found,) = messages(
        [family(kind="histogram", labels=("l",), bounds=(1.0, 5.0), histograms=shown)]
    )
    for metric, exemplars in zip(found.metric, [(ONE, OTHER), (), (OTHER,)], strict=True):
        buckets = metric.histogram.bucket
        on_buckets = [b.exemplar if b.HasField("exemplar") else None for b in buckets]
        expected = [ONE if ONE in exemplars else None, None, OTHER if exemplars else None]
        assert expected == [e and exemplar_of(e) for e in on_buckets]
        on_native = tuple(map(exemplar_of, metric.histogram.exemplars))
        assert (exemplars if native else ()) == on_native


def exemplar_of(message):
    assert ["trace_id", "span_id"] == [label.name for label in message.label]
    time = message.timestamp.seconds + message.timestamp.nanos / 1e9
    return Exemplar(*(label.value for label in message.label), message.value, time)


@given(st.floats(1e9, 1e10))
def test_the_time_of_an_exemplar_is_exact_to_the_microsecond(time):
    """Seconds and nanoseconds are both in their ranges."""
    histogram = Histogram([1.0, 0.0], 0.5, None, (ONE._replace(time=time),))
    found = histogram_message(histogram).bucket[0].exemplar.timestamp
    assert 0 <= found.nanos < 10**9
    assert abs(found.seconds + found.nanos / 1e9 - time) <= 2e-6


@pytest.mark.parametrize("kind", ["histogram", "summary"])
def test_what_was_written_for_a_histogram_is_kept(kind):
    """A histogram that is the same object is not written again, on this page or another."""
    bounds = (1.0,) if kind == "histogram" else ()
    kept, new = (Histogram([1.0] * (len(bounds) + 1), 1.0) for _ in range(2))
    one = family("h", kind, labels=("l",), bounds=bounds, histograms={("a",): kept, ("b",): new})
    page = b"".join(render_protobuf([one]))
    assert page.endswith(kept.chunks["protobuf"] + new.chunks["protobuf"])
    kept.chunks["protobuf"] = new.chunks["protobuf"]
    (found,) = messages([one])
    assert ["b", "b"] == [metric.label[0].value for metric in found.metric]


def test_a_large_family_comes_in_pieces():
    """No piece holds more than some hundred series, and together they are one message."""
    values = {(f"{number:05}",): float(number) for number in range(2000)}
    pieces = list(render_protobuf([family(labels=("l",), values=values)]))
    assert max(map(len, pieces)) < len(b"".join(pieces)) / 3
    (found,) = messages([family(labels=("l",), values=values)])
    assert list(values) == [(metric.label[0].value,) for metric in found.metric]


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("wait_seconds", "gauge", "seconds", "seconds"),
        ("spent_seconds_total", "counter", "seconds", "seconds"),
        ("spent_seconds_total", "gauge", "seconds", ""),
        ("waitseconds", "gauge", "seconds", ""),
        ("wait", "gauge", "seconds", ""),
        ("wait_seconds", "gauge", "", ""),
    ],
)
def test_a_unit_is_told_where_the_name_ends_in_it(name, kind, unit, expected):
    """Prometheus refuses a page where it does not."""
    (found,) = messages([family(name, kind, unit=unit, values={(): 1.0})])
    assert expected == found.unit


def test_broken_unicode_in_a_help_text_does_not_spoil_the_page():
    """Half a surrogate pair is replaced."""
    (found,) = messages([family(help_text="A\ud800b")])
    assert "A?b" == found.help


def test_families_are_sorted_by_name():
    """As in the text formats."""
    found = messages([family(name, values={(): 1.0}) for name in ("b", "a_total", "a")])
    assert ["a", "a_total", "b"] == [message.name for message in found]


OTHER_DECLARATION = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="prometheus.proto", package="io.prometheus.client")
message = file.message_type.add(name="MetricFamily")
message.field.add(name="other", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64)
pool = descriptor_pool.Default()
pool.AddSerializedFile(file.SerializeToString())
other = pool.FindMessageTypeByName("io.prometheus.client.MetricFamily")
assert b"\\x08\\x05" == message_factory.GetMessageClass(other)(other=5).SerializeToString()
"""
OUR_DECLARATION = """
from perfsdk_exporter.formats.schema import MetricFamily
assert b"\\x0a\\x01m" == MetricFamily(name="m").SerializeToString()
"""


@pytest.mark.parametrize("ours_first", [True, False])
def test_another_declaration_of_the_same_package_is_no_clash(ours_first):
    """An application may load Prometheus's own messages before or after ours."""
    parts = [OUR_DECLARATION, OTHER_DECLARATION]
    code = "".join(parts if ours_first else reversed(parts))
    subprocess.run([sys.executable, "-c", code], check=True)
