"""An hour of the shop as an OpenMetrics page to backfill: every metric of the catalog."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from grafana.rows import exporter
from perfsdk import catalog
from perfsdk.catalog import Metric
from tests.grafana.shop import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    RECORDED,
    Amount,
    Observed,
    at,
    share_below,
)

DURATION_SECONDS = 3600
LEAD_SECONDS = 600
"""So much is there before the hour, so that its first windows are as full as its last."""

WEEK_SECONDS = 7 * 24 * 3600

Labels = tuple[str, ...]


class Times(NamedTuple):
    """When samples are taken, and how far apart they are."""

    at: list[int]
    step: int

    def age(self, time: int) -> int:
        """Seconds until the end of its hour."""
        return (self.at[-1] - time) % WEEK_SECONDS


class Target(NamedTuple):
    """A scraped exporter: the labels that Prometheus gives it, and how often it is asked."""

    job: str
    instance: str
    step_seconds: int
    namespace: str = ""
    cluster: str = ""
    traffic: float = 1.0

    def braces(self, metric: Metric, values: Labels, **extra: str) -> str:
        """The labels of a series as they stand on the page; one without a value is none."""
        of_target = {
            "cluster": self.cluster,
            "namespace": self.namespace,
            "job": self.job,
            "instance": "" if metric in RECORDED else self.instance,
        }
        pairs = of_target | dict(zip(metric.labels, values, strict=True)) | extra
        shown = ",".join(f'{name}="{value}"' for name, value in pairs.items() if value)
        return f"{{{shown}}}"


IN_A_CLUSTER = Target("shop", "10.0.0.7:8979", 15, "web", "eu-1")
PLAIN = Target("billing", "localhost:8979", 60)
"""A Prometheus with nothing but job and instance, and the slowest scrapes that are usual."""
QUIET = Target("nobody-calls", "localhost:8980", 60, traffic=0.0)
"""All series are there, and nothing happens."""
TARGETS = (IN_A_CLUSTER, PLAIN, QUIET)


def openmetrics(end: int, targets: Sequence[Target] = TARGETS) -> Iterator[str]:
    """The lines of a page whose samples end at `end`, in seconds since the epoch.

    Raises:
        KeyError: the shop does not say what a metric of the catalog looks like there.
    """
    for metric in (*catalog.METRICS, *exporter.METRICS, *RECORDED):
        if metric.page != "metrics":
            continue
        yield f"# TYPE {metric.name.removesuffix('_total')} {metric.kind}"
        for target in targets:
            times = _times(end, target.step_seconds)
            if metric.kind == "gauge":
                yield from _gauge(metric, target, times)
            elif metric.kind == "counter":
                yield from _counter(metric, target, times)
            else:
                yield from _histogram(metric, target, times)
    yield "# EOF"


def _times(end: int, step: int) -> Times:
    """When samples are taken: in the hour, and in the same one a week before."""
    first = end - DURATION_SECONDS - LEAD_SECONDS
    hour = range(first, end + 1, step)
    return Times([*(time - WEEK_SECONDS for time in hour), *hour], step)


def _gauge(metric: Metric, target: Target, times: Times) -> Iterator[str]:
    for values, amount in GAUGES[metric.name].items():
        head = f"{metric.name}{target.braces(metric, values)}"
        # Enough digits for the seconds of a time since the epoch.
        yield from (f"{head} {at(amount, times.age(time)):.12g} {time}" for time in times.at)


def _counter(metric: Metric, target: Target, times: Times) -> Iterator[str]:
    for values, amount in COUNTERS[metric.name].items():
        head = f"{metric.name}{target.braces(metric, values)}"
        total = 0.0
        for time in times.at:
            total += _happened(amount, target, times, time)
            shown = total if metric.unit == "seconds" else math.floor(total)
            yield f"{head} {shown:.9g} {time}"


def _histogram(metric: Metric, target: Target, times: Times) -> Iterator[str]:
    bounds = [*map(repr, metric.bounds), "+Inf"]
    for values, mixture in HISTOGRAMS[metric.name].items():
        heads = [f"{metric.name}_bucket{target.braces(metric, values, le=le)}" for le in bounds]
        heads += [
            f"{metric.name}_{part}{target.braces(metric, values)}" for part in ("count", "sum")
        ]
        columns = defaultdict(list)
        for time, counts, total in _cumulative(metric, mixture, times, target):
            numbers = [*counts, counts[-1], total]
            for head, number in zip(heads, numbers, strict=True):
                columns[head].append(f"{head} {number:.9g} {time}")
        for lines in columns.values():
            yield from lines


def _cumulative(
    metric: Metric, mixture: Sequence[Observed], times: Times, target: Target
) -> Iterator[tuple[int, list[int], float]]:
    """Time, the counts by upper bound with +Inf last, and the sum, from the start on."""
    counts, total = [0.0] * (len(metric.bounds) + 1), 0.0
    for time in times.at:
        for observed in mixture:
            new = _happened(observed.rate, target, times, time)
            average = at(observed.average, times.age(time))
            total += new * average
            sigma = observed.sigma
            shares = [share_below(bound, average, sigma) for bound in metric.bounds]
            counts = [
                count + new * share for count, share in zip(counts, [*shares, 1.0], strict=True)
            ]
        # Rounding down keeps them growing with time and with the bound alike.
        yield time, [math.floor(count + 1e-9) for count in counts], total


def _happened(rate: Amount, target: Target, times: Times, time: int) -> float:
    """How much of a rate happened since the sample before; traffic comes and goes a little."""
    age = times.age(time)
    wave = 1 + 0.15 * math.sin(age / 400) + 0.05 * math.sin(age / 37)
    return at(rate, age) * target.traffic * times.step * wave
