"""Tables: queries of the whole time range as columns, joined on the labels that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana import fields
from grafana.fields import Json
from grafana.panels import Steps, instant, panel, reference


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: a label, or the value of a query if there is `expr`.

    `bar` draws the value as a bar of that colour, `steps` colour its text; `hidden` is for the
    value of a query that is asked for its labels alone.
    """

    title: str
    label: str = ""
    expr: str = ""
    unit: str = "short"
    decimals: int | None = None
    width: int | None = None
    steps: Steps | None = None
    bar: str = ""
    maximum: float | None = None
    mappings: Sequence[Json] = ()
    hidden: bool = False
    link: str = ""
    """Where a click leads; `${__data.fields.Title}` is another cell of the row."""


def table(
    title: str, description: str, columns: Sequence[Column], *, sort_by: str, none: str
) -> Json:
    """Queries of the whole range, joined on the labels that they share: one row each."""
    queried = [column for column in columns if column.expr]
    targets = [instant(column.expr) | {"format": "table"} for column in queried]
    # A lone query names its column `Value`, several name theirs by reference.
    names = (
        ["Value"] if len(queried) == 1 else [f"Value #{reference(i)}" for i in range(len(queried))]
    )
    values = iter(names)
    sources = [next(values) if column.expr else column.label for column in columns]
    hidden = [source for source, c in zip(sources, columns, strict=True) if c.hidden]
    defaults: Json = {
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
        "noValue": none,
        "unit": "none",
    }
    overrides = [_column_override(column) for column in columns if not column.hidden]
    renamed = {source: column.title for source, column in zip(sources, columns, strict=True)}
    return panel("table", title, description, targets, defaults, overrides) | {
        "options": {
            "cellHeight": "sm",
            "footer": {"show": False},
            "showHeader": True,
            "sortBy": [{"desc": True, "displayName": sort_by}],
        },
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(["Time", *hidden], True),
                    "indexByName": {source: index for index, source in enumerate(sources)},
                    "renameByName": renamed,
                },
            },
        ],
    }


def _column_override(column: Column) -> Json:
    properties: dict[str, Any] = {"noValue": "-"}
    if column.expr:
        properties["unit"] = column.unit
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.width is not None:
        properties["custom__width"] = column.width
    if column.steps is not None or column.mappings:
        # A threshold would colour an empty cell as if it were the lowest value.
        properties["mappings"] = [*column.mappings, fields.special("null+nan", "-")]
        properties["thresholds"] = fields.thresholds(column.steps or [(None, "text")])
        properties["color"] = {"mode": "thresholds"}
        properties["custom__cellOptions"] = {"type": "color-text"}
    if column.link:
        properties["links"] = [{"title": "Open", "url": column.link, "targetBlank": False}]
    if column.bar:
        properties["custom__cellOptions"] = {
            "type": "gauge",
            "mode": "basic",
            "valueDisplayMode": "text",
        }
        properties["min"] = 0
        properties["color"] = fields.fixed(column.bar)
        if column.maximum is None:
            properties["fieldMinMax"] = True  # else the largest number of any column is full
        else:
            properties["max"] = column.maximum
    return fields.by_name(column.title, **properties)
