"""How many entries in-process caches hold, read now and then; no cache is kept alive for it."""

import weakref
from collections.abc import Callable
from typing import Any

from perfsdk.catalog import CACHE_ENTRIES, CACHE_MAX_ENTRIES, Metric
from perfsdk.recorder import Labels, Recorder
from perfsdk.wrapping.lookups import Name

MAX_CACHES = 1000
"""Caches that are counted; more are left out."""


class Entries:
    """Caches seen so far and their names, by weak references.

    `measure(cache)` gives how many entries a cache holds and how many it may hold, None where
    that is not known. It runs in the sampler's thread, so it must not change the cache, nor
    call anything of the application.
    """

    def __init__(
        self, recorder: Recorder, measure: Callable[[Any], tuple[float, float | None]]
    ) -> None:
        self._recorder = recorder
        self._measure = measure
        self.known: dict[int, tuple[weakref.ref[Any], Name]] = {}
        """By `id`: caches are not hashable."""
        self._shown: dict[Metric, dict[Labels, float]] = {CACHE_ENTRIES: {}, CACHE_MAX_ENTRIES: {}}

    def add(self, cache: Any, name: Name) -> None:
        """Count a cache from now on, until it is no more."""
        number, known = id(cache), self.known
        if len(known) < MAX_CACHES:
            known[number] = weakref.ref(cache, lambda _: known.pop(number, None)), name

    def sample(self) -> None:
        """Write the sums for each name; a name without caches left is 0."""
        entries: dict[Labels, float] = dict.fromkeys(self._shown[CACHE_ENTRIES], 0.0)
        most: dict[Labels, float] = dict.fromkeys(self._shown[CACHE_MAX_ENTRIES], 0.0)
        for reference, name in list(self.known.values()):
            cache = reference()
            if cache is None:
                continue
            holds, may_hold = self._measure(cache)
            labels: Labels = name.labels
            entries[labels] = entries.get(labels, 0.0) + holds
            if may_hold is not None:
                most[labels] = most.get(labels, 0.0) + may_hold
        self._shown = {CACHE_ENTRIES: entries, CACHE_MAX_ENTRIES: most}
        for metric, values in self._shown.items():
            gauge = self._recorder.gauge(metric)
            for key, value in values.items():
                gauge.set(key, value)
