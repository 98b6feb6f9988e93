"""What a key in a file of prometheus_client's multi-process mode names, checked."""

import functools
import itertools
import json
import math
import re
from typing import NamedTuple

from perfsdk_exporter.families import Kind, Labels
from perfsdk_exporter.multiproc.files import UnusableError

Part = float | str
"""Which number of a series: `value`, `count`, `sum`, or the upper bound of a bucket."""

_PARTS: dict[str, dict[str, Part]] = {
    "counter": {"_total": "value"},
    "gauge": {"": "value"},
    "histogram": {"_sum": "sum", "_bucket": "bucket"},
    "summary": {"_count": "count", "_sum": "sum"},
}


class UnpresentableError(Exception):
    """No page can show such a series; the message says why."""


class Entry(NamedTuple):
    """One number of one series; `values` in the order of `labels`, which are sorted.

    `family` is the name on the page, `mode` that of a gauge.
    """

    family: str
    kind: Kind
    mode: str
    help: str
    labels: Labels
    values: Labels
    part: Part


def parse_key(key: bytes, kind: Kind, mode: str, process: str) -> Entry:
    """Take a key apart: [name of the metric, name of the sample, labels, help].

    Names beyond ASCII get underscores, as prometheus_client writes them on a page for everybody.
    A gauge of one series a process gets the label `pid`; in no other has `pid` a meaning.

    Raises:
        UnusableError: no version of prometheus_client that we know writes such a key.
        UnpresentableError: no page can show the series.
    """
    try:
        metric, sample, labels, help_text = json.loads(key)
        part = _PARTS[kind][sample.removeprefix(metric)]
        texts = [metric, help_text, *labels.values()]
        if not sample.startswith(metric) or not all(isinstance(text, str) for text in texts):
            raise ValueError(key)
        if part == "bucket":
            part = float(labels.pop("le"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnusableError("garbled: a key that prometheus_client does not write") from error
    if kind == "gauge":
        labels.pop("pid", None)
        if mode == "all":
            labels["pid"] = process
    if isinstance(part, float) and (math.isnan(part) or part == -math.inf):
        raise UnpresentableError(f"{metric[:100]!r} has a bucket for {part}")
    name = _metric_name(sample if kind == "counter" else metric)
    pairs = sorted((_label_name(label, kind), value) for label, value in labels.items())
    names = tuple(label for label, _ in pairs)
    values = tuple(value for _, value in pairs)
    if len(set(names)) < len(names):
        raise UnpresentableError(f"{name} has label {_twice(names)} twice")
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        raise UnpresentableError(f"{name} has a label value that is no Unicode") from None
    return Entry(name, kind, mode, help_text, names, values, part)


@functools.lru_cache(maxsize=10_000)
def _metric_name(name: str) -> str:
    escaped = _with_underscores(name, "_:")
    if not escaped:
        raise UnpresentableError("a metric without a name")
    return escaped


@functools.lru_cache(maxsize=10_000)
def _label_name(name: str, kind: Kind) -> str:
    escaped = _with_underscores(name, "_")
    if not escaped or escaped.startswith("__") or (escaped == "quantile" and kind == "summary"):
        raise UnpresentableError(f"label name {name[:100]!r} is reserved")
    return escaped


def _with_underscores(name: str, others: str) -> str:
    escaped = re.sub(f"[^a-zA-Z0-9{others}]", "_", name)
    return f"_{escaped[1:]}" if escaped[:1].isdigit() else escaped


def _twice(names: Labels) -> str:
    return next(a for a, b in itertools.pairwise(names) if a == b)
