"""The public recording: values by name and labels, of all processes, with and without pytest."""

import os
import subprocess
import sys

import pytest

from perfsdk import instrument, uninstrument
from perfsdk.catalog import (
    CACHE_ENTRIES,
    CACHE_REQUESTS,
    DB_CLIENT_OPERATION_DURATION,
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_RESPONSE_BODY_SIZE,
)
from perfsdk.testing import Recording, perfsdk_recording

__all__ = ["perfsdk_recording"]  # as a user imports it

REQUESTS = CACHE_REQUESTS.name
DURATIONS = DB_CLIENT_OPERATION_DURATION.name


def test_counters_and_gauges(perfsdk_recording):
    """Labels select, and what they select is added up; what was never recorded is 0."""
    recording = perfsdk_recording
    assert 0 == recording.value(REQUESTS)
    requests = recording.recorder.counter(CACHE_REQUESTS)
    requests.add(("redis", "a", "hit"), 2)
    requests.add(("redis", "a", "miss"))
    requests.add(("redis", "b", "hit"), 4)
    recording.recorder.gauge(CACHE_ENTRIES).set(("redis", "a"), 7)
    assert 7 == recording.value(REQUESTS)
    assert 6 == recording.value(REQUESTS, cache_result="hit")
    assert 2 == recording.value(REQUESTS, cache_name="a", cache_result="hit")
    assert 0 == recording.value(REQUESTS, cache_name="c")
    assert 7 == recording.value(CACHE_ENTRIES.name)


@pytest.mark.parametrize("metric", [DB_CLIENT_OPERATION_DURATION, HTTP_SERVER_RESPONSE_BODY_SIZE])
def test_histograms(perfsdk_recording, metric):
    """Count and sum, with native buckets and without, beyond the last bucket too."""
    recording = perfsdk_recording
    histogram = recording.recorder.histogram(metric)
    first, second = ("a",) * len(metric.labels), ("b",) * len(metric.labels)
    for value in (0.5, 0.25, 0.0, 1e9):
        histogram.observe(first, value)
    histogram.observe(second, 2.0)
    label = metric.labels[0]
    assert 5 == recording.count(metric.name)
    assert 4 == recording.count(metric.name, **{label: "a"})
    assert 1e9 + 0.75 == recording.sum(metric.name, **{label: "a"})
    assert 2.0 == recording.sum(metric.name, **{label: "b"})


def test_series_by_their_labels(perfsdk_recording):
    """Each set of label values once, sorted."""
    recording = perfsdk_recording
    assert [] == recording.series(REQUESTS)
    for name in ("b", "a", "b"):
        recording.recorder.counter(CACHE_REQUESTS).add(("redis", name, "hit"))
    expected = [
        {"cache_system": "redis", "cache_name": name, "cache_result": "hit"} for name in "ab"
    ]
    assert expected == recording.series(REQUESTS)


def test_mistakes_are_told(perfsdk_recording):
    """A wrong name, label or kind is an error, not a 0."""
    with pytest.raises(KeyError, match="no metric is called cache_requests"):
        perfsdk_recording.value("cache_requests")
    with pytest.raises(KeyError, match="has no label name"):
        perfsdk_recording.value(REQUESTS, name="a")
    with pytest.raises(TypeError, match="is a histogram"):
        perfsdk_recording.value(DURATIONS)
    with pytest.raises(TypeError, match="is a counter"):
        perfsdk_recording.count(REQUESTS)


def test_an_application_records_into_its_directory(perfsdk_recording):
    """What `instrument` records there, in this process or a child of it, is read together."""
    recording = perfsdk_recording

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    served = instrument(app, directory=str(recording.directory))
    try:
        _request(served)
        pid = os.fork()
        if pid == 0:
            _request(served)
            os._exit(0)
        assert (pid, 0) == os.waitpid(pid, 0)
    finally:
        uninstrument()
    assert 2 == recording.count(HTTP_SERVER_REQUEST_DURATION.name, http_response_status_code="204")


def test_a_temporary_directory_is_removed_and_a_given_one_stays(tmp_path):
    """The recording cleans up what it made."""
    with Recording() as temporary, Recording(tmp_path) as given:
        for recording in (temporary, given):
            recording.recorder.counter(CACHE_REQUESTS).add(("redis", "a", "hit"))
            assert 1 == recording.value(REQUESTS)
    assert not temporary.directory.exists()
    assert 1 == given.value(REQUESTS)


def test_it_needs_no_pytest():
    """A recording works where pytest is not installed; the fixture is not there then."""
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "import perfsdk.testing as testing\n"
        "assert not hasattr(testing, 'perfsdk_recording')\n"
        "with testing.Recording() as recording: assert recording.value('cache_requests_total') == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def _request(app):
    """Serve one request without a loop: nothing in it waits."""

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    coroutine = app(scope, receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)
