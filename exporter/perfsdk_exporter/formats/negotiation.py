"""Chooses format and compression as the client's headers ask, q-values honoured; never fails."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perfsdk_exporter.formats.compression import ENCODINGS
from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT, Format
from perfsdk_exporter.formats.protobuf import PROTOBUF

_QUALITY = re.compile(r"0(\.[0-9]*)?|1(\.0*)?")

_OFFERED = (TEXT, OPENMETRICS, PROTOBUF)
"""The more they tell the later: among those named alike the last one wins."""

_PROTOBUF_PARAMETERS = {
    "proto": "io.prometheus.client.MetricFamily",
    "encoding": "delimited",
}.items()


class _Range(NamedTuple):
    """One element of an Accept header: what it matches, how gladly, and how exactly."""

    media_type: str
    parameters: Mapping[str, str]
    quality: float

    def specificity(self, offered: Format) -> int:
        """0: does not match; up to 4 for the media type with a version."""
        if offered is PROTOBUF:
            # Nobody can read it who did not ask for exactly this.
            named = self.media_type == offered.media_type
            return 4 if named and self.parameters.items() >= _PROTOBUF_PARAMETERS else 0
        if self.media_type == "*/*":
            return 1
        kind = offered.media_type.partition("/")[0]
        if self.media_type == f"{kind}/*":
            return 2
        if self.media_type != offered.media_type:
            return 0
        if "version" not in self.parameters:
            return 3
        return 4 if self.parameters["version"] in offered.versions else 0


def choose_format(accept: str) -> Format:
    """The format for an Accept header; text 0.0.4 when nothing of ours is acceptable.

    The highest q wins; then what was named more exactly; then protobuf before OpenMetrics before
    text among media types that were named, and text among those that only a wildcard allows.
    """
    ranges = list(_ranges(accept))
    best, chosen = (0.0, 0, 0), TEXT
    for place, offered in enumerate(_OFFERED):
        specificity, quality = max(
            ((r.specificity(offered), r.quality) for r in ranges), default=(0, 0.0)
        )
        rank = (quality, specificity, place if specificity >= 3 else -place)
        if specificity and quality and rank > best:
            best, chosen = rank, offered
    return chosen


def choose_encoding(accept_encoding: str) -> str:
    """The content coding for an Accept-Encoding header: `identity`, `gzip` or `zstd`.

    The highest q wins; then what was named; then zstd before gzip among codings that were named,
    and gzip when only the wildcard allows it. Nothing is compressed for a client that does not
    ask for it, unless it refuses `identity` by name.
    """
    qualities = dict(_codings(accept_encoding))
    anything_else = qualities.get("*", 0.0)
    best, chosen = (0.0, False, 0), "identity"
    for place, coding in enumerate(("identity", *ENCODINGS)):
        named = coding in qualities
        quality = qualities.get(coding, anything_else)
        preference = place if named or coding == "identity" else len(ENCODINGS) + 1 - place
        rank = (quality, named, preference)
        if quality and rank > best:
            best, chosen = rank, coding
    if not best[0] and qualities.get("identity") == 0.0 and "*" not in qualities:
        chosen = next((coding for coding in ENCODINGS if coding not in qualities), chosen)
    return chosen


def prefers_json(accept: str) -> bool:
    """Whether an Accept header asks for JSON rather than for HTML.

    By its name: who takes anything gets the page for people.
    """
    qualities: dict[str, float] = {}
    for media_type, _, quality in _elements(accept):
        qualities[media_type] = max(quality, qualities.get(media_type, 0.0))
    return qualities.get("application/json", 0.0) > qualities.get("text/html", 0.0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    qualities = dict(_codings(accept_encoding))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _ranges(accept: str) -> Iterator[_Range]:
    for media_type, parameters, quality in _elements(accept):
        yield _Range(media_type, parameters, quality)


def _codings(accept_encoding: str) -> Iterator[tuple[str, float]]:
    for coding, _, quality in _elements(accept_encoding):
        yield coding, quality


def _elements(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The elements of a header with their parameters and q; one whose q is none is left out."""
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        parameters = dict(_parameters(rest))
        quality = parameters.get("q", "1")
        if _QUALITY.fullmatch(quality):
            yield name.lower(), parameters, float(quality)


def _parameters(parts: list[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield name.strip().lower(), value.strip().strip('"')
