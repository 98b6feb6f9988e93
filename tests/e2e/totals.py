"""What a page must say about the requests that were sent: every total but durations, exactly."""

import math
from collections import defaultdict
from collections.abc import Mapping

from prometheus_client.utils import floatToGoString

from perfsdk.catalog import BYTES, COUNT
from tests.e2e.load import Request, Sent
from tests.e2e.page import Key, Page, Totals, by_route, key, read_page, wait_for_none

DURATION = "http_server_request_duration_seconds"
COMPONENTS = "http_server_request_component_seconds_total"
BANDS = "http_server_request_band_total"
RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"
DB_CALLS = "http_server_request_db_calls"
CACHE_CALLS = "http_server_request_cache_calls"
TROUBLE = ("perfsdk_internal_errors_total", "perfsdk_dropped_series_total")
"""There is none in these tests, so no request is expected to count here."""


def expected_totals(requests: Mapping[Request, int]) -> Totals:
    """Every sample that is known exactly for these requests: all but durations."""
    totals: Totals = defaultdict(float)
    for request, times in requests.items():
        outcome = {
            "http_request_method": request.method,
            "http_route": request.route,
            "http_response_status_code": str(request.status),
            "error_type": request.error_type,
        }
        body = {"http_request_method": request.method, "http_route": request.route}
        route = {"http_route": request.route}
        totals[key(f"{DURATION}_count", **outcome)] += times
        totals[key(f"{DURATION}_bucket", **outcome, le="+Inf")] += times
        totals[key(BANDS, **route)] += times
        _observe(totals, times, RECEIVED, body, BYTES, request.received_size)
        _observe(totals, times, SENT, body, BYTES, request.sent_size)
        _observe(totals, times, DB_CALLS, route, COUNT, request.db_calls)
        _observe(totals, times, CACHE_CALLS, route, COUNT, request.cache_calls)
    return totals


def _observe(
    totals: Totals,
    times: int,
    name: str,
    labels: dict[str, str],
    bounds: tuple[float, ...],
    value: float,
) -> None:
    totals[key(f"{name}_count", **labels)] += times
    totals[key(f"{name}_sum", **labels)] += times * value
    for bound in (*bounds, math.inf):
        le = floatToGoString(bound)
        totals[key(f"{name}_bucket", **labels, le=le)] += times * (value <= bound)


def known_totals(page: Page) -> Totals:
    """The samples of a page that `expected_totals` speaks of, summed over the bands."""
    known: Totals = defaultdict(float)
    for (name, labels), value in page.totals.items():
        pairs = dict(labels)
        pairs.pop("band", None)
        of_duration = name == f"{DURATION}_count" or pairs.get("le") == "+Inf"
        exact = name.startswith((BANDS, RECEIVED, SENT, DB_CALLS, CACHE_CALLS, *TROUBLE))
        if exact or (name.startswith(DURATION) and of_duration):
            known[key(name, **pairs)] += value
    return known


def out_of_bounds(
    page: Page, sent: Sent, *, lost: int = 0
) -> dict[Key, tuple[float, float, float]]:
    """Samples that are not between what must and what may have been counted: (>=, is, <=).

    Without uncertain requests there is nothing in between: the page is exact. Of as many
    requests as are `lost`, whatever they were, something or all may be missing.
    """
    lower, upper = expected_totals(sent.completed), expected_totals(sent.at_most)
    actual = known_totals(page)
    largest = max((max(r.received_size, r.sent_size) for r in sent.completed), default=0)
    found = {}
    for sample in lower.keys() | upper.keys() | actual.keys():
        missing = lost * (largest if sample[0].endswith("_sum") else 1)
        least = lower.get(sample, 0.0) - missing
        bounds = least, actual.get(sample, 0.0), upper.get(sample, 0.0)
        if not bounds[0] <= bounds[1] <= bounds[2]:
            found[sample] = bounds
    return found


def wait_for_totals(url: str, sent: Sent, *, lost: int = 0) -> Page:
    """The page, as soon as it says what was sent and no request is being served."""
    pages = []

    def problems() -> dict:
        page = read_page(url)
        pages[:] = [page]
        active = page.gauge("http_server_active_requests")
        return out_of_bounds(page, sent, lost=lost) or (
            {"active requests": active} if active else {}
        )

    wait_for_none(problems)
    return pages[0]


def check_seconds(page: Page, sent: Sent) -> None:
    """The components of each route add up to its durations.

    A worker killed while it recorded a request may have recorded one and not the other.
    """
    durations = by_route(page, f"{DURATION}_sum")
    components = by_route(page, COMPONENTS)
    assert durations.keys() == components.keys()
    for route, seconds in durations.items():
        uncertain = sum(times for r, times in sent.uncertain.items() if r.route == route)
        slack = uncertain * sent.longest_seconds
        assert seconds > 0, route
        assert math.isclose(seconds, components[route], rel_tol=1e-9, abs_tol=slack), route
