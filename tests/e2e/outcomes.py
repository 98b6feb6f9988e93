"""Requests to the shop (`shop.py`) whose outcome is known before they are sent."""

from random import Random

from tests.e2e.load import Request

HOME = Request("GET", "/", "/", 200, sent_size=7)
SLOW = Request("GET", "/slow", "/slow", 200, sent_size=7)
PRODUCT = Request("GET", "/products/5000", "/products/{size}", 200, sent_size=5000)
NO_PRODUCT = Request("GET", "/products/0", "/products/{size}", 404, sent_size=9)
UNKNOWN = Request("GET", "/nowhere/else", "<unmatched>", 404, sent_size=9)
BROKEN = Request("GET", "/broken", "/broken", 500, sent_size=21, error_type="LookupError")
UPLOAD = Request("POST", "/upload", "/upload", 200, sent_size=8, received_size=300)
LARGE_UPLOAD = UPLOAD._replace(received_size=20_000)

PERCENT = {
    HOME: 30,
    PRODUCT: 20,
    NO_PRODUCT: 10,
    UNKNOWN: 13,
    UPLOAD: 14,
    LARGE_UPLOAD: 3,
    BROKEN: 5,
    SLOW: 5,
}


def mix(hundreds: int) -> list[Request]:
    """So many hundred requests over six routes, in an order that is the same in every run."""
    requests = [request for request, percent in PERCENT.items() for _ in range(percent * hundreds)]
    Random(hundreds).shuffle(requests)
    return requests
