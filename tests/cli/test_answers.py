"""The three answers are what a person would work out from the page by hand."""

import math

import pytest

from perfsdk.catalog import METRICS
from perfsdk.cli.demo import answers as answers_module
from perfsdk.cli.demo.answers import answer, has_failed
from perfsdk.cli.demo.page import Quantile, parse_page


def test_latencies_are_by_method_and_route_slowest_first(answers):
    """Requests, failures and quantiles add up the series of a route; the highest P99 leads."""
    search, orders, created = answers.latencies
    assert ("GET /search", 1000, 0) == (search.route, search.requests, search.failed)
    assert Quantile(0.1, 0.1, math.inf) == search.p99
    assert ("GET /orders", 100, 10) == (orders.route, orders.requests, orders.failed)
    assert Quantile(0.01, 0.005, 0.01) == orders.p50
    assert Quantile(0.1 - 0.09 * 5 / 50, 0.01, 0.1) == pytest.approx(orders.p95)
    assert ("POST /orders", 4, 0) == (created.route, created.requests, created.failed)
    assert Quantile(0.0025, 0.0, 0.005) == created.p50
    assert 1104 == answers.requests


def test_time_is_by_route_and_the_methods_share_it(answers):
    """Both bands make up the whole; the tail is told apart where a request was in it."""
    search, orders = answers.times
    assert "GET, POST /orders" == orders.route
    assert 104 == orders.all.requests
    assert 2.008 / 104 == pytest.approx(orders.all.average_seconds)
    assert 1.6 / 2.008 == pytest.approx(orders.all.share("db"))
    assert "db" == orders.all.bottleneck
    assert orders.tail is None
    assert 2104 / 104 == orders.db_calls
    assert "GET /search" == search.route
    assert 0.2 == pytest.approx(search.all.average_seconds)
    assert 50 == search.tail.requests
    assert 198 / 50 == pytest.approx(search.tail.average_seconds)
    assert 196 / 198 == pytest.approx(search.tail.share("db"))
    assert search.db_calls is None


def test_caches_are_told_by_lookups_busiest_first(answers):
    """Hit rate is hits of all lookups; the cost of a miss is absent where nobody measured it."""
    product, redis = answers.caches
    assert ("shop.load_product", "cachetools", 1000) == (
        product.cache,
        product.system,
        product.lookups,
    )
    assert 0.905 == product.hit_rate
    assert 0.002 == pytest.approx(product.miss_seconds)
    assert 0.0 == redis.hit_rate
    assert redis.miss_seconds is None


def test_an_empty_page_has_no_answers():
    """No traffic yet is no error."""
    empty = answer(parse_page(""))
    assert ([], [], [], 0, 0) == (
        empty.latencies,
        empty.times,
        empty.caches,
        empty.workers,
        empty.requests,
    )


@pytest.mark.parametrize(
    ("status", "error", "failed"),
    [
        ("200", "", False),
        ("404", "", False),
        ("503", "503", True),
        ("500", "ValueError", True),
        ("200", "ValueError", True),
        ("499", "client_disconnect", False),
        ("500", "client_disconnect", True),
    ],
)
def test_what_failed_means(status, error, failed):
    """5xx, or an error type that is neither empty nor the client's."""
    assert failed == has_failed({"http_response_status_code": status, "error_type": error})


def test_the_names_of_the_golden_page_are_those_of_the_catalog(page):
    """The page that the other tests read is one that the SDK could write."""
    parts = ("", "_bucket", "_count", "_sum")
    known = {f"{metric.name}{part}" for metric in METRICS for part in parts}
    assert set(page) <= known
    for metric in METRICS:
        for sample in page[f"{metric.name}{'_count' if metric.kind == 'histogram' else ''}"]:
            assert set(metric.labels) == set(sample.labels)
    assert {answers_module.CACHE_REQUESTS, f"{answers_module.DURATION}_bucket"} <= set(page)
