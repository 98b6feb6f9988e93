"""Of two caches on one loader, the page tells which saves how many seconds."""

import json

import pytest

from tests.e2e import page
from tests.e2e.running import start_uvicorn
from tests.servers import http_get, wait_until

LOADER_SECONDS = 0.004
LOOKUPS = 100
GOOD_KEYS, POOR_KEYS = 5, 80
"""Of 100 lookups 5 and 80 find nothing: hit rates of 95 % and 20 %."""


@pytest.fixture
def shop(tmp_path, perfsdk_dir):
    with start_uvicorn(tmp_path, app="tests.e2e.compared_caches:signed") as shop:
        yield shop


def figures(url, name):
    """Hits, misses, loads and seconds of loads; lookups in memory are not timed."""
    totals = page.read_page(url).totals
    cache = {"cache_system": "cachetools", "cache_name": name}
    keys = (
        page.key("cache_requests_total", **cache, cache_result="hit"),
        page.key("cache_requests_total", **cache, cache_result="miss"),
        page.key("cache_load_duration_seconds_count", **cache),
        page.key("cache_load_duration_seconds_sum", **cache),
    )
    return [totals.get(key, 0.0) for key in keys]


def saved(hits, _misses, loads, load_seconds):
    """What the hits would have cost as misses."""
    return hits * load_seconds / loads


def test_the_page_tells_which_cache_saves_how_much(exporter, shop):
    """Hits and loads are exact; the seconds are those that the loader took."""
    for number in range(LOOKUPS):
        http_get(f"{shop.url}/good/{number % GOOD_KEYS}")
        http_get(f"{shop.url}/poor/{number % POOR_KEYS}")
    spent = json.loads(http_get(f"{shop.url}/spent"))
    wait_until(lambda: LOOKUPS == sum(figures(exporter.url, "good")[:2]))
    good, poor = (figures(exporter.url, name) for name in ("good", "poor"))
    assert [LOOKUPS - GOOD_KEYS, GOOD_KEYS, GOOD_KEYS] == good[:3]
    assert [LOOKUPS - POOR_KEYS, POOR_KEYS, POOR_KEYS] == poor[:3]
    for name, (_, _, loads, seconds) in (("good", good), ("poor", poor)):
        really_loaded, really_spent = spent[name]
        assert really_loaded == loads
        # What wraps the loader takes a little.
        assert really_spent <= seconds < really_spent + loads * LOADER_SECONDS
    assert saved(*good) > 3 * saved(*poor)
