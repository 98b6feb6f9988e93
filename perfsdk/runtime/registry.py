"""Copies the application's prometheus_client registry into its segment, beside our own metrics.

Nothing of it runs in a request, and prometheus_client is never imported: who has not imported
it has no registry.
"""

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from perfsdk import guard
from perfsdk.catalog import Metric
from perfsdk.recorder import Recorder
from perfsdk.runtime.registry_families import (
    Rows,
    Translated,
    UnmirrorableError,
    is_ours,
    translate,
)
from perfsdk.runtime.registry_series import Identity, MirroredMetric, identify
from perfsdk.store.fork import ForkLock
from perfsdk.store.fork_hooks import at_fork

MAX_WAIT_SECONDS = 1.0
"""The longest that the sampler waits for collectors; then it goes on without them."""

REST_FACTOR = 9.0
"""Collectors rest that many times as long as they took: never more than a tenth of a core."""

REGISTRY_FAMILIES = Metric(
    name="perfsdk_registry_families",
    kind="gauge",
    help="Families of the application's prometheus_client registry, by what became of them.",
    labels=("state",),
    merge="max",
)
STATES = ("mirrored", "ours", "unsupported")


def default_registry() -> Any:
    """prometheus_client's default registry; None when nobody imported it."""
    return getattr(sys.modules.get("prometheus_client"), "REGISTRY", None)


class RegistryMirror:
    """Copies a registry whenever `sample` is called; for `Sampler.register`.

    Counters and histograms sum over processes; after a fork the child counts from zero, as all
    its metrics do. A gauge is combined as its `multiprocess_mode` says. One that has none, and
    those of custom collectors, have one series a worker when `worker` tells this one's number
    (label `worker`), else the largest value of all processes.

    Collectors run in a thread of their own: one that hangs keeps that thread and nobody else.
    """

    def __init__(
        self,
        recorder: Recorder,
        registry: Callable[[], Any] = default_registry,
        worker: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._recorder = recorder
        self._writer = recorder.writer
        self._registry = registry
        self._worker = worker
        self._mirrored: dict[Identity, MirroredMetric] = {}
        self._at_fork: dict[Identity, Rows] = {}
        self._inherited: dict[Identity, Rows] = {}
        self._thread: threading.Thread | None = None
        self._not_before = 0.0
        me = weakref.ref(self)
        # Hooks run last registered first: this one with the lock that is made after it.
        at_fork(before=lambda: _call(me(), RegistryMirror._remember))
        self._lock = ForkLock(self._after_fork_in_child)

    def sample(self) -> None:
        """Copy once, unless collectors still run or rest. Takes at most a second."""
        if self._thread is not None and self._thread.is_alive():
            guard.log_once(
                "registry slow",
                "perfsdk: a collector of the prometheus_client registry runs for seconds; what "
                "it has is mirrored when it is ready",
            )
            return
        # Without a segment this process has recorded nothing, and shall leave no file.
        if self._writer.segment is None or time.monotonic() < self._not_before:
            return
        thread = threading.Thread(target=self._copy, name="perfsdk-registry", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending: the last copy is made here
            self._copy()
            return
        self._thread = thread
        thread.join(MAX_WAIT_SECONDS)

    def _copy(self) -> None:
        start = time.monotonic()
        try:
            registry = self._registry()
            if registry is not None and not _has_files():
                self._copy_from(registry)
        except IndexError:
            pass  # the segment was closed meanwhile
        except Exception:
            guard.failed("registry.copy")
        finally:
            now = time.monotonic()
            self._not_before = now + REST_FACTOR * (now - start)

    def _copy_from(self, registry: Any) -> None:
        found = dict.fromkeys(STATES, 0)
        seen: set[int] = set()
        for collector in _collectors(registry):
            with self._lock.held:  # a fork meanwhile would copy locks that are taken
                families = _collect(collector)
            mode = str(getattr(collector, "_multiprocess_mode", ""))
            for family in families:
                found[self._copy_family(family, mode, seen)] += 1
        for mirrored in self._mirrored.values():
            mirrored.unset_all_but(seen)
        gauge = self._recorder.gauge(REGISTRY_FAMILIES)
        for state, count in found.items():
            gauge.set((state,), float(count))

    def _copy_family(self, family: Any, mode: str, seen: set[int]) -> str:
        """Write one family and note the cells; what became of it."""
        name = "(unknown)"
        try:
            name = str(family.name)
            if is_ours(family):
                return "ours"
            worker = self._worker()
            number = "" if worker is None else str(worker)
            for metric, rows in translate(family, mode=mode, worker=number):
                key = identify(metric)
                mirrored = self._mirrored.get(key)
                if mirrored is None:
                    mirrored = self._mirrored[key] = MirroredMetric(metric, self._recorder)
                seen.update(mirrored.write(rows, self._inherited.get(key, {})))
        except Exception as error:  # whatever a collector may call a family
            if self._writer.segment is not None:  # else it was closed meanwhile
                guard.log_once(
                    f"registry {name}", "perfsdk: the metric %s is not mirrored: %s", name, error
                )
            return "unsupported"
        return "mirrored"

    def _remember(self) -> None:
        """Before a fork: what the child finds in its registry, it has not counted."""
        try:
            self._at_fork = {}
            registry = self._registry()
            if registry is None or _has_files():
                return
            for collector in _collectors(registry):
                # Only what is known to be quick: no code of the application runs here.
                if getattr(collector, "_type", "") in ("counter", "histogram", "summary"):
                    for metric, rows in _translated(collector):
                        self._at_fork[identify(metric)] = rows
        except Exception:
            guard.failed("registry.fork")

    def _after_fork_in_child(self) -> None:
        self._thread = None
        self._not_before = 0.0
        self._inherited = self._at_fork
        for key, mirrored in self._mirrored.items():
            mirrored.start_from(self._inherited.get(key, {}))


def _call(mirror: RegistryMirror | None, method: Callable[[RegistryMirror], None]) -> None:
    if mirror is not None:
        method(mirror)


def _collectors(registry: Any) -> list[Any]:
    """The registry's collectors, to run each by itself; the registry where it does not tell."""
    return list(getattr(registry, "_collector_to_names", None) or (registry,))


def _collect(collector: Any) -> Iterable[Any]:
    try:
        return list(collector.collect())
    except Exception as error:
        name = type(collector).__name__
        guard.log_once(f"registry {name}", "perfsdk: %s is not mirrored: %r", name, error)
        return ()


def _translated(collector: Any) -> Iterable[Translated]:
    for family in collector.collect():
        try:
            yield from translate(family)
        except UnmirrorableError:  # noqa: PERF203 - one that cannot be told keeps no other
            continue


def _has_files() -> bool:
    """Whether prometheus_client writes files of its own, which the exporter reads."""
    values = sys.modules.get("prometheus_client.values")
    return bool(getattr(getattr(values, "ValueClass", None), "_multiprocess", False))
