"""Which requests are measured: patterns of paths and routes, and handlers that opted out."""

import re
from collections.abc import Container, Iterable
from fnmatch import translate
from typing import Any, TypeVar

HEALTH_CHECKS = (
    "/health",
    "/healthz",
    "/health/live",
    "/health/ready",
    "/live",
    "/livez",
    "/ready",
    "/readyz",
    "/startupz",
    "/ping",
    "/metrics",
)
"""Excluded unless a pattern with `!` says otherwise, with and without a slash at the end."""

_DEFAULT = tuple(path + end for path in HEALTH_CHECKS for end in ("", "/"))
_GLOB = re.compile(r"[*?\[]")
_MAX_REMEMBERED = 1000
_MARK = "__perfsdk_excluded__"

H = TypeVar("H")


def exclude(handler: H) -> H:
    """Decorate a handler, a function or a class, whose requests are not to be measured.

    The decorator of the framework belongs above this one. The handler itself is returned.
    """
    setattr(handler, _MARK, True)
    return handler


def is_excluded(handler: Any) -> bool:
    """Whether a handler was decorated by `exclude`."""
    return getattr(handler, _MARK, False) is True


def opted_out(view: Any) -> Any:
    """The view, or the class that it was made of, whichever opted out."""
    of = getattr(view, "view_class", None)
    return of if is_excluded(of) else view


def excluded(patterns: Iterable[str]) -> Container[str]:
    """The paths and routes that are not measured; the last pattern that matches one decides."""
    patterns = tuple(patterns)
    exact = dict.fromkeys(_DEFAULT, True)
    globs: list[tuple[re.Pattern[str], bool]] = []
    for pattern in patterns:
        text = pattern.removeprefix("!")
        excludes = text == pattern
        if _GLOB.search(text):
            matches = re.compile(translate(text)).match
            exact.update((path, excludes) for path in exact if matches(path))
            globs.append((re.compile(translate(text)), excludes))
        else:
            exact[text] = excludes
    if any(excludes for _, excludes in globs):
        return _Globs(exact, globs)
    return frozenset(path for path, excludes in exact.items() if excludes)


class _Globs(Container[str]):
    """What matches a glob. Paths come from clients, so only so many are remembered."""

    def __init__(self, exact: dict[str, bool], globs: list[tuple[re.Pattern[str], bool]]) -> None:
        self._exact = exact
        self._globs = globs
        self._known: dict[str, bool] = {}

    def __contains__(self, path: object) -> bool:
        try:
            return self._known[path]  # type: ignore[index] # another type is unknown, too
        except KeyError:
            pass
        found = isinstance(path, str) and self._match(path)
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        if isinstance(path, str):
            self._known[path] = found
        return found

    def _match(self, path: str) -> bool:
        if path in self._exact:
            return self._exact[path]
        found = False
        for glob, excludes in self._globs:
            if glob.match(path):
                found = excludes
        return found
