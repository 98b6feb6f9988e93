"""Builds the parts of a Grafana dashboard as plain data; knows Grafana, nothing of the metrics."""

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
MIN_INTERVAL = "15s"

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


def query(expr: str, legend: str = "", *, exemplar: bool = False) -> Json:
    """A query over the time range, one point a step."""
    return {"expr": expr, "legendFormat": legend or "__auto", "range": True, "exemplar": exemplar}


def instant(expr: str, legend: str = "") -> Json:
    """A query for one value now, for tables and stats over the whole range."""
    return {"expr": expr, "legendFormat": legend or "__auto", "instant": True, "range": False}


def column(expr: str, ref: str) -> Json:
    """A query whose series become a column of a table."""
    return instant(expr) | {"format": "table", "refId": ref}


def buckets(expr: str) -> Json:
    """A query for the buckets of a heatmap."""
    return query(expr, "{{le}}") | {"format": "heatmap"}


def steps(*colours: tuple[float | None, str]) -> Json:
    """Thresholds: a colour from each value on; None is the lowest."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in colours],
    }


def stat(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    thresholds: Json | None = None,
    none: str = "no traffic",
    decimals: int | None = None,
) -> Json:
    """One big number with its recent course."""
    panel = _panel("stat", title, description, targets, unit=unit, thresholds=thresholds)
    panel["fieldConfig"]["defaults"] |= {"noValue": none}
    if decimals is not None:
        panel["fieldConfig"]["defaults"]["decimals"] = decimals
    panel["options"] = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
        "wideLayout": True,
    }
    return panel


def timeseries(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    stacked: bool = False,
    colours: dict[str, str] | None = None,
    maximum: float | None = None,
    none: str | None = None,
) -> Json:
    """Lines over time; the legend is a table with mean, maximum and last value."""
    panel = _panel("timeseries", title, description, targets, unit=unit)
    defaults = panel["fieldConfig"]["defaults"]
    defaults["min"] = 0
    if maximum is not None:
        defaults["max"] = maximum
    if none is not None:
        defaults["noValue"] = none
    defaults["custom"] = {
        "drawStyle": "line",
        "fillOpacity": 60 if stacked else 8,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"fixedColor": colour, "mode": "fixed"}}],
        }
        for name, colour in (colours or {}).items()
    ]
    panel["options"] = {
        "legend": {
            "calcs": ["mean", "lastNotNull"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "sortBy": "Mean",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def heatmap(title: str, description: str, target: Json, *, unit: str) -> Json:
    """How many observations fell into each bucket over time."""
    panel = _panel("heatmap", title, description, [target], unit=unit)
    panel["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": unit},
    }
    return panel


def table(
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    names: dict[str, str],
    units: dict[str, str],
    thresholds: dict[str, Json] | None = None,
    sort_by: str,
    none: str,
) -> Json:
    """Rows joined by their labels; `names` gives the shown columns in their order."""
    panel = _panel("table", title, description, targets, unit="none")
    panel["fieldConfig"]["defaults"] |= {
        "custom": {"align": "auto", "filterable": False},
        # Also shown in the empty cells of a row, so only a lone query may say more.
        "noValue": none if len(targets) == 1 else "-",
    }
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "unit", "value": unit},
                {"id": "custom.width", "value": 110},
                *_coloured((thresholds or {}).get(name)),
            ],
        }
        for name, unit in units.items()
    ]
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": names,
            },
        },
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"desc": True, "field": sort_by}]}},
    ]
    panel["options"] = {"cellHeight": "sm", "showHeader": True}
    return panel


def variable(
    name: str, label: str, expr: str, *, everything: str = ".*", multi: bool = True
) -> Json:
    """A choice among the values of a label; all of them by default."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": expr,
        "query": {"query": expr, "refId": f"Variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": multi,
        "includeAll": True,
        "allValue": everything,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "options": [],
        "regex": "",
    }


def datasource_variable() -> Json:
    """Which Prometheus to ask."""
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


def section(
    title: str, rows: Iterable[tuple[int, Sequence[Json]]], *, folded: bool = False
) -> Json:
    """A titled row of the dashboard: lines of panels, each line with its height."""
    return {"title": title, "lines": list(rows), "folded": folded}


def dashboard(
    *, uid: str, title: str, description: str, variables: Sequence[Json], sections: Sequence[Json]
) -> Json:
    """A whole dashboard: panels of a line share its width equally, ids count upwards."""
    panels: list[Json] = []
    number = y = 0
    for part in sections:
        number += 1
        row: Json = {
            "id": number,
            "type": "row",
            "title": part["title"],
            "collapsed": part["folded"],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            "panels": [],
        }
        panels.append(row)
        y += 1
        for height, line in part["lines"]:
            width = WIDTH // len(line)
            for index, panel in enumerate(line):
                number += 1
                place = {"h": height, "w": width, "x": index * width, "y": y}
                (row["panels"] if part["folded"] else panels).append(
                    {"id": number, **panel, "gridPos": place}
                )
            y += height
    return {
        "annotations": {"list": []},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [
            {
                "asDropdown": True,
                "icon": "external link",
                "includeVars": True,
                "keepTime": True,
                "tags": ["perfsdk"],
                "targetBlank": False,
                "title": "perfsdk",
                "tooltip": "",
                "type": "dashboards",
                "url": "",
            }
        ],
        "panels": panels,
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["perfsdk"],
        "templating": {"list": list(variables)},
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "weekStart": "",
    }


def _panel(
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    thresholds: Json | None = None,
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "interval": MIN_INTERVAL,
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
                "thresholds": thresholds or steps((None, BLUE if kind == "stat" else GREEN)),
                "mappings": [
                    {
                        "type": "special",
                        "options": {"match": "nan", "result": {"text": "-", "index": 0}},
                    }
                ],
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "editorMode": "code"}
            | target
            for index, target in enumerate(targets)
        ],
    }


def _coloured(thresholds: Json | None) -> list[Json]:
    if thresholds is None:
        return []
    return [
        {"id": "thresholds", "value": thresholds},
        {"id": "color", "value": {"mode": "thresholds"}},
        {"id": "custom.cellOptions", "value": {"type": "color-text"}},
    ]
