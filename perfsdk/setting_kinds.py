"""The kinds of values that settings have: how each is read, checked, and asked for."""

import os
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple
from urllib.parse import unquote

MAX_OBJECTIVES = 4
"""Distinct latency objectives; each adds a bucket to every series of the request duration."""

MAX_LABELS = 5
MAX_CACHE_NAMES = 49
"""One less than the names of caches that are shown: `default` is one too."""
MAX_LABEL_VALUES = 20

_METRICS_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_LABELS = {
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "error_type",
    "job",
    "instance",
    "le",
    "quantile",
}
_LONGEST_OBJECTIVE_SECONDS = 3600.0


class Kind(NamedTuple):
    """One kind of value: what is right, how it is written in the environment, how it is kept.

    `parse` raises ValueError for a text that cannot be read; `keep` takes a right value.
    """

    wanted: str
    is_right: Callable[[Any], bool]
    parse: Callable[[str], Any] = str
    keep: Callable[[Any], Any] = lambda value: value


def _parse_switch(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_pairs(text: str) -> dict[str, str]:
    """`key=value,key=value`, with percent signs as OpenTelemetry has them."""
    pairs = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, separator, value = part.partition("=")
        name = unquote(key.strip())
        if not separator or not name:
            raise ValueError(text)
        pairs[name] = unquote(value.strip())
    return pairs


def _parse_labels(text: str) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(value.strip() for value in values.split("|"))
        for name, values in _parse_pairs(text).items()
    }


def _parse_objective(text: str) -> float | dict[str, float]:
    if "=" not in text:
        return float(text)
    pairs = (part.rpartition("=") for part in _parse_names(text))
    return {route.strip(): float(seconds) for route, _, seconds in pairs}


def _is_number(value: Any, least: float, most: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and isfinite(value) and least <= value <= most


def _is_path(value: Any) -> bool:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or path == "" or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _is_names(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(v, str) for v in value)


def _is_patterns(value: Any) -> bool:
    return _is_names(value) and all(
        pattern.removeprefix("!").startswith(("/", "*", "<")) for pattern in value
    )


def _is_attributes(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(k, str) and k != "" and isinstance(v, str) for k, v in value.items()
    )


def _is_labels(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) <= MAX_LABELS
        and all(_is_label(name, values) for name, values in value.items())
    )


def _is_label(name: Any, values: Any) -> bool:
    return (
        isinstance(name, str)
        and _LABEL_NAME.fullmatch(name) is not None
        and not name.startswith("__")
        and name not in _RESERVED_LABELS
        and _is_names(values)
        and 0 < len(values) <= MAX_LABEL_VALUES
        and all(values)
    )


def _is_cache_names(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) <= MAX_CACHE_NAMES
        and all(
            isinstance(part, str) and part != "" and part.isprintable()
            for pair in value.items()
            for part in pair
        )
        and not any("*" in pattern[:-1] for pattern in value)
    )


def _is_objective(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return _is_seconds(value)
    right = all(
        isinstance(route, str) and route != "" and _is_seconds(seconds)
        for route, seconds in value.items()
    )
    return right and 0 < len({float(seconds) for seconds in value.values()}) <= MAX_OBJECTIVES


def _is_seconds(value: Any) -> bool:
    return _is_number(value, 0.0, _LONGEST_OBJECTIVE_SECONDS) and value > 0


SWITCH = Kind(
    "give True or False, in the environment 1 or 0",
    lambda value: isinstance(value, bool),
    _parse_switch,
)
DIRECTORY = Kind("give the path of a directory", _is_path, keep=os.fspath)
DIRECTORY_MODE = Kind(
    "give 0700 (0o700 in Python), or 0770 to share it with a group",
    lambda value: isinstance(value, int) and value in {0o700, 0o770},
    lambda text: int(text, 8),
)
NAME = Kind(
    "give a name, without control characters",
    lambda value: isinstance(value, str) and value.isprintable() and value.strip() != "",
)
ATTRIBUTES = Kind(
    "give a mapping of text to text, in the environment key=value,key=value",
    _is_attributes,
    _parse_pairs,
    dict,
)
NAMES = Kind(
    "give a tuple of names, in the environment redis,sqlite3", _is_names, _parse_names, tuple
)
METRICS_PATH = Kind(
    "give a path such as /metrics, of letters, digits and ._~-",
    lambda value: isinstance(value, str) and _METRICS_PATH.fullmatch(value) is not None,
)
PATTERNS = Kind(
    "give a tuple of routes or globs of paths such as /internal/*, with ! in front what is to be "
    "measured after all; in the environment /internal/*,!/health",
    _is_patterns,
    _parse_names,
    tuple,
)
LABELS = Kind(
    f"give a mapping of at most {MAX_LABELS} label names to at most {MAX_LABEL_VALUES} values "
    "each, in the environment plan=free|pro,region=eu|us; names of letters, digits and _ that "
    "the metric does not have yet",
    _is_labels,
    _parse_labels,
    lambda value: {name: tuple(values) for name, values in value.items()},
)
CACHE_NAMES = Kind(
    f"give a mapping of at most {MAX_CACHE_NAMES} patterns of keys to names, in the environment "
    "user:*=users,basket:*=baskets; a * stands at the end of a pattern only",
    _is_cache_names,
    _parse_pairs,
    dict,
)
OBJECTIVE = Kind(
    f"give seconds, or a mapping of routes to seconds with at most {MAX_OBJECTIVES} different "
    "ones; in the environment 0.3 or /checkout=0.2,/search=0.8",
    _is_objective,
    _parse_objective,
    lambda value: dict(value) if isinstance(value, Mapping) else float(value),
)


def whole_number(unit: str, least: int, most: int) -> Kind:
    """A whole number within bounds."""
    return Kind(
        f"give a number of {unit} from {least} to {most}",
        lambda value: isinstance(value, int) and least <= value <= most,
        int,
    )


def seconds(least: float, most: float) -> Kind:
    """A time within bounds."""
    return Kind(
        f"give seconds from {least:g} to {most:g}",
        lambda value: _is_number(value, least, most),
        float,
    )
