"""The page and the load that the report tests share."""

from collections import Counter
from pathlib import Path

import pytest

from perfsdk.cli.demo.answers import answer
from perfsdk.cli.demo.load import Sent
from perfsdk.cli.demo.page import parse_page


@pytest.fixture
def page():
    """A page with two methods on a route, failures, a tail and two caches."""
    return parse_page(Path(__file__).with_name("golden_page.txt").read_text())


@pytest.fixture
def answers(page):
    """What that page tells."""
    return answer(page)


@pytest.fixture
def sent():
    """A load that fits the page."""
    statuses = {("GET /orders", 200): 90, ("GET /orders", 503): 10, ("POST /orders", 201): 4}
    return Sent(answers=Counter({**statuses, ("GET /search", 499): 1000}))
