"""The page is read as Prometheus reads it, quantiles above all."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.cli.demo.page import Quantile, Sample, add_buckets, parse_page, quantile
from tests.servers import free_port, query, start_prometheus, wait_until

BUCKETS = {0.1: 10.0, 0.5: 60.0, 1.0: 90.0, math.inf: 100.0}


def test_samples_are_found_by_name_with_their_labels():
    """A line of the page becomes one sample; a name that is not there has none."""
    page = parse_page('# TYPE a_total counter\na_total{x="1"} 3\na_total{x="2"} 4.5\n')
    assert [Sample({"x": "1"}, 3.0), Sample({"x": "2"}, 4.5)] == page["a_total"]
    assert [] == page["nonesuch"]


def test_series_of_one_histogram_add_up_by_bound():
    """Two series become one, its bounds in order."""
    bounds = [("+Inf", 3.0), ("0.5", 2.0), ("+Inf", 10.0), ("0.5", 4.0)]
    samples = [Sample({"le": bound}, count) for bound, count in bounds]
    assert [(0.5, 6.0), (math.inf, 13.0)] == list(add_buckets(samples).items())


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (0.05, Quantile(0.05, 0.0, 0.1)),
        (0.10, Quantile(0.1, 0.0, 0.1)),
        (0.35, Quantile(0.3, 0.1, 0.5)),
        (0.90, Quantile(1.0, 0.5, 1.0)),
        (0.95, Quantile(1.0, 1.0, math.inf)),
    ],
)
def test_a_quantile_is_interpolated_in_its_bucket(q, expected):
    """Values are spread evenly in a bucket; of the last one only the lower bound is known."""
    assert expected == pytest.approx(quantile(BUCKETS, q))


def test_nothing_observed_has_no_quantile():
    """An empty histogram gives None, not a number."""
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0, math.inf: 0.0}, 0.5) is None


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=16).filter(any),
    st.floats(0.001, 1.0),
)
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(counts, q):
    """Whatever the buckets: the value is between the bounds, which enclose the rank."""
    totals = [float(sum(counts[: n + 1])) for n in range(len(counts))]
    bounds = [*(float(n + 1) for n in range(len(counts) - 1)), math.inf]
    found = quantile(dict(zip(bounds, totals, strict=True)), q)
    assert found is not None
    assert found.lower <= found.value <= found.upper
    below = dict(zip(bounds, totals, strict=True)).get(found.lower, 0.0)
    at_most = dict(zip(bounds, totals, strict=True))[found.upper]
    assert below <= q * totals[-1] <= at_most


def test_quantiles_are_those_of_prometheus(tmp_path):
    """histogram_quantile of a real Prometheus gives the same numbers."""
    counts = {0.005: 3, 0.01: 40, 0.05: 41, 0.25: 90, 1.0: 97, math.inf: 100}
    rules = [
        {
            "record": "d_bucket",
            "expr": str(count),
            "labels": {"le": f"{bound}".replace("inf", "+Inf")},
        }
        for bound, count in counts.items()
    ]
    rule_file = tmp_path / "rules.yml"
    rule_file.write_text(json.dumps({"groups": [{"name": "buckets", "rules": rules}]}))
    with start_prometheus(tmp_path, [f"127.0.0.1:{free_port()}"], rule_files=[rule_file]) as server:
        wait_until(lambda: len(query(server.url, "d_bucket")) == len(counts))
        for q in (0.01, 0.4, 0.5, 0.9, 0.95, 0.98, 0.99):
            (sample,) = query(server.url, f"histogram_quantile({q}, d_bucket)")
            assert sample.value == pytest.approx(quantile(counts, q).value)
