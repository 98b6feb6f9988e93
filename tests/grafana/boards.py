"""What the tests ask of a dashboard: its panels, its queries, its queries without variables."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

VALUES = {
    "$__rate_interval": "1m",
    "$__range": "30m",
    "$__interval": "15s",
    "$datasource": "prometheus",
}


def panels(board: Json) -> Iterator[Json]:
    """All panels but the titles of rows, folded ones too."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def targets(board: Json) -> Iterator[tuple[Json, Json]]:
    """Every query with its panel."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel, target


def interpolate(expr: str) -> str:
    """The query as Prometheus gets it when everything is chosen."""
    for macro, value in VALUES.items():
        expr = expr.replace(macro, value)
    return re.sub(r"\$\w+", ".*", expr)
