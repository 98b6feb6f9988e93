"""Applications that are measured for one test, and what was recorded of them."""

import pytest

from perfsdk import instrument, uninstrument
from perfsdk.integrations import INTEGRATIONS
from perfsdk.testing import Recording


@pytest.fixture
def recording(perfsdk_dir):
    """What this process and its children recorded in the directory of the test."""
    with Recording(perfsdk_dir) as read:
        yield read


@pytest.fixture
def measured(monkeypatch):
    """`measured(app)` instruments an application for this test; libraries are left alone."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", ",".join(INTEGRATIONS))
    yield instrument
    uninstrument()


@pytest.fixture
def outcomes(recording):
    """`outcomes()`: how many requests have which method, route, status and error type."""

    def read():
        name = "http_server_request_duration_seconds"
        return {tuple(labels.values()): recording.count(name, **labels) for labels in _all(name)}

    def _all(name):
        return recording.series(name)

    return read


@pytest.fixture
def active(recording):
    """`active()`: requests that are being served, and whether there is an oldest one."""

    def read():
        oldest = recording.value("http_server_oldest_request_age_seconds")
        return recording.value("http_server_active_requests"), oldest != 0

    return read


@pytest.fixture
def routes(recording):
    """`routes()`: how many requests each route has."""

    def read():
        name = "http_server_request_duration_seconds"
        labels = {labels["http_route"] for labels in recording.series(name)}
        return {route: recording.count(name, http_route=route) for route in labels}

    return read
