"""Reads a page in protobuf as the samples that the text formats would have."""

import math

from prometheus_client.utils import floatToGoString

from perfsdk_exporter.formats.exposition import OWN_PREFIX
from perfsdk_exporter.formats.schema import MetricFamily


def decode(page):
    """{(sample, labels): value} of the application's counters and histograms."""
    samples = {}
    for family in families(page):
        if family.name.startswith(OWN_PREFIX):
            continue
        for metric in family.metric:
            labels = frozenset((label.name, label.value) for label in metric.label)
            if metric.HasField("counter"):
                samples[family.name, labels] = metric.counter.value
            elif metric.HasField("histogram"):
                samples |= _histogram(family.name, labels, metric.histogram)
    return samples


def families(page):
    """The messages, each after its length."""
    start = 0
    while start < len(page):
        length = shift = 0
        while True:
            byte = page[start]
            length |= (byte & 0x7F) << shift
            start, shift = start + 1, shift + 7
            if byte < 0x80:
                break
        yield MetricFamily.FromString(page[start : start + length])
        start += length


def _histogram(name, labels, histogram):
    samples = {
        (f"{name}_bucket", labels | {("le", _le(bucket.upper_bound))}): bucket.cumulative_count
        for bucket in histogram.bucket
    }
    samples[f"{name}_bucket", labels | {("le", "+Inf")}] = histogram.sample_count
    samples[f"{name}_count", labels] = histogram.sample_count
    samples[f"{name}_sum", labels] = histogram.sample_sum
    return samples


def _le(bound):
    return "+Inf" if bound == math.inf else floatToGoString(bound)
