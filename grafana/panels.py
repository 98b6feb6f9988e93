"""The kinds of panels as plain data, with queries; knows Grafana and nothing of the metrics."""

from collections.abc import Mapping, Sequence

from grafana import fields
from grafana.fields import Json

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MIN_STEP = "$min_step"
"""Taken for the scrape interval: a rate's window is at least four of it."""

Steps = list[tuple[float | None, str]]


def query(expr: str, legend: str, *, exemplar: bool = False) -> Json:
    """A query over the time range; the legend names labels as `{{label}}`."""
    return {
        "expr": expr,
        "legendFormat": legend,
        "format": "time_series",
        "range": True,
        "instant": False,
        "exemplar": exemplar,
    }


def stat(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str,
    steps: Steps,
    none: str = "No data",
    quiet: str = "-",
    decimals: int | None = None,
    course: bool = True,
    alarm: bool = False,
) -> Json:
    """One number: now with its course, or of the whole range without one.

    `none` is shown when there are no series, `quiet` for NaN. An `alarm` fills the panel with
    its colour. The last point is taken even if it is NaN: an older one would look like now.
    """
    target = query(expr, "") if course else instant(expr) | {"format": "time_series"}
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "thresholds": fields.thresholds(steps),
        "mappings": [fields.special("nan", quiet)],
        "min": 0,
        "noValue": none,
        "unit": unit,
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    return panel("stat", title, description, [target], defaults, []) | {
        "options": {
            "colorMode": "background" if alarm else "value",
            "graphMode": "area" if course else "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
            "textMode": "value",
            "wideLayout": True,
        }
    }


def timeseries(
    title: str,
    description: str,
    queries: Sequence[Json],
    *,
    unit: str,
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    shades: str = "",
    dashed: Sequence[str] = (),
    minimum: float | None = 0,
    maximum: float | None = None,
    reach: float | None = None,
    limits: Sequence[float] = (),
    none: str = "No data",
    beside: bool = False,
    short: bool = False,
) -> Json:
    """Curves from 0 up, or from `minimum`; series without a colour take the palette's in turn.

    `shades` of one colour replace the palette. `dashed` are the references of queries drawn as
    dashes; `limits` are lines across. The axis ends at `maximum`, or at least reaches `reach`.
    The legend is a table below or `beside` with mean and last value, or a `short` list of names.
    """
    defaults: Json = {
        "color": {"mode": "shades", "fixedColor": shades}
        if shades
        else {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 55 if stacked else 6,
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "showPoints": "auto",
            "pointSize": 4,
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        },
        "noValue": none,
        "unit": unit,
    }
    if limits:
        steps: Steps = [(limit, fields.RED) for limit in sorted(limits)]
        defaults["thresholds"] = fields.thresholds([(None, "transparent"), *steps])
    if minimum is not None:
        defaults["min"] = minimum
    if maximum is not None:
        defaults["max"] = maximum
    if reach is not None:
        defaults["custom"]["axisSoftMax"] = reach
    overrides = [
        fields.by_name(name, color=fields.fixed(colour)) for name, colour in (colours or {}).items()
    ]
    overrides += [
        fields.by_query(ref, custom__lineStyle=fields.DASHED, custom__fillOpacity=0)
        for ref in dashed
    ]
    return panel("timeseries", title, description, queries, defaults, overrides) | {
        "options": {
            "legend": {
                "calcs": [] if short else ["mean", "lastNotNull"],
                "displayMode": "list" if short else "table",
                "placement": "right" if beside else "bottom",
                "showLegend": True,
                "sortBy": "Mean",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    }


def heatmap(title: str, description: str, expr: str, *, unit: str, none: str) -> Json:
    """How many observations fall into each bucket."""
    target = query(expr, "{{le}}") | {"format": "heatmap"}
    return panel("heatmap", title, description, [target], {"noValue": none, "unit": unit}, []) | {
        "options": {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "reqps"},
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "unit": unit},
        }
    }


def instant(expr: str) -> Json:
    """A query for one value of the whole time range."""
    return query(expr, "") | {"range": False, "instant": True}


def reference(index: int) -> str:
    """The letter of a panel's first, second, ... query."""
    return chr(ord("A") + index)


def panel(
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Json],
    defaults: Json,
    overrides: Sequence[Json],
) -> Json:
    """What all kinds have in common; their own options are added to it."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "interval": MIN_STEP,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "targets": [
            target
            | {
                "datasource": DATASOURCE,
                "editorMode": "code",
                "interval": MIN_STEP,
                "refId": reference(index),
            }
            for index, target in enumerate(targets)
        ],
    }
