"""Chooses format and compression as the client's headers ask, q-values honoured; never fails."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from perfsdk_exporter.exposition import OPENMETRICS, TEXT, Format

_QUALITY = re.compile(r"0(\.[0-9]*)?|1(\.0*)?")


class _Range(NamedTuple):
    """One element of an Accept header: what it matches, how gladly, and how exactly."""

    media_type: str
    version: str | None
    quality: float

    def specificity(self, offered: Format) -> int:
        """0: does not match; up to 4 for the media type with a version."""
        kind = offered.media_type.partition("/")[0]
        if self.media_type == "*/*":
            return 1
        if self.media_type == f"{kind}/*":
            return 2
        if self.media_type != offered.media_type:
            return 0
        if self.version is None:
            return 3
        return 4 if self.version in offered.versions else 0


def choose_format(accept: str) -> Format:
    """The format for an Accept header; text 0.0.4 when nothing of ours is acceptable.

    The highest q wins; then what was named more exactly; then OpenMetrics among media types
    that were named, and text among those that only a wildcard allows.
    """
    ranges = list(_ranges(accept))
    best, chosen = (0.0, 0, 0), TEXT
    for offered in (TEXT, OPENMETRICS):
        specificity, quality = max(
            ((r.specificity(offered), r.quality) for r in ranges), default=(0, 0.0)
        )
        named = specificity >= 3
        rank = (quality, specificity, int((offered is OPENMETRICS) == named))
        if specificity and quality and rank > best:
            best, chosen = rank, offered
    return chosen


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    qualities = {}
    for element in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in element.split(";"))
        quality = _quality(dict(_parameters(parameters)).get("q"))
        if quality is not None:
            qualities[coding] = quality
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _ranges(accept: str) -> Iterator[_Range]:
    for element in accept.split(","):
        media_type, *rest = (part.strip() for part in element.split(";"))
        parameters = dict(_parameters(rest))
        quality = _quality(parameters.get("q"))
        if quality is not None:
            yield _Range(media_type.lower(), parameters.get("version"), quality)


def _parameters(parts: list[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield name.strip().lower(), value.strip().strip('"')


def _quality(text: str | None) -> float | None:
    """The q-value, 1 when there is none, None when it is not one: the element does not count."""
    if text is None:
        return 1.0
    return float(text) if _QUALITY.fullmatch(text) else None
