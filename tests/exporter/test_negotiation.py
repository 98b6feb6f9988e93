"""The client's headers choose the format, as RFC 9110 and Prometheus mean them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT
from perfsdk_exporter.formats.negotiation import accepts_gzip, choose_encoding, choose_format
from perfsdk_exporter.formats.protobuf import PROTOBUF

DELIMITED = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

# What Prometheus sends by default.
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_53 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_0 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;escaping=allow-utf-8;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_9 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

# What it sends when it wants native histograms.
NATIVE_2_42 = (
    f"{DELIMITED},application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
NATIVE_2_53 = (
    f"{DELIMITED};q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,"
    "application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
NATIVE_3_0 = (
    f"{DELIMITED};escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;escaping=allow-utf-8;q=0.2,*/*;q=0.1"
)
NATIVE_3_9 = (
    f"{DELIMITED};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_1 = f"{DELIMITED};q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept", [PROMETHEUS_2_42, PROMETHEUS_2_53, PROMETHEUS_3_0, PROMETHEUS_3_9]
)
def test_prometheus_gets_openmetrics(accept):
    """The real headers of Prometheus yield OpenMetrics 1.0.0."""
    expected = OPENMETRICS
    assert expected == choose_format(accept)


@pytest.mark.parametrize(
    "accept",
    [
        NATIVE_2_42,
        NATIVE_2_53,
        NATIVE_3_0,
        NATIVE_3_9,
        PROMETHEUS_1,
        DELIMITED,
        DELIMITED.replace(";", " ; "),
        DELIMITED.replace(
            "io.prometheus.client.MetricFamily", '"io.prometheus.client.MetricFamily"'
        ),
        DELIMITED.replace("application", "Application").replace("proto=", "Proto="),
        f"{DELIMITED}, application/openmetrics-text;version=1.0.0, text/plain;version=0.0.4",
        f"{DELIMITED};q=0.5, */*;q=0.1",
        f"{DELIMITED.replace('delimited', 'text')}, {DELIMITED};q=0.1",
        f"text/plain;q=0.4, {DELIMITED};q=0.5",
        f"*/*;q=0, {DELIMITED}",
    ],
)
def test_protobuf_when_it_is_preferred(accept):
    """Real headers that want native histograms, and whoever names the delimited messages."""
    expected = PROTOBUF
    assert expected == choose_format(accept)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/vnd.google.protobuf", TEXT),
        ("application/vnd.google.protobuf;encoding=delimited", TEXT),
        (DELIMITED.replace("delimited", "text"), TEXT),
        (DELIMITED.replace("delimited", "compact-text"), TEXT),
        (DELIMITED.replace("MetricFamily", "Other"), TEXT),
        (f"{DELIMITED};q=0", TEXT),
        (f"{DELIMITED};q=0, application/*", OPENMETRICS),
        (f"{DELIMITED};q=0.4, text/plain;q=0.5", TEXT),
        (f"{DELIMITED};q=0.8, application/openmetrics-text;q=0.9", OPENMETRICS),
        ("text/plain;q=0, application/openmetrics-text;q=0, */*", TEXT),
    ],
)
def test_protobuf_is_for_those_who_name_it_exactly(accept, expected):
    """No wildcard, no other message and no other encoding of it leads to protobuf."""
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


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", "gzip"),  # Prometheus
        ("identity", "identity"),  # Prometheus with enable_compression: false
        ("gzip, deflate, br, zstd", "zstd"),  # browsers
        ("", "identity"),
        ("deflate, br", "identity"),
        ("zstd", "zstd"),
        ("deflate, GZip;q=0.5, br", "gzip"),
        ("gzip;q=0.5, zstd;q=0.4", "gzip"),
        ("gzip, zstd;q=0", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;q=x", "identity"),
        ("gzip;q=x, zstd", "zstd"),
        ("x-gzip-not", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("*", "gzip"),
        ("*;q=0.5, identity", "identity"),
        ("gzip;q=0.5, *;q=0.5", "gzip"),
        ("gzip;q=0, *", "zstd"),
        ("*;q=0", "identity"),
        ("*;q=0, zstd;q=0.1", "zstd"),
        ("identity;q=0", "gzip"),
        ("identity;q=0, gzip;q=0", "zstd"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0, gzip;q=0, zstd;q=0", "identity"),
        ("identity;q=0, *;q=0", "identity"),
        (";;;,,,=", "identity"),
    ],
)
def test_the_content_coding_that_the_client_likes_best(accept_encoding, expected):
    """q-values, names before the wildcard, and nothing for those who did not ask."""
    assert expected == choose_encoding(accept_encoding)


@given(
    st.text(st.sampled_from('*/;,=q0.15" textplainversion'), max_size=60)
    | st.lists(
        st.sampled_from([DELIMITED, "*/*", "text/plain", "gzip", "zstd", "identity", ";q=0.5", ","])
    ).map("".join)
)
def test_no_header_makes_it_fail(text):
    """Whatever a client sends, there is a format and a coding."""
    assert choose_format(text) in (TEXT, OPENMETRICS, PROTOBUF)
    assert choose_encoding(text) in ("identity", "gzip", "zstd")
    assert accepts_gzip(text) in (True, False)
