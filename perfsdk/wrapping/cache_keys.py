"""Tells by the beginning of a key which cache it is of, and of which it is certain to be none."""

import re
from collections.abc import Mapping
from typing import Any

DEFAULT = "default"

OTHER_USES = (
    "_kombu",
    "arq:",
    "celery-task-meta-",
    "celery-taskset-meta-",
    "flask_session:",
    "lock:",
    "rq:",
    "session:",
    "unacked",
)
"""How the keys of brokers, queues, locks and sessions begin: to look one up is not to ask a
cache, unless the setting `cache_names` says so."""
OTHER_USES_BYTES = tuple(prefix.encode() for prefix in OTHER_USES)


class KeyNames:
    """The name of the cache that a key of a shared server belongs to."""

    __slots__ = ("_bytes", "_names", "_text")

    def __init__(self, cache_names: Mapping[str, str]) -> None:
        """`cache_names` maps how keys begin (`user:*`), or a whole key, to names."""
        alternatives = "|".join(f"({_expression(pattern)})" for pattern in cache_names)
        self._names = tuple(cache_names.values())
        self._text = re.compile(alternatives or "(?!)")
        self._bytes = re.compile((alternatives or "(?!)").encode())

    def name_of(self, key: Any) -> str | None:
        """The name by the first pattern that matches; None for what is no cache."""
        match: re.Match[Any] | None
        if type(key) is str:
            match, other_use = self._text.match(key), key.startswith(OTHER_USES)
        elif type(key) is bytes:
            match, other_use = self._bytes.match(key), key.startswith(OTHER_USES_BYTES)
        else:
            return DEFAULT
        if match is not None:
            return self._names[(match.lastindex or 1) - 1]
        return None if other_use else DEFAULT


def _expression(pattern: str) -> str:
    if pattern.endswith("*"):
        return re.escape(pattern[:-1])
    return rf"{re.escape(pattern)}\Z"
