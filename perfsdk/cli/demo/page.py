"""Reads an exporter's page into samples, and quantiles from buckets as Prometheus does."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Sample(NamedTuple):
    """One line of the page."""

    labels: Mapping[str, str]
    value: float


Page = Mapping[str, list[Sample]]
"""Samples by name, as in `..._bucket`; a name that is not there has none."""

Buckets = dict[float, float]
"""Cumulative counts by upper bound, `+Inf` included; of one series or of several added up."""


class Quantile(NamedTuple):
    """A quantile of a histogram, in its unit, and the bounds of the bucket that holds it.

    Inside the bucket values are taken to be spread evenly, which is `histogram_quantile`.
    """

    value: float
    lower: float
    upper: float


def parse_page(text: str) -> Page:
    """The samples of a page in the Prometheus text format.

    Raises:
        ValueError: it is no such text.
    """
    page: dict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page[sample.name].append(Sample(sample.labels, sample.value))
    return page


def add_buckets(samples: Iterable[Sample]) -> Buckets:
    """The buckets of several series of one histogram added up."""
    buckets: Buckets = defaultdict(float)
    for sample in samples:
        buckets[float(sample.labels["le"])] += sample.value
    return dict(sorted(buckets.items()))


def quantile(buckets: Buckets, q: float) -> Quantile | None:
    """The quantile `q` (0 to 1) of buckets sorted by bound; None when nothing was observed."""
    total = buckets.get(math.inf, 0.0)
    if not total:
        return None
    rank = q * total
    lower, below = 0.0, 0.0
    for upper, count in buckets.items():
        if upper == math.inf:
            break
        if count >= rank:
            share = (rank - below) / (count - below) if count > below else 0.0
            return Quantile(lower + (upper - lower) * share, lower, upper)
        lower, below = upper, count
    return Quantile(lower, lower, math.inf)
