"""Writes families as Prometheus text 0.0.4 and as OpenMetrics 1.0.0; no input or output.

Both are UTF-8 with families sorted by name, numbers as the shortest decimal that reads back as
the same real, `le` as `1.0` and, from a million on, as `1e+06`, no timestamps and no `_created`
lines. What was written for a histogram is kept with it, so one that nobody added to is not
written again.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import isfinite, isnan
from typing import NamedTuple

from perfsdk_exporter.families import Exemplar, Family, Histogram, Labels

OWN_PREFIX = "perfsdk_exporter_"
"""The names of the exporter's metrics about itself; no segment may use them."""

_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}

_SPECIAL = re.compile(r'[\\\n"]')

_SERIES_AT_ONCE = 500
"""Series of a histogram that are joined to one piece of the page."""


def render_text(families: Iterable[Family]) -> Iterator[bytes]:
    """The page in Prometheus text 0.0.4, in pieces."""
    for family in sorted(families, key=lambda f: f.name):
        head = ""
        if family.help:
            head = f"# HELP {family.name} {_escape_help(family.help)}\n"
        kind = "untyped" if family.kind == "unknown" else family.kind
        yield _encode(f"{head}# TYPE {family.name} {kind}\n")
        yield from _samples(family)


def render_openmetrics(families: Iterable[Family]) -> Iterator[bytes]:
    """The page in OpenMetrics 1.0.0, in pieces."""
    for family in sorted(families, key=lambda f: f.name):
        name, kind = openmetrics_type(family)
        head = f"# TYPE {name} {kind}\n"
        if family.unit and kind != "info" and name.endswith(f"_{family.unit}"):
            head += f"# UNIT {name} {family.unit}\n"
        if family.help:
            head += f"# HELP {name} {_escape(family.help)}\n"
        yield _encode(head)
        yield from _openmetrics_samples(family, info=kind == "info")
    yield b"# EOF\n"


class Format(NamedTuple):
    """A format of the page: how it is asked for, how it is announced, how it is written."""

    media_type: str
    versions: tuple[str, ...]
    content_type: str
    render: Callable[[Iterable[Family]], Iterator[bytes]]


TEXT = Format("text/plain", ("0.0.4",), "text/plain; version=0.0.4; charset=utf-8", render_text)
OPENMETRICS = Format(
    "application/openmetrics-text",
    ("1.0.0", "0.0.1"),
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    render_openmetrics,
)


def openmetrics_type(family: Family) -> tuple[str, str]:
    """The name and the type of a family in OpenMetrics; names of samples are the same in both.

    A counter must end in `_total` there; one that does not is of type `unknown`.
    """
    if family.name == "target_info" and family.kind == "gauge":
        return "target", "info"
    if family.kind != "counter":
        return family.name, family.kind
    name = family.name.removesuffix("_total")
    return (name, "counter") if name and name != family.name else (family.name, "unknown")


def without_clashes(
    families: Iterable[Family], *, beside: Iterable[Family] = ()
) -> tuple[list[Family], list[Family]]:
    """Split into what one page can show, with our own metrics and `beside`, and what would clash.

    Two families clash when a sample of one may have the name of a sample of the other, as a
    histogram `a` and a counter `a_count` do: parsers refuse such a page as a whole.
    """
    shown = list(beside)
    taken = set().union(*map(_sample_names, shown))
    clashing = []
    for family in sorted(families, key=lambda f: f.name):
        names = _sample_names(family)
        if names & taken or family.name.startswith(OWN_PREFIX):
            clashing.append(family)
        else:
            taken |= names
            shown.append(family)
    return shown, clashing


def _sample_names(family: Family) -> set[str]:
    name, kind = openmetrics_type(family)
    return {name + suffix for suffix in _SUFFIXES.get(kind, ("",))}


def _samples(family: Family) -> Iterator[bytes]:
    yield _values(family, family.values)
    bounds = _bounds(family)
    yield from _pieces(family, "text", lambda pairs, h: _histogram(family, pairs, h, bounds))


def _openmetrics_samples(family: Family, *, info: bool) -> Iterator[bytes]:
    # An info has the value 1 by definition, whatever the processes added up.
    yield _values(family, dict.fromkeys(family.values, 1.0) if info else family.values)
    # No sum where there may be negative observations, and no count without it.
    negative = any(bound < 0 for bound in family.bounds)
    bounds = _bounds(family)

    def write(pairs: str, histogram: Histogram) -> str:
        totals = family.kind == "summary" or (not negative and histogram.sum >= 0)
        exemplars = histogram.exemplars
        return _histogram(family, pairs, histogram, bounds, exemplars=exemplars, totals=totals)

    yield from _pieces(family, "openmetrics", write)


def _values(family: Family, values: dict[Labels, float]) -> bytes:
    name, names = family.name, family.labels
    lines = [
        f"{name}{{{_pairs(names, labels)}}} {_number(value)}\n"
        if names
        else f"{name} {_number(value)}\n"
        for labels, value in values.items()
    ]
    return _encode("".join(lines))


def _pieces(family: Family, form: str, write: Callable[[str, Histogram], str]) -> Iterator[bytes]:
    """The lines of all histograms, those of many series at a time."""
    piece: list[bytes] = []
    for labels, histogram in family.histograms.items():
        chunk = histogram.chunks.get(form)
        if chunk is None:
            lines = write(_pairs(family.labels, labels), histogram)
            chunk = histogram.chunks[form] = _encode(lines)
        piece.append(chunk)
        if len(piece) == _SERIES_AT_ONCE:
            yield b"".join(piece)
            piece.clear()
    yield b"".join(piece)


def _histogram(
    family: Family,
    pairs: str,
    histogram: Histogram,
    bounds: Iterable[str],
    *,
    exemplars: Iterable[Exemplar] = (),
    totals: bool = True,
) -> str:
    name = family.name
    text = ""
    if family.kind == "histogram":
        head = f'{name}_bucket{{{pairs}{"," if pairs else ""}le="'
        counts = accumulate(histogram.buckets)
        ends = [f"{bound} {count!r}\n" for bound, count in zip(bounds, counts, strict=True)]
        for exemplar in exemplars:
            bucket = bisect_left(family.bounds, exemplar.value)
            ends[bucket] = f"{ends[bucket][:-1]} # {_exemplar(exemplar)}\n"
        text = head + head.join(ends)
    if totals:
        braces = f"{{{pairs}}}" if pairs else ""
        text += f"{name}_count{braces} {sum(histogram.buckets)!r}\n"
        text += f"{name}_sum{braces} {_number(histogram.sum)}\n"
    return text


def _number(value: float) -> str:
    if isfinite(value):
        return repr(value)
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"


def _bounds(family: Family) -> list[str]:
    """The ends of the names of all buckets, from the value of `le` on."""
    return [f'{_bound(bound)}"}}' for bound in family.bounds] + ['+Inf"}']


def _bound(bound: float) -> str:
    """As Go spells it, and so Prometheus where it makes `le` of a bound in protobuf."""
    text = repr(bound)
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole) <= 6 or "e" in text:
        return text
    digits = (whole + fraction).rstrip("0")
    sign = "-" if bound < 0 else ""
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}e+{len(whole) - 1:02}"


def _exemplar(exemplar: Exemplar) -> str:
    ids = f'trace_id="{exemplar.trace_id}",span_id="{exemplar.span_id}"'
    return f"{{{ids}}} {exemplar.value!r} {exemplar.time:.3f}"


def _pairs(names: Labels, values: Labels) -> str:
    if _SPECIAL.search("".join(values)):
        values = tuple(map(_escape, values))
    return ",".join([f'{name}="{value}"' for name, value in zip(names, values, strict=True)])


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _encode(text: str) -> bytes:
    # Labels were checked; half a surrogate pair can only be in a help text.
    return text.encode("utf-8", "replace")
