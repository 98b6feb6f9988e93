"""The newest observation of each range keeps its trace, the slowest one of a short while first."""

import pytest

from perfsdk import catalog, exemplars
from perfsdk.catalog import DB14, HTTP14
from perfsdk.exemplars import RANGES, WINDOW_SECONDS, range_edges
from perfsdk.recorder import Recorder
from perfsdk.store.exemplars import read_exemplar
from perfsdk.store.writer import SCRATCH, Writer
from perfsdk.testing import Recording
from tests.store.metrics import only_segment, read

DB = ("postgresql", "shop", "SELECT", "orders", "")
HTTP = ("GET", "/", "200", "")
START = 1_800_000_000.0


class Span:
    """What a tracing library gives: ids, and whether the trace is sampled."""

    def __init__(self, trace_id, *, sampled=True, is_valid=True):
        self.trace_id = self.span_id = trace_id
        self.trace_flags = int(sampled)
        self.is_valid = is_valid

    def get_span_context(self):
        return self


@pytest.fixture
def recording(perfsdk_dir):
    """A recorder, and what it wrote."""
    with Recording(perfsdk_dir) as made:
        yield made


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is the time, in seconds since the epoch."""

    class Clock:
        now = START

    monkeypatch.setattr(exemplars, "time", lambda: Clock.now)
    return Clock


@pytest.fixture
def observe(recording):
    """`observe(value, span)`: a database operation took that long while the span was current."""
    series = recording.recorder.histogram(catalog.DB_CLIENT_OPERATION_DURATION)[DB]

    def observe(value, span):
        recording.recorder.spans.current = lambda: span
        series.observe(value)

    return observe


@pytest.fixture
def kept(recording):
    """`kept()`: for each exemplar of the only series its trace id as a number, and its value."""

    def read_all():
        reader = read(only_segment(recording.directory))
        found = [
            read_exemplar(reader.values, cell)
            for series in reader.series
            for _, cell in sorted(series.exemplars.items())
        ]
        reader.close()
        return [(int(trace_id, 16), value) for trace_id, _, value, _ in found]

    return read_all


def test_ranges_are_groups_of_buckets():
    """A bound of a range is one of a bucket, so a bucket's exemplars are all of one range."""
    assert (0.075, 1.0) == range_edges(HTTP14)
    assert (0.01, 0.5) == range_edges(DB14)


def test_the_slow_ones_are_kept_beside_the_fast(observe, kept, clock):
    """What comes later replaces what is in the same range of values alone."""
    for trace, value in enumerate((2.0, 0.2, 0.002, 0.003), start=1):
        clock.now += 1
        observe(value, Span(trace))
    assert [(4, 0.003), (2, 0.2), (1, 2.0)] == kept()


def test_bounds_belong_to_the_range_below(observe, kept, clock):
    """As with buckets: a value that equals the bound is not above it."""
    for trace, value in enumerate((0.01, 0.5, 0.6), start=1):
        observe(value, Span(trace))
    assert [(1, 0.01), (2, 0.5), (3, 0.6)] == kept()


def test_within_the_window_the_slowest_stays(observe, kept, clock):
    """Of many observations in a short while the one that is worth a look is kept."""
    observe(0.02, Span(1))
    clock.now += WINDOW_SECONDS / 2
    observe(0.03, Span(2))
    observe(0.02, Span(3))
    assert [(2, 0.03)] == kept()
    clock.now += WINDOW_SECONDS / 4
    observe(0.04, Span(4))
    assert [(4, 0.04)] == kept()


def test_after_the_window_the_newest_counts(observe, kept, clock):
    """A slower one before does not stay for ever, nor does it make its window longer."""
    observe(0.02, Span(1))
    clock.now += WINDOW_SECONDS * 0.75
    observe(0.03, Span(2))
    clock.now += WINDOW_SECONDS / 2
    observe(0.02, Span(3))
    assert [(3, 0.02)] == kept()


def test_a_clock_that_is_set_back_ends_the_window(observe, kept, clock):
    """Else nothing would be kept until the old time is reached again."""
    observe(0.03, Span(1))
    clock.now -= 3600
    observe(0.02, Span(2))
    assert [(2, 0.02)] == kept()


@pytest.mark.parametrize(
    "span",
    [None, Span(1, sampled=False), Span(1, is_valid=False)],
    ids=["no span", "not sampled", "not valid"],
)
def test_without_a_sampled_span_there_is_none(observe, kept, span):
    """Nobody can look up a trace that was not kept; nor does one close the window for others."""
    observe(0.03, span)
    assert [] == kept()
    observe(0.02, Span(2))
    assert [(2, 0.02)] == kept()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_counted_has_none(observe, recording, kept, value):
    """NaN and infinities are dropped and counted as before, also with a span."""
    observe(value, Span(1))
    assert [] == kept()
    assert 1 == recording.value("perfsdk_internal_errors_total", where="recorder.not_finite")


def test_caches_have_none(recording, kept):
    """Only the metrics of which the catalog says so look for a span."""
    recording.recorder.spans.current = lambda: Span(1)
    durations = recording.recorder.histogram(catalog.CACHE_OPERATION_DURATION)
    durations.observe(("redis", "default", "get", ""), 0.1)
    assert [] == kept()


def test_the_observer_gives_the_span_of_a_request(recording, kept):
    """A request's span is not the one that happens to be current where its last byte is sent."""
    recording.recorder.spans.current = lambda: Span(1)
    series = recording.recorder.histogram(catalog.HTTP_SERVER_REQUEST_DURATION)[HTTP]
    series.observe(0.2)
    assert [] == kept()
    series.exemplars.offer(0.2, Span(2))
    assert [(2, 0.2)] == kept()


@pytest.mark.usefixtures("swallow_errors")
def test_a_span_that_raises_costs_the_exemplar_alone(recording, observe, kept):
    """What a tracing library does wrong does not reach the application, nor the count."""

    class Broken:
        def get_span_context(self):
            raise RuntimeError

    observe(0.2, Broken())
    assert [] == kept()
    assert 1 == recording.count("db_client_operation_duration_seconds")


def test_without_room_observations_are_counted_still(perfsdk_dir):
    """A full segment has no exemplar for a series whose buckets are there."""
    writer = Writer(perfsdk_dir, size_bytes=1 << 20)
    recorder = Recorder(writer)
    series = recorder.histogram(catalog.DB_CLIENT_OPERATION_DURATION)[DB]
    series.observe(0.002)
    while writer.block(series.base, 0) != SCRATCH:
        pass
    recorder.spans.current = lambda: Span(1)
    series.observe(0.002)
    reader = read(only_segment(perfsdk_dir))
    (found,) = reader.series
    assert {} == found.exemplars
    assert 2 == sum(reader.values[found.cell + 2 : found.cell + 2 + len(DB14)])
    reader.close()
    writer.close()


def test_a_series_of_seven_octaves_takes_at_most_a_kilobyte(recording, kept, clock):
    """Buckets and exemplars of all ranges, for durations of 40 ms to 2.6 s."""
    recorder = recording.recorder
    series = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DURATION)[HTTP]
    before = series.base
    for number in range(60):
        value = 0.04 * 1.073**number
        clock.now += 1
        series.observe(value)
        series.exemplars.offer(value, Span(number + 1))
    recorder.spans.current = None
    assert RANGES == len(kept())
    assert (recorder.writer.segment.cells_end - before) * 8 <= 1024
