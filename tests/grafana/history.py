"""An hour of plausible samples of every catalogued metric, as an OpenMetrics page to backfill."""

import itertools
from collections.abc import Iterator

from perfsdk import catalog
from perfsdk.catalog import Metric

STEP_SECONDS = 15
DURATION_SECONDS = 3600

LABEL_VALUES = {
    "http_request_method": ("GET", "POST"),
    "http_route": ("/orders", "/items/{item_id}"),
    "http_response_status_code": ("200", "500"),
    "error_type": ("", "ValueError"),
    "component": ("app", "db", "cache"),
    "band": catalog.BANDS,
    "db_system_name": ("sqlite",),
    "db_namespace": ("shop",),
    "db_operation_name": ("SELECT", "UPDATE"),
    "db_collection_name": ("orders", "items"),
    "cache_system": ("redis",),
    "cache_name": ("default", "sessions"),
    "cache_operation": ("get", "set"),
    "cache_result": ("hit", "miss"),
    "library": ("redis",),
    "version": ("8.1.0",),
    "status": ("active",),
    "where": ("sampler",),
    "metric": ("cache_requests_total",),
    "label": ("cache_name",),
}

TARGET = 'job="shop",instance="127.0.0.1:8979"'


def openmetrics(end: int) -> Iterator[str]:
    """The lines of a page whose samples end at `end`, in seconds since the epoch."""
    times = range(end - DURATION_SECONDS, end + 1, STEP_SECONDS)
    for metric in catalog.METRICS:
        family = metric.name.removesuffix("_total")
        yield f"# TYPE {family} {metric.kind}"
        choices = [LABEL_VALUES[label] for label in metric.labels]
        for number, values in enumerate(itertools.product(*choices), start=1):
            pairs = zip(metric.labels, values, strict=True)
            labels = ",".join([TARGET, *(f'{label}="{value}"' for label, value in pairs)])
            for tick, time in enumerate(times):
                yield from _samples(metric, labels, tick * number, time)
    yield "# EOF"


def _samples(metric: Metric, labels: str, amount: int, time: int) -> Iterator[str]:
    if metric.kind == "histogram":
        counts = [amount * (i + 1) for i in range(len(metric.bounds) + 1)]
        bounds = [*map(repr, metric.bounds), "+Inf"]
        for bound, count in zip(bounds, counts, strict=True):
            yield f'{metric.name}_bucket{{{labels},le="{bound}"}} {count} {time}'
        yield f"{metric.name}_count{{{labels}}} {counts[-1]} {time}"
        yield f"{metric.name}_sum{{{labels}}} {counts[-1] * metric.bounds[2]} {time}"
    elif metric.kind == "counter":
        yield f"{metric.name}{{{labels}}} {amount} {time}"
    else:
        yield f"{metric.name}{{{labels}}} 3 {time}"
