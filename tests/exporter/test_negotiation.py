"""The client's headers choose the format, as RFC 9110 and Prometheus mean them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk_exporter.exposition import OPENMETRICS, TEXT
from perfsdk_exporter.negotiation import accepts_gzip, choose_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("accept", [PROMETHEUS_2_42, PROMETHEUS_3, PROMETHEUS_WITH_PROTOBUF])
def test_prometheus_gets_openmetrics(accept):
    """The real headers of Prometheus yield OpenMetrics 1.0.0."""
    expected = OPENMETRICS
    assert expected == choose_format(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0",
        'application/openmetrics-text; version="1.0.0"',
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text, text/plain",
        "application/openmetrics-text;q=0.5, text/plain;q=0.4",
        "application/openmetrics-text;q=0.5, */*;q=0.1",
        "application/openmetrics-text;q=0.001",
        "application/*",
        "text/plain;q=0, */*",
        "text/plain;q=0.4, application/*;q=0.5",
        "application/openmetrics-text;q=0, application/openmetrics-text;version=1.0.0",
    ],
)
def test_openmetrics_when_it_is_preferred(accept):
    """OpenMetrics when it is named as gladly as text, or when text is excluded."""
    expected = OPENMETRICS
    assert expected == choose_format(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/*",
        "text/plain",
        "text/plain; version=0.0.4; charset=utf-8",
        BROWSER,
        "garbage",
        ";;;,,,=",
        "*",
        "application/json",
        "application/vnd.google.protobuf",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0, */*",
        "application/openmetrics-text;q=0.0, text/plain;q=0.1",
        "application/openmetrics-text;q=0.4, text/plain;q=0.5",
        "application/openmetrics-text, text/plain;version=0.0.4",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;version=99.0, */*;q=0.1",
        "application/openmetrics-text;q=2",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=",
        "*/*;q=0",
    ],
)
def test_text_when_nothing_better_is_asked_for(accept):
    """Text 0.0.4 for wildcards, for garbage, and for versions that we do not have."""
    expected = TEXT
    assert expected == choose_format(accept)


def test_the_content_types_are_exact():
    """The strings that Prometheus compares."""
    expected = "text/plain; version=0.0.4; charset=utf-8"
    assert expected == TEXT.content_type
    expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert expected == OPENMETRICS.content_type


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("deflate, GZip;q=0.5, br", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=x", False),
        ("*;q=0", False),
        ("x-gzip-not", False),
    ],
)
def test_gzip_only_when_it_is_accepted(accept_encoding, expected):
    """Compression honours q-values as well."""
    assert expected == accepts_gzip(accept_encoding)


@given(st.text(st.sampled_from('*/;,=q0.15" textplainversion'), max_size=60))
def test_no_header_makes_it_fail(text):
    """Whatever a client sends, there is a format."""
    assert choose_format(text) in (TEXT, OPENMETRICS)
    assert accepts_gzip(text) in (True, False)
