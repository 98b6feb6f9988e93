"""Puts rows of panels and variables together into a dashboard that Grafana imports as it is."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from grafana.fields import Json
from grafana.panels import DATASOURCE, MIN_STEP

TAG = "perfsdk"
COLUMNS = 24
SCHEMA_VERSION = 39
"""That of Grafana 10.4; newer ones migrate it by themselves."""


@dataclass(frozen=True)
class Line:
    """Panels side by side, of one height in grid units; they share the width by their weights."""

    height: int
    panels: Sequence[Json]
    widths: Sequence[int] = ()

    def placed(self) -> list[tuple[Json, int, int]]:
        """Each panel with its x and its width."""
        widths = self.widths or [COLUMNS // len(self.panels)] * len(self.panels)
        if sum(widths) != COLUMNS:
            raise ValueError(f"a line is {COLUMNS} wide: {[p['title'] for p in self.panels]}")
        starts = [sum(widths[:index]) for index in range(len(widths))]
        return list(zip(self.panels, starts, widths, strict=True))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A titled part of the dashboard, open or collapsed."""

    title: str
    lines: Sequence[Line]
    collapsed: bool = False


def dashboard(
    *,
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Json],
    rows: Sequence[Row],
    annotations: Sequence[Json] = (),
) -> Json:
    """The dashboard; ids come from titles, so that links to a panel outlive a new neighbour.

    Raises:
        ValueError: a line is not as wide as the grid, or two panels got the same id.
    """
    panels: list[Json] = []
    y = 0
    for row in rows:
        inside, height = _placed(row, y + 1)
        header = {
            "id": _id(row.title),
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": inside if row.collapsed else [],
        }
        panels += [header] if row.collapsed else [header, *inside]
        y += 1 if row.collapsed else 1 + height
    _check_ids(panels)
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [_links()],
        "panels": panels,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": [TAG],
        "templating": {"list": list(variables)},
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "weekStart": "",
    }


def datasource_variable() -> Json:
    """Which Prometheus to ask; Grafana's default one until another is chosen."""
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"selected": False, "text": "default", "value": "default"},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def annotation(name: str, expr: str, *, title: str, text: str, colour: str) -> Json:
    """Marks on all curves where a query has a value; `title` and `text` name its labels."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "step": MIN_STEP,
        "tagKeys": "",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": False,
    }


def min_step_variable(*choices: str, default: str) -> Json:
    """The scrape interval that rates can rely on; also the smallest step of a curve."""
    return {
        "name": MIN_STEP.removeprefix("$"),
        "label": "Min step",
        "type": "custom",
        "query": ", ".join(choices),
        "current": {"selected": True, "text": default, "value": default},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [
            {"selected": choice == default, "text": choice, "value": choice} for choice in choices
        ],
    }


def label_variable(
    name: str, title: str, series: str, label: str, *, everything: str, hidden: bool = False
) -> Json:
    """Values of a label of `series`; all of them, `everything`, until some are chosen."""
    expr = f"label_values({series}, {label})"
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": expr,
        "query": {"query": expr, "refId": f"variable-{name}"},
        "allValue": everything,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 2 if hidden else 0,
        "includeAll": True,
        "multi": True,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }


def _placed(row: Row, y: int) -> tuple[list[Json], int]:
    panels, height = [], 0
    for line in row.lines:
        for panel, x, width in line.placed():
            place = {"x": x, "y": y + height, "w": width, "h": line.height}
            panels.append({"id": _id(f"{row.title}/{panel['title']}"), **panel, "gridPos": place})
        height += line.height
    return panels, height


def _id(text: str) -> int:
    return zlib.crc32(text.encode()) % 1_000_000 + 1


def _check_ids(panels: Sequence[Json]) -> None:
    ids = [panel["id"] for row in panels for panel in (row, *row.get("panels", ()))]
    if len(set(ids)) != len(ids):
        raise ValueError("two panels have the same id: change a title")


def _links() -> Json:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "perfsdk dashboards",
        "tooltip": "Other dashboards of perfsdk, with the same time range and variables.",
        "type": "dashboards",
        "url": "",
    }
