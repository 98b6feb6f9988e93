"""What a request wants to see of the table of queries, and that part of it."""

from collections.abc import Callable, Iterable, Mapping
from math import fsum
from typing import NamedTuple
from urllib.parse import urlencode

from perfsdk_exporter.queries.statements import OVERFLOW, Statement

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

_Number = Callable[[Statement], float]
_Text = Callable[[Statement], str]

TEXTS: dict[str, _Text] = {
    "statement": lambda s: s.summary,
    "call_site": lambda s: s.call_site,
    "database": lambda s: f"{s.system}/{s.namespace}",
}
_NUMBERS: dict[str, _Number] = {
    "total": lambda s: s.seconds,
    "calls": lambda s: s.calls,
    "mean": lambda s: s.mean_seconds or 0.0,
    "errors": lambda s: s.errors,
    "rows": lambda s: s.rows_per_call or 0.0,
    "findings": lambda s: sum(found.requests for found in s.findings),
}
COLUMNS = (*_NUMBERS, *TEXTS)
"""What can be sorted by: numbers from the largest, texts from A; `-` before it turns it round."""


class SelectionError(ValueError):
    """A parameter with a value that means nothing; the message says what to give."""


class Selection(NamedTuple):
    """The parameters of a request; an empty one asks for everything.

    `route` and `kind` ask for statements with a finding of that kind in that route.
    """

    sort: str = "total"
    route: str = ""
    kind: str = ""
    system: str = ""
    limit: int = DEFAULT_LIMIT

    def query(self, **changes: str) -> str:
        """The query string of the same selection but for these changes; `?` alone for none."""
        fields = {**self._asdict(), **changes}
        defaults = Selection()._asdict()
        return "?" + urlencode({k: v for k, v in fields.items() if v != defaults.get(k)})


class Selected(NamedTuple):
    """What is shown, how many statements match, and all that there are."""

    shown: list[Statement]
    matching: int
    statements: list[Statement]

    @property
    def own_rows(self) -> int:
        """How many statements have a row of their own."""
        return sum(statement.summary != OVERFLOW for statement in self.statements)

    @property
    def seconds(self) -> float:
        """Of all statements: what shares are shares of."""
        return fsum(statement.seconds for statement in self.statements)


def read_selection(query: Mapping[str, str]) -> Selection:
    """The selection of a query string; parameters without a value count as absent.

    Raises:
        SelectionError: a value that means nothing.
    """
    sort = query.get("sort") or "total"
    if sort.removeprefix("-") not in COLUMNS:
        raise SelectionError(f"sort: give one of {', '.join(COLUMNS)}, or -{COLUMNS[0]} and so on.")
    limit = query.get("limit") or str(DEFAULT_LIMIT)
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 9 and int(limit) > 0):
        raise SelectionError(f"limit: give a number from 1; above {MAX_LIMIT} it is {MAX_LIMIT}.")
    return Selection(
        sort,
        query.get("route", ""),
        query.get("kind", ""),
        query.get("system", ""),
        min(int(limit), MAX_LIMIT),
    )


def select(statements: Iterable[Statement], selection: Selection) -> Selected:
    """The statements that the selection asks for, in its order."""
    everything = list(statements)
    matching = [statement for statement in everything if _matches(statement, selection)]
    matching.sort(key=lambda s: (s.summary, s.call_site, s.system, s.namespace))
    column = selection.sort.removeprefix("-")
    turned = selection.sort.startswith("-")
    if column in TEXTS:
        matching.sort(key=TEXTS[column], reverse=turned)
    else:
        matching.sort(key=_NUMBERS[column], reverse=not turned)
    return Selected(matching[: selection.limit], len(matching), everything)


def _matches(statement: Statement, selection: Selection) -> bool:
    if selection.system and statement.system != selection.system:
        return False
    if not selection.route and not selection.kind:
        return True
    return any(
        selection.route in ("", found.http_route) and selection.kind in ("", found.kind)
        for found in statement.findings
    )
