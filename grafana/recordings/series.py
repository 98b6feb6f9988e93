"""Writes samples at equal steps as promtool's input series, and reads them again."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

Values = list[float | None]
"""A sample for each step; None: the series was not there."""

FOLDER = Path(__file__).resolve().parent
STARTED = "process_start_time_seconds"
"""A series of these says when a worker was started: seconds before the first step, so below 0."""

DECIMALS = 3

_SERIES = re.compile(r'- series: (".*")\n  values: (".*")')
_RUN = re.compile(r"(?P<first>-?\d[^+x]*)\+(?P<grows>\d+)x(?P<more>\d+)")


def document(series: Mapping[str, Values], said: str) -> str:
    """The text of a recording: a comment, then every series, as YAML."""
    lines = [*(f"# {line}" for line in said.splitlines()), "input_series:"]
    for name, values in sorted(series.items()):
        # Text in quotation marks is the same in JSON and YAML.
        lines += [f"- series: {json.dumps(name)}", f"  values: {json.dumps(written(values))}"]
    return "\n".join(lines) + "\n"


def read(path: Path) -> dict[str, Values]:
    """Every series of a recording by its name and labels."""
    found = _SERIES.findall(path.read_text(encoding="utf-8"))
    return {json.loads(name): expanded(json.loads(values)) for name, values in found}


def written(values: Sequence[float | None]) -> str:
    """The values in promtool's notation: `_x2 0 4+3x2` is two without, 0, 4, 7 and 10."""
    texts: list[str] = []
    for absent, group in groupby(values, lambda value: value is None):
        among = list(group)
        there = [round(float(value), DECIMALS) for value in among if value is not None]
        texts += [f"_x{len(among)}"] if absent else _progressions(there)
    return " ".join(texts)


def expanded(text: str) -> Values:
    """The values of what `written` wrote."""
    values: Values = []
    for part in text.split():
        if part.startswith("_x"):
            values += [None] * int(part[2:])
        elif run := _RUN.fullmatch(part):
            first, grows, more = (float(run[name]) for name in ("first", "grows", "more"))
            values += [first + grows * step for step in range(int(more) + 1)]
        else:
            values.append(float(part))
    return values


def _progressions(values: Sequence[float]) -> list[str]:
    """Three values or more that grow by the same whole number are one text."""
    texts: list[str] = []
    start = 0
    while start < len(values):
        end = start + 1
        grows = _growth(values, start)
        while grows is not None and end < len(values) and _growth(values, end - 1) == grows:
            end += 1
        if end - start >= 3:
            texts.append(f"{_text(values[start])}+{grows:.0f}x{end - start - 1}")
            start = end
        else:
            texts.append(_text(values[start]))
            start += 1
    return texts


def _growth(values: Sequence[float], index: int) -> float | None:
    """By how much the next value is larger; None: it is not, or by no whole number."""
    if index + 1 == len(values):
        return None
    grows = values[index + 1] - values[index]
    return grows if grows >= 0 and grows.is_integer() else None


def _text(value: float) -> str:
    return f"{value:.15g}"
