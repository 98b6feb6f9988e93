"""The table of queries as JSON, field by field as the documentation says."""

import json
from collections.abc import Iterator
from math import fsum
from typing import Any

from perfsdk_exporter.queries.selection import Selected, Selection
from perfsdk_exporter.queries.statements import Statement

CONTENT_TYPE = "application/json; charset=utf-8"


def render_document(selected: Selected, selection: Selection, explanation: str) -> Iterator[bytes]:
    """The document; `explanation` says why nothing was read, empty when something was."""
    seconds = selected.seconds
    everything = selected.statements
    document = {
        "explanation": explanation,
        "selection": selection._asdict(),
        "totals": {
            "statements": selected.own_rows,
            "calls": _number(fsum(s.calls for s in everything)),
            "seconds": seconds,
            "errors": _number(fsum(s.errors for s in everything)),
            "rows": _number(fsum(s.rows for s in everything)),
            "parameter_sets": _number(fsum(s.parameter_sets for s in everything)),
        },
        "matching": selected.matching,
        "statements": [_row(statement, seconds) for statement in selected.shown],
    }
    # ASCII: what reads from right to left, or is no character at all, is an escape.
    yield (json.dumps(document, indent=1) + "\n").encode()


def _row(statement: Statement, all_seconds: float) -> dict[str, Any]:
    return {
        "summary": statement.summary,
        "call_site": statement.call_site,
        "system": statement.system,
        "namespace": statement.namespace,
        "calls": _number(statement.calls),
        "seconds": statement.seconds,
        "mean_seconds": statement.mean_seconds,
        "share": statement.seconds / all_seconds if all_seconds else 0.0,
        "errors": _number(statement.errors),
        "rows": _number(statement.rows),
        "rows_per_call": statement.rows_per_call,
        "parameter_sets": _number(statement.parameter_sets),
        "findings": [
            {
                "kind": found.kind,
                "http_route": found.http_route,
                "requests": _number(found.requests),
            }
            for found in statement.findings
        ],
    }


def _number(value: float) -> float:
    """A count as it is written: without a fraction when it has none."""
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
