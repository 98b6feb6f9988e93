"""What the tests ask of a dashboard: its panels, its queries, its queries without variables."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

Json = dict[str, Any]

TARGET_LABELS = {"cluster", "namespace", "job", "instance"}


def panels(board: Json) -> Iterator[Json]:
    """All panels but the titles of rows, those in collapsed rows too."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def targets(board: Json) -> Iterator[tuple[Json, Json]]:
    """Every query with its panel."""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel, target


def variables(board: Json, kind: str) -> dict[str, Json]:
    """The variables of a kind by name."""
    return {v["name"]: v for v in board["templating"]["list"] if v["type"] == kind}


def interpolate(board: Json, expr: str, **chosen: str) -> str:
    """The query as Prometheus gets it for an hour: all of everything that is not chosen.

    Raises:
        KeyError: the query uses a variable that the dashboard does not have.
    """
    values = {name: v["allValue"] for name, v in variables(board, "query").items()}
    macros = {"__rate_interval": rate_interval(board), "__range": "3600s"}
    known = {**values, **macros, **chosen}
    return re.sub(r"\$([a-z_]+)", lambda found: known[found[1]], expr)


def min_step_seconds(board: Json) -> int:
    """The smallest step that the dashboard asks for when nobody has chosen another."""
    value = variables(board, "custom")["min_step"]["current"]["value"]
    return int(value.removesuffix("s"))


def rate_interval(board: Json) -> str:
    """`$__rate_interval` of a short time range: Grafana takes four times the smallest step."""
    return f"{4 * min_step_seconds(board)}s"


def nodes(node: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """An expression and everything in it."""
    yield node
    match node:
        case promql_parser.AggregateExpr():
            parts = [node.expr, *([node.param] if node.param else [])]
        case promql_parser.BinaryExpr():
            parts = [node.lhs, node.rhs]
        case promql_parser.Call():
            parts = node.args
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            parts = [node.expr]
        case promql_parser.MatrixSelector():
            parts = [node.vector_selector]
        case _:
            parts = []
    for part in parts:
        yield from nodes(part)


def selectors(node: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    """All series that an expression asks for."""
    return [part for part in nodes(node) if isinstance(part, promql_parser.VectorSelector)]


def grouped_by(node: promql_parser.Expr) -> set[str]:
    """All labels that an expression groups or joins by."""
    found = set()
    for part in nodes(node):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier:
            found |= set(part.modifier.labels)
        if isinstance(part, promql_parser.BinaryExpr) and part.modifier and part.modifier.matching:
            found |= set(part.modifier.matching.labels)
    return found


def made_labels(node: promql_parser.Expr) -> set[str]:
    """Labels that the expression itself makes by `label_replace`."""
    calls = [part for part in nodes(node) if isinstance(part, promql_parser.Call)]
    return {call.args[1].val for call in calls if call.func.name == "label_replace"}
