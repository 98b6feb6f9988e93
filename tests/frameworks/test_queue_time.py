"""The wait before the application is what the proxy says, in its unit, where that can be true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.frameworks.queue_time import MAX_SECONDS, QueueTime, waited_seconds
from perfsdk.testing import Recording

NOW = 1_790_000_000.25
QUEUE = "http_server_request_queue_duration_seconds"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("t=1790000000.125", 0.125),
        ("1790000000.125", 0.125),
        (b"t=1790000000.125", 0.125),
        ("1790000000125", 0.125),
        ("t=1790000000125000", 0.125),
        ("1790000000125000000", 0.125),
        (" t=1790000000 , t=1", 0.25),
        ("1790000000.25", 0.0),
        ("1790000001", None),
        ("1780000000", None),
        ("0", None),
        ("-1790000000", None),
        ("", None),
        ("t=", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_unit_is_told_by_the_magnitude(value, expected):
    """Seconds, milliseconds, microseconds and nanoseconds; no wait in the future or past belief."""
    waited = waited_seconds(value, NOW)
    assert waited == (None if expected is None else pytest.approx(expected, abs=1e-6))


@given(st.one_of(st.text(), st.binary(), st.floats().map(repr)))
def test_no_header_harms(value):
    """Whatever a client sends is a wait within bounds, or none."""
    waited = waited_seconds(value, NOW)
    assert waited is None or 0 <= waited <= MAX_SECONDS


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"x-request-start", b"t=1")], 0),
        ([(b"host", b"a"), (b"x-queue-start", b"%d")], 1),
        ([(b"x-request-start", b"%d"), (b"x-queue-start", b"t=1")], 1),
        ([(b"x-request-start", b""), (b"x-queue-start", b"%d")], 1),
        ([], 0),
    ],
)
def test_the_first_header_that_is_there_counts(headers, expected, monkeypatch):
    """X-Request-Start before X-Queue-Start."""
    monkeypatch.setattr("perfsdk.frameworks.queue_time.time", lambda: NOW)
    with Recording() as recording:
        queue = QueueTime(recording.recorder)
        queue.observe_headers([(k, v.replace(b"%d", b"1790000000")) for k, v in headers])
        assert expected == recording.count(QUEUE)


@pytest.mark.parametrize("headers", [None, 1, [1], [(b"a",)], [(b"x-request-start", None)]])
def test_headers_that_are_none_harm_nobody(headers, swallow_errors):
    """A server that hands on nonsense loses the figure alone."""
    with Recording() as recording:
        QueueTime(recording.recorder).observe_headers(headers)
        assert 0 == recording.count(QUEUE)
