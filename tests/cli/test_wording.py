"""Figures are humane and honest at their edges, findings are plain sentences."""

import math

import pytest

from perfsdk.cli.demo import wording
from perfsdk.cli.demo.answers import Answers, CacheUse, RouteTime, Spent
from perfsdk.cli.demo.page import Quantile


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 ms"),
        (0.000421, "0.42 ms"),
        (0.00099, "0.99 ms"),
        (0.000999, "1.0 ms"),
        (0.00421, "4.2 ms"),
        (0.00996, "10 ms"),
        (0.0421, "42 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
    ],
)
def test_durations_have_two_to_three_digits(seconds, text):
    """The unit changes where the number would grow a fourth digit."""
    assert text == wording.duration(seconds)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.038, "3.8 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.83, "83 %"),
        (0.05, "5 %"),
        (0.992, "99 %"),
        (0.9961, "99.6 %"),
        (0.9999, "99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_shares_never_look_like_nothing_or_all(share, text):
    """0 % and 100 % mean exactly that."""
    assert text == wording.percent(share)


def test_a_quantile_at_the_edge_says_only_what_is_known():
    """In the first and the last bucket one bound is known, in between the value."""
    assert "< 5 ms" == wording.quantile(Quantile(0.0025, 0.0, 0.005))
    assert "> 10 s" == wording.quantile(Quantile(10.0, 10.0, math.inf))
    assert "31 ms" == wording.quantile(Quantile(0.031, 0.025, 0.05))


def spent(requests=100, **seconds):
    """So many requests that took so many seconds."""
    return Spent(requests=requests, seconds=seconds)


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        (
            RouteTime(route="GET /a", all=spent(app=1.7, db=8.3), tail=None, db_calls=21.0),
            "GET /a spends 83 % in the database: 21 calls a request, which looks like an N+1.",
        ),
        (
            RouteTime(route="GET /a", all=spent(app=1.7, db=8.3), tail=None, db_calls=1.0),
            "GET /a spends 83 % in the database: 1 call a request.",
        ),
        (
            RouteTime(route="GET /a", all=spent(app=9.0, db=1.0), tail=None, db_calls=2.0),
            "GET /a spends 90 % in its own code.",
        ),
        (
            RouteTime(
                route="GET /a",
                all=spent(app=0.2, db=0.8),
                tail=spent(requests=5, app=0.01, db=0.49),
                db_calls=1.5,
            ),
            "GET /a takes 10 ms on average but 100 ms in its slow tail, 98 % in the database.",
        ),
        (
            RouteTime(
                route="GET /a", all=spent(app=1.0), tail=spent(requests=5, app=0.1), db_calls=0.0
            ),
            "GET /a spends 100 % in its own code.",
        ),
    ],
)
def test_the_bottleneck_of_a_route_is_one_sentence(route, sentence):
    """It names the component, the calls where they matter, and the tail where that differs."""
    answers = Answers(latencies=[], times=[route], caches=[], workers=2)
    assert [sentence] == wording.findings(answers)


def test_what_a_cache_is_worth():
    """The hit rate, and the cost of a miss where it is known."""
    cache = CacheUse(cache="c", system="s", hits=9, lookups=10, miss_seconds=0.002)
    assert "c answers 90 % of its lookups; each of the others costs 2.0 ms." == (
        wording.cache_finding(cache)
    )
    cache = CacheUse(cache="c", system="s", hits=0, lookups=10, miss_seconds=None)
    assert "c answers 0 % of its lookups." == wording.cache_finding(cache)
