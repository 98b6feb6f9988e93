"""What an exporter's page and a Prometheus say, as totals that can be compared and watched."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.servers import http_get, query, wait_until

Key = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample and its labels; empty ones are left out, as Prometheus does."""

Totals = dict[Key, float]

_OWN = "perfsdk_exporter_"
_GROWS_AT_REST = "process_cpu_seconds_total"
_WATCH_SECONDS = 0.1


class Page(NamedTuple):
    """The samples of a page without the exporter's own: those that never go down, and gauges."""

    totals: Totals
    gauges: Totals

    def gauge(self, name: str) -> float:
        """The sum of a gauge over its series; 0 when there is none."""
        return sum(value for (found, _), value in self.gauges.items() if found == name)


def key(name: str, **labels: str) -> Key:
    return name, frozenset((label, value) for label, value in labels.items() if value)


def read_page(url: str) -> Page:
    """The page of the exporter at `url`."""
    page = Page({}, {})
    for family in text_string_to_metric_families(http_get(f"{url}/metrics")):
        samples = page.totals if family.type in ("counter", "histogram") else page.gauges
        for sample in family.samples:
            if not sample.name.startswith(_OWN):
                samples[key(sample.name, **sample.labels)] = sample.value
    return page


def read_prometheus(url: str, names: set[str]) -> Totals:
    """The latest value of every sample of the job `test` that has one of the names."""
    found = {}
    for sample in query(url, '{job="test"}'):
        labels = dict(sample.labels)
        name = labels.pop("__name__")
        if name in names:
            del labels["job"], labels["instance"]
            found[key(name, **labels)] = sample.value
    return found


def differences(expected: Totals, actual: Totals) -> dict[Key, tuple[float | None, float | None]]:
    """What two sides do not agree on: (expected, actual), None where one has no such sample.

    The CPU time of a worker grows between two looks, also when nothing is sent: it is left out.
    """
    keys = {key for key in expected.keys() | actual.keys() if key[0] != _GROWS_AT_REST}
    pairs = {key: (expected.get(key), actual.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def wait_for_none(differences: Callable[[], Mapping], timeout_seconds: float = 15.0) -> None:
    """Wait until there is no difference; fail with those that stay."""
    last: Mapping = {}

    def none_left() -> bool:
        nonlocal last
        last = differences()
        return not last

    try:
        wait_until(none_left, timeout_seconds)
    except TimeoutError as error:
        lines = [f"{name}: {values}" for name, values in last.items()]
        raise AssertionError("\n".join(lines or [str(error)])) from None


def unequal(expected: float, actual: float) -> dict[str, tuple[float, float]]:
    """One difference, or none."""
    return {} if expected == actual else {"expected, actual": (expected, actual)}


def by_route(page: Page, name: str) -> dict[str, float]:
    """The sum of the samples of a name for each route."""
    sums: dict[str, float] = defaultdict(float)
    for (found, labels), value in page.totals.items():
        if found == name:
            sums[dict(labels)["http_route"]] += value
    return sums


class Watch:
    """Pages seen one after the other, and every total that went down or away between two."""

    def __init__(self) -> None:
        self.pages = 0
        self.decreases: list[tuple[Key, float, float | None]] = []
        self._before: Totals = {}

    def see(self, page: Page) -> None:
        self.pages += 1
        for sample, before in self._before.items():
            now = page.totals.get(sample)
            if now is None or now < before:
                self.decreases.append((sample, before, now))
        self._before = page.totals


@contextmanager
def watching(url: str) -> Iterator[Watch]:
    """Look at the page several times a second until the block ends."""
    watch = Watch()
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(_WATCH_SECONDS):
            watch.see(read_page(url))

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        try:
            yield watch
        finally:
            stop.set()
        running.result()  # raises what ended the watch early
