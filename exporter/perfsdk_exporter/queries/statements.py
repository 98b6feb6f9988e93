"""Reads the rows of the table of queries from its counters; no input or output."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from perfsdk_exporter.families import Family

OVERFLOW = "<overflow>"
"""The summary of the row that has all statements of a process without a row of their own."""

_FIGURES = {
    "perfsdk_query_calls_total": "calls",
    "perfsdk_query_seconds_total": "seconds",
    "perfsdk_query_errors_total": "errors",
    "perfsdk_query_rows_total": "rows",
    "perfsdk_query_parameter_sets_total": "parameter_sets",
}
_FINDINGS = "perfsdk_query_findings_total"
_LABELS = ("db_system_name", "db_namespace", "query_summary", "call_site")


class Finding(NamedTuple):
    """In how many requests of a route a statement was found to hurt in one way."""

    kind: str
    http_route: str
    requests: float


@dataclass(slots=True)
class Statement:
    """One row; `rows` are those returned, `parameter_sets` those of batches.

    A statement without a row in its process has findings and no calls: its figures are in the
    row of the overflow.
    """

    system: str
    namespace: str
    summary: str
    call_site: str
    calls: float = 0.0
    seconds: float = 0.0
    errors: float = 0.0
    rows: float = 0.0
    parameter_sets: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def mean_seconds(self) -> float | None:
        """Seconds of a call; None without a call."""
        return self.seconds / self.calls if self.calls >= 1 else None

    @property
    def rows_per_call(self) -> float | None:
        """Rows returned by a call; None without a call."""
        return self.rows / self.calls if self.calls >= 1 else None


def read_statements(families: Iterable[Family]) -> list[Statement]:
    """All rows, in no order; findings with the most requests first."""
    known: dict[tuple[str, str, str, str], Statement] = {}
    for family in families:
        if family.kind != "counter":
            continue
        for labels, value in _series(family):
            system, namespace, summary, call_site = (labels.get(label, "") for label in _LABELS)
            key = system, namespace, summary, call_site
            if family.name in _FIGURES:
                statement = known.setdefault(key, Statement(*key))
                name = _FIGURES[family.name]
                # A newer version may tell apart by more labels what is one row here.
                setattr(statement, name, getattr(statement, name) + value)
            elif family.name == _FINDINGS and value:
                statement = known.setdefault(key, Statement(*key))
                kind, route = labels.get("kind", ""), labels.get("http_route", "")
                statement.findings.append(Finding(kind, route, value))
    for statement in known.values():
        statement.findings.sort(key=lambda found: (-found.requests, found.kind, found.http_route))
    return [s for s in known.values() if s.calls or s.findings]


def _series(family: Family) -> Iterator[tuple[dict[str, str], float]]:
    for values, value in family.values.items():
        yield dict(zip(family.labels, values, strict=True)), value
