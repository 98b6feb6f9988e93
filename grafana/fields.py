"""Colours, thresholds and overrides: how values look, the same on every panel."""

from typing import Any

Json = dict[str, Any]

GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BLUE, PURPLE, GREY = "blue", "purple", "#8e8e8e"

QUANTILES = {"P50": GREEN, "P95": YELLOW, "P99": RED, "average": BLUE}
COMPONENTS = {"app": BLUE, "db": ORANGE, "cache": GREEN, "http_client": PURPLE, "pool_wait": RED}
STATUS_CLASSES = {"1xx": GREY, "2xx": GREEN, "3xx": BLUE, "4xx": YELLOW, "5xx": RED}


def bad_above(warning: float, critical: float) -> list[tuple[float | None, str]]:
    """Green, then yellow, then red."""
    return [(None, GREEN), (warning, YELLOW), (critical, RED)]


def good_above(fair: float, good: float) -> list[tuple[float | None, str]]:
    """Red, then yellow, then green."""
    return [(None, RED), (fair, YELLOW), (good, GREEN)]


def bad_from(value: float, colour: str = RED) -> list[tuple[float | None, str]]:
    """Green below, red or another colour from there on."""
    return [(None, GREEN), (value, colour)]


NEUTRAL: list[tuple[float | None, str]] = [(None, BLUE)]
FAILED = bad_above(0.01, 0.05)
LATENCY = bad_above(0.5, 2.0)
"""Seconds in which a person notices, and in which they give up."""
OPERATION = bad_above(0.1, 1.0)
"""The same for one of the several operations of a request."""
HIT_RATE = good_above(0.5, 0.8)


def thresholds(steps: list[tuple[float | None, str]]) -> Json:
    """Steps as Grafana writes them; the first has no value and is the lowest."""
    return {
        "mode": "absolute",
        "steps": [{"color": colour, "value": value} for value, colour in steps],
    }


def special(what: str, text: str) -> Json:
    """Show `nan`, or `null+nan`, as grey words: a quotient of nothing by nothing is not bad."""
    result = {"color": GREY, "index": 0, "text": text}
    return {"type": "special", "options": {"match": what, "result": result}}


def by_name(name: str, **properties: Any) -> Json:
    """Properties of the field with this name; `__` in a property's name stands for a dot."""
    return _override("byName", name, properties)


def by_query(ref: str, **properties: Any) -> Json:
    """Properties of all series of one query."""
    return _override("byFrameRefID", ref, properties)


def fixed(colour: str) -> Json:
    """One colour, whatever the value."""
    return {"mode": "fixed", "fixedColor": colour}


DASHED = {"dash": [6, 6], "fill": "dash"}


def _override(matcher: str, options: str, properties: dict[str, Any]) -> Json:
    return {
        "matcher": {"id": matcher, "options": options},
        "properties": [
            {"id": name.replace("__", "."), "value": value} for name, value in properties.items()
        ],
    }
