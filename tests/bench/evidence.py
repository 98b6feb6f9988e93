"""Tells how often a library really recorded, so that one that records nothing never looks fast."""

import os
from pathlib import Path


def in_segments(metric: str) -> float:
    """What perfsdk counted of a metric of its catalog in the segments of this run."""
    from perfsdk.store.reader import SegmentReader, find_segments

    total = 0.0
    for path in find_segments(Path(os.environ["PERFSDK_DIR"])):
        reader = SegmentReader(path)
        reader.refresh()
        for series in reader.series:
            if series.metric.name == metric:
                # Of a histogram, the cells after its sum are the counts of its buckets.
                first = series.cell + (series.metric.kind == "histogram") + series.metric.native
                end = series.cell + series.metric.cell_count
                total += sum(reader.values[first:end])
        reader.close()
    return total


def on_prometheus_page(sample_name: str) -> float:
    """The sum of a sample over its series, as prometheus_client would show it."""
    import prometheus_client

    registry = prometheus_client.REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = prometheus_client.CollectorRegistry()
        MultiProcessCollector(registry)
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == sample_name
    )
