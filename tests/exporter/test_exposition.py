"""Both text formats are exact and read back by prometheus_client's own parsers."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from perfsdk_exporter.families import Exemplar, Family, Histogram
from perfsdk_exporter.formats.exposition import render_openmetrics, render_text, without_clashes


def text_page(families):
    """The whole page."""
    return b"".join(render_text(families))


def openmetrics_page(families):
    """The whole page."""
    return b"".join(render_openmetrics(families))


PARSERS = {
    "text": (text_page, text_parser.text_string_to_metric_families),
    "openmetrics": (openmetrics_page, openmetrics_parser.text_string_to_metric_families),
}

both_formats = pytest.mark.parametrize("form", PARSERS)


def samples_of(form, families):
    """[(name, labels, value)] as the format's parser reads the page."""
    render, parse = PARSERS[form]
    page = render(families).decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in parse(page)
        for sample in family.samples
    ]


def family(name="m", kind="gauge", *, labels=(), values=None, unit="", help_text="Help.", **more):
    values = {} if values is None else values
    return Family(
        name=name, kind=kind, unit=unit, help=help_text, labels=labels, values=values, **more
    )


PAGE = [
    family(
        "wait_seconds",
        "histogram",
        unit="seconds",
        labels=("route",),
        bounds=(0.005, 1.0, 10.0),
        histograms={
            ("/a",): Histogram([1.0, 2.0, 0.0, 3.0], 45.5),
            ("/b",): Histogram([0.0, 0.0, 0.0, 0.0], 0.0),
        },
    ),
    family("spent_seconds_total", "counter", unit="seconds", values={(): 0.1}, help_text='A "b"'),
    family("bytes_total", "counter", labels=("a", "b"), values={("x", ""): 2.0**53}),
    family("target_info", labels=("service_name",), values={("shop",): 2.0}),
    family("odd", "counter", unit="seconds", values={(): 3.0}, help_text="One\\two\nthree"),
]


def test_the_text_page_byte_by_byte():
    """Prometheus text 0.0.4: sorted, escaped, cumulative, with `le` as reals."""
    expected = r"""# HELP bytes_total Help.
# TYPE bytes_total counter
bytes_total{a="x",b=""} 9007199254740992.0
# HELP odd One\\two\nthree
# TYPE odd counter
odd 3.0
# HELP spent_seconds_total A "b"
# TYPE spent_seconds_total counter
spent_seconds_total 0.1
# HELP target_info Help.
# TYPE target_info gauge
target_info{service_name="shop"} 2.0
# HELP wait_seconds Help.
# TYPE wait_seconds histogram
wait_seconds_bucket{route="/a",le="0.005"} 1.0
wait_seconds_bucket{route="/a",le="1.0"} 3.0
wait_seconds_bucket{route="/a",le="10.0"} 3.0
wait_seconds_bucket{route="/a",le="+Inf"} 6.0
wait_seconds_count{route="/a"} 6.0
wait_seconds_sum{route="/a"} 45.5
wait_seconds_bucket{route="/b",le="0.005"} 0.0
wait_seconds_bucket{route="/b",le="1.0"} 0.0
wait_seconds_bucket{route="/b",le="10.0"} 0.0
wait_seconds_bucket{route="/b",le="+Inf"} 0.0
wait_seconds_count{route="/b"} 0.0
wait_seconds_sum{route="/b"} 0.0
"""
    assert expected == text_page(PAGE).decode()


def test_the_openmetrics_page_byte_by_byte():
    """OpenMetrics 1.0.0: families without `_total`, units, an info, an unknown, the end."""
    page = re.sub(r"wait_seconds_.*\n", "", openmetrics_page(PAGE).decode())
    expected = r"""# TYPE bytes counter
# HELP bytes Help.
bytes_total{a="x",b=""} 9007199254740992.0
# TYPE odd unknown
# HELP odd One\\two\nthree
odd 3.0
# TYPE spent_seconds counter
# UNIT spent_seconds seconds
# HELP spent_seconds A \"b\"
spent_seconds_total 0.1
# TYPE target info
# HELP target Help.
target_info{service_name="shop"} 1.0
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds Help.
# EOF
"""
    assert expected == page


@both_formats
def test_the_parser_accepts_the_page(form):
    """prometheus_client's parser of the format reads every sample."""
    expected = 17
    assert expected == len(samples_of(form, [*PAGE, family("z", values={(): -1.5})]))


def test_an_empty_page_is_valid():
    """No family is an empty text page and a terminated OpenMetrics page."""
    assert not text_page([])
    expected = b"# EOF\n"
    assert expected == openmetrics_page([])


finite = st.floats(allow_nan=False, allow_infinity=False)
label_values = st.dictionaries(
    st.tuples(st.text(max_size=20), st.text(st.sampled_from('\\"\n{}=,# a\r\t'), max_size=9)),
    finite,
    max_size=6,
)
counts = st.lists(st.integers(0, 2**45), min_size=4, max_size=4)


@both_formats
@given(values=label_values, help_text=st.text(max_size=30))
@settings(max_examples=150)
def test_labels_and_numbers_round_trip(form, values, help_text):
    """Any Unicode label value and any real reads back as it was, beside any help text."""
    gauge = family(labels=("a", "b"), values=values, help_text=help_text)
    expected = {(("a", a), ("b", b)): value for (a, b), value in values.items()}
    found = samples_of(form, [gauge])
    assert expected == {tuple(labels.items()): value for _, labels, value in found}
    assert len(expected) == len(found)


@both_formats
@given(
    histograms=st.dictionaries(
        st.tuples(st.text(max_size=9)), st.tuples(counts, st.floats(0, 1e9))
    ),
    bounds=st.lists(st.floats(0, 1e9), min_size=3, max_size=3, unique=True).map(sorted),
)
@settings(max_examples=100)
def test_histograms_round_trip(form, histograms, bounds):
    """Buckets are cumulative, `+Inf` equals the count, bounds read back as the same reals."""
    shown = {
        labels: Histogram([float(c) for c in buckets], total)
        for labels, (buckets, total) in histograms.items()
    }
    histogram = family(kind="histogram", labels=("r",), bounds=tuple(bounds), histograms=shown)
    found = {}
    for name, labels, value in samples_of(form, [histogram]):
        le = float(labels["le"]) if "le" in labels else None
        found.setdefault((labels["r"],), {})[name, le] = value
    assert set(histograms) == set(found)
    for labels, (buckets, total) in histograms.items():
        expected = {
            ("m_bucket", le): sum(buckets[: i + 1]) for i, le in enumerate([*bounds, math.inf])
        }
        expected |= {("m_count", None): sum(buckets), ("m_sum", None): total}
        assert expected == found[labels]


def test_exemplars_stand_at_the_bucket_that_holds_them():
    """OpenMetrics alone has them: trace, span, value and time behind the bucket's line."""
    exemplars = (
        Exemplar("ab" * 16, "cd" * 8, 0.5, 1700000000.25),
        Exemplar("ef" * 16, "01" * 8, 7.5, 1700000001.0),
    )
    shown = {("/a",): Histogram([2.0, 0.0, 1.0], 8.5, None, exemplars)}
    waits = family(kind="histogram", labels=("r",), bounds=(1.0, 5.0), histograms=shown)
    lines = openmetrics_page([waits]).decode().splitlines()
    ids = f'trace_id="{"ab" * 16}",span_id="{"cd" * 8}"'
    assert f'm_bucket{{r="/a",le="1.0"}} 2.0 # {{{ids}}} 0.5 1700000000.250' in lines
    (parsed,) = openmetrics_parser.text_string_to_metric_families("\n".join([*lines, ""]))
    found = {s.labels.get("le"): s.exemplar for s in parsed.samples if s.exemplar}
    assert {"1.0", "+Inf"} == set(found)
    expected = ({"trace_id": "ef" * 16, "span_id": "01" * 8}, 7.5, 1700000001.0)
    assert expected == (found["+Inf"].labels, found["+Inf"].value, float(found["+Inf"].timestamp))
    assert b"trace_id" not in text_page([waits])


@both_formats
def test_a_summary_is_its_count_and_its_sum(form):
    """Without quantiles, as client libraries in several processes have them."""
    summary = family(kind="summary", labels=("r",), histograms={("/a",): Histogram([3.0], 4.5)})
    expected = [("m_count", {"r": "/a"}, 3.0), ("m_sum", {"r": "/a"}, 4.5)]
    assert expected == samples_of(form, [summary])


@both_formats
def test_what_nobody_knows_the_type_of(form):
    """Prometheus text calls it untyped, OpenMetrics unknown."""
    (parsed,) = PARSERS[form][1](
        PARSERS[form][0]([family(kind="unknown", values={(): 1.0})]).decode()
    )
    expected = "unknown"
    assert expected == parsed.type


@both_formats
def test_a_histogram_is_written_once(form):
    """Its lines are kept with it, under the format's name, however many series there are."""
    shown = {(f"{i:04}",): Histogram([float(i)], float(i)) for i in range(1234)}
    waits = family(kind="histogram", labels=("r",), histograms=shown)
    render = PARSERS[form][0]
    page = render([waits])
    chunks = [histogram.chunks[form] for histogram in shown.values()]
    assert b"".join(chunks) in page
    shown["0007",].chunks[form] = b""
    assert len(page) - len(chunks[7]) == len(render([waits]))


@pytest.mark.parametrize(("bounds", "total"), [((1.0,), -1.0), ((-1.0,), 1.0), ((-1.0,), -1.0)])
def test_negative_observations_are_legal_in_both_formats(bounds, total):
    """OpenMetrics forbids the sum there; the text format shows it."""
    histogram = family(
        kind="histogram", bounds=bounds, histograms={(): Histogram([1.0, 1.0], total)}
    )
    text, openmetrics = (samples_of(form, [histogram]) for form in PARSERS)
    assert ("m_sum", {}, total) in text
    expected = ["m_bucket", "m_bucket"]
    assert expected == [name for name, _, _ in openmetrics]


def test_broken_unicode_in_a_help_text_does_not_spoil_the_page():
    """Half a surrogate pair is replaced."""
    assert b"# HELP m A?b" in text_page([family(help_text="A\ud800b")])


def test_without_a_help_text_there_is_no_help_line():
    """Parsers refuse an empty one in OpenMetrics."""
    assert b"HELP" not in text_page([family(help_text="")])
    assert b"HELP" not in openmetrics_page([family(help_text="")])


@pytest.mark.parametrize(
    ("one", "other", "clashing"),
    [
        (("a", "histogram"), ("a_count", "gauge"), ["a_count"]),
        (("a", "gauge"), ("a_total", "counter"), ["a_total"]),
        (("target", "gauge"), ("target_info", "gauge"), ["target_info"]),
        (("a", "gauge"), ("a_count", "gauge"), []),
        (("a", "gauge"), ("perfsdk_exporter_series", "gauge"), ["perfsdk_exporter_series"]),
    ],
)
def test_families_that_would_clash_are_split_off(one, other, clashing):
    """Two families never share a name of a sample, so that parsers accept the page."""
    pair = [
        family(name, kind, values={(): 1.0})
        if kind != "histogram"
        else family(name, kind, histograms={(): Histogram([1.0], 1.0)})
        for name, kind in (other, one)
    ]
    shown, left_out = without_clashes(pair)
    assert clashing == [found.name for found in left_out]
    assert len(samples_of("openmetrics", shown)) == len(samples_of("text", shown))
