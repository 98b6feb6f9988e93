"""Writes families as Prometheus text 0.0.4 and as OpenMetrics 1.0.0; no input or output.

Both are UTF-8 with families sorted by name and series by label values, numbers as the shortest
decimal that reads back as the same real, `le` as `1.0`, no timestamps and no `_created` lines.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from perfsdk_exporter.families import Family, Histogram, Labels

OWN_PREFIX = "perfsdk_exporter_"
"""The names of the exporter's metrics about itself; no segment may use them."""

_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}


def render_text(families: Iterable[Family]) -> bytes:
    """The page in Prometheus text 0.0.4."""
    lines: list[str] = []
    for family in sorted(families, key=lambda f: f.name):
        if family.help:
            lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        _add_samples(lines, family, openmetrics=False)
    return _encode(lines)


def render_openmetrics(families: Iterable[Family]) -> bytes:
    """The page in OpenMetrics 1.0.0."""
    lines: list[str] = []
    for family in sorted(families, key=lambda f: f.name):
        name, kind = openmetrics_type(family)
        lines.append(f"# TYPE {name} {kind}")
        if family.unit and kind != "info" and name.endswith(f"_{family.unit}"):
            lines.append(f"# UNIT {name} {family.unit}")
        if family.help:
            lines.append(f"# HELP {name} {_escape(family.help)}")
        _add_samples(lines, family, openmetrics=True)
    lines.append("# EOF")
    return _encode(lines)


class Format(NamedTuple):
    """A format of the page: how it is asked for, how it is announced, how it is written."""

    media_type: str
    versions: tuple[str, ...]
    content_type: str
    render: Callable[[Iterable[Family]], bytes]


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


def without_clashes(families: Iterable[Family]) -> tuple[list[Family], list[Family]]:
    """Split into what one page can show beside our own metrics, and what would clash.

    Two families clash when a sample of one may have the name of a sample of the other, as a
    histogram `a` and a counter `a_count` do: parsers refuse such a page as a whole.
    """
    taken: set[str] = set()
    shown, clashing = [], []
    for family in sorted(families, key=lambda f: f.name):
        name, kind = openmetrics_type(family)
        names = {name + suffix for suffix in _SUFFIXES.get(kind, ("",))}
        if names & taken or family.name.startswith(OWN_PREFIX):
            clashing.append(family)
        else:
            taken |= names
            shown.append(family)
    return shown, clashing


def _add_samples(lines: list[str], family: Family, *, openmetrics: bool) -> None:
    # An info has the value 1 by definition, whatever the processes added up.
    info = openmetrics and openmetrics_type(family)[1] == "info"
    for labels, value in sorted(family.values.items()):
        pairs = _pairs(family.labels, labels)
        braces = f"{{{pairs}}}" if pairs else ""
        lines.append(f"{family.name}{braces} {1.0 if info else value!r}")
    # OpenMetrics: no sum where there may be negative observations, and no count without it.
    negative = openmetrics and any(bound < 0 for bound in family.bounds)
    bounds = [*map(repr, family.bounds), "+Inf"]
    for labels in sorted(family.histograms):
        histogram = family.histograms[labels]
        pairs = _pairs(family.labels, labels)
        totals = not negative and (histogram.sum >= 0 or not openmetrics)
        lines.extend(_histogram_lines(family.name, pairs, bounds, histogram, totals=totals))


def _histogram_lines(
    name: str, pairs: str, bounds: Sequence[str], histogram: Histogram, *, totals: bool
) -> Iterator[str]:
    head = f'{name}_bucket{{{pairs}{"," if pairs else ""}le="'
    count = 0.0
    for bound, count in zip(bounds, accumulate(histogram.buckets), strict=True):
        yield f'{head}{bound}"}} {count!r}'
    if totals:
        braces = f"{{{pairs}}}" if pairs else ""
        yield f"{name}_count{braces} {count!r}"
        yield f"{name}_sum{braces} {histogram.sum!r}"


def _pairs(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escape(v)}"' for name, v in zip(names, values, strict=True))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _encode(lines: Sequence[str]) -> bytes:
    # Labels were checked; half a surrogate pair can only be in a help text.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
