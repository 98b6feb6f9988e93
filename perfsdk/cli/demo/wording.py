"""Says figures and findings as a person would."""

import math

from perfsdk.cli.demo.answers import Answers, CacheUse, RouteTime, Spent
from perfsdk.cli.demo.page import Quantile

PLACES = {
    "app": "in its own code",
    "db": "in the database",
    "cache": "in the cache",
    "http_client": "waiting for other services",
    "pool_wait": "waiting for a connection of the pool",
}
MANY_CALLS = 10
"""Database calls of one request from which an N+1 is the likely reason."""


def duration(seconds: float) -> str:
    """A duration with two to three digits: `0.42 ms`, `4.2 ms`, `42 ms`, `1.2 s`."""
    milliseconds = seconds * 1000
    if milliseconds < 0.995:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    return f"{seconds:.1f} s"


def quantile(of: Quantile) -> str:
    """A quantile; in the first and in the last bucket only one bound of it is known."""
    if of.upper == math.inf:
        return f"> {duration(of.lower)}".replace(".0 ", " ")
    if of.lower == 0:
        return f"< {duration(of.upper)}".replace(".0 ", " ")
    return duration(of.value)


def percent(share: float) -> str:
    """A share of 0 to 1; what is little but not nothing, or nearly all, does not look like it."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if share < 0.0995 or 0.995 <= share < 1:
        return f"{min(share, 0.999) * 100:.1f} %".replace(".0 ", " ")
    return f"{share * 100:.0f} %"


def times(number: float) -> str:
    """An average count: `21`, `1.3`."""
    return f"{number:.1f}".removesuffix(".0")


def count(number: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def findings(answers: Answers, *, most: int = 3) -> list[str]:
    """One plain sentence for each of the routes with the highest P99, the slowest first."""
    return [_finding(route) for route in answers.times[:most]]


def cache_name(cache: CacheUse) -> str:
    """Its name and its library; the library alone where a cache has no name."""
    return f"{cache.cache} ({cache.system})" if cache.cache else cache.system


def cache_finding(cache: CacheUse) -> str:
    """What the hits of a cache are worth, as far as the page tells."""
    sentence = f"{cache.cache or cache.system} answers {percent(cache.hit_rate)} of its lookups"
    if cache.miss_seconds is None:
        return f"{sentence}."
    return f"{sentence}; each of the others costs {duration(cache.miss_seconds)}."


def _finding(route: RouteTime) -> str:
    tail = route.tail
    if tail and tail.average_seconds > 3 * route.all.average_seconds:
        return (
            f"{route.route} takes {duration(route.all.average_seconds)} on average but "
            f"{duration(tail.average_seconds)} in its slow tail, {_where(tail)}."
        )
    spent = f"{route.route} spends {_where(route.all)}"
    if route.all.bottleneck == "db" and route.db_calls is not None:
        hint = ", which looks like an N+1" if route.db_calls >= MANY_CALLS else ""
        calls = times(route.db_calls)
        return f"{spent}: {calls} call{'' if calls == '1' else 's'} a request{hint}."
    return f"{spent}."


def _where(spent: Spent) -> str:
    return f"{percent(spent.share(spent.bottleneck))} {PLACES[spent.bottleneck]}"
