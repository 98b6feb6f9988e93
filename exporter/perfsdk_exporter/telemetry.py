"""The exporter's metrics about itself, in a prometheus_client registry of their own."""

import platform
from collections.abc import Mapping
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.process_collector import ProcessCollector

from perfsdk.version import __version__
from perfsdk_exporter.families import Family
from perfsdk_exporter.reaping.reaper import Tally
from perfsdk_exporter.segments.descriptions import REASONS, Reason

STATES = ("live", "dead", "unreadable")


class Telemetry:
    """What the exporter tells about itself; never the global registry."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        build_info = Gauge(
            "perfsdk_exporter_build_info",
            "Version of the exporter and of the Python that runs it; always 1.",
            ["version", "pythonversion"],
            registry=registry,
        )
        build_info.labels(__version__, platform.python_version()).set(1)
        self._scrape_duration = Gauge(
            "perfsdk_exporter_scrape_duration_seconds",
            "Time of the last reading and adding up of all segments.",
            registry=registry,
        )
        self._segments = Gauge(
            "perfsdk_exporter_segments",
            "Segment files by state: their process lives, is dead, or they cannot be read.",
            ["state"],
            registry=registry,
        )
        self._series = Gauge(
            "perfsdk_exporter_series",
            "Series of the application on this page; a histogram is one.",
            registry=registry,
        )
        self._series_left_out = Gauge(
            "perfsdk_exporter_series_left_out",
            "Series in segments that are not on this page: conflict (a newer process describes"
            " the metric in another way), invalid, unsupported, clash (of sample names).",
            ["reason"],
            registry=registry,
        )
        self._reaped = {
            "segments": Counter(
                "perfsdk_exporter_segments_reaped_total",
                "Segments of processes that ended, folded into the archive and removed.",
                registry=registry,
            ),
            "dropped_series": Counter(
                "perfsdk_exporter_archive_series_dropped_total",
                "Series of the archive that nobody had added to for the retention time.",
                registry=registry,
            ),
            "damaged_archives": Counter(
                "perfsdk_exporter_archives_damaged_total",
                "Archives that could not be read and were put aside.",
                registry=registry,
            ),
            "failures": Counter(
                "perfsdk_exporter_reaping_failures_total",
                "Passes over the directory that failed; the next one tries again.",
                registry=registry,
            ),
        }
        self._counted = Tally()
        ProcessCollector(namespace="perfsdk_exporter", registry=registry)

    def update(
        self,
        *,
        seconds: float,
        segments: Mapping[str, int],
        series: int,
        left_out: Mapping[Reason, int],
        tally: Tally | None = None,
    ) -> None:
        """Take the figures of a collection: segments by state, series left out by reason."""
        self._scrape_duration.set(seconds)
        self._series.set(series)
        for state in STATES:
            self._segments.labels(state).set(segments[state])
        for reason in REASONS:
            self._series_left_out.labels(reason).set(left_out.get(reason, 0))
        if tally is not None:
            for name, counter in self._reaped.items():
                counter.inc(getattr(tally, name) - getattr(self._counted, name))
            self._counted = replace(tally)

    def families(self) -> list[Family]:
        """The current values, as the application's own are."""
        return [_family(metric) for metric in self._registry.collect()]


def _family(metric: Metric) -> Family:
    counter = metric.type == "counter"
    family = Family(
        name=f"{metric.name}_total" if counter else metric.name,
        kind="counter" if counter else "gauge",
        unit=metric.unit,
        help=metric.documentation,
        labels=tuple(metric.samples[0].labels) if metric.samples else (),
    )
    for sample in metric.samples:
        if sample.name == family.name:  # a counter also tells when it was made
            family.values[tuple(sample.labels.values())] = float(sample.value)
    return family
