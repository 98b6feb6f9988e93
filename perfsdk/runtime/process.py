"""The process by itself: processor time, memory, descriptors and Python, for each worker number.

Names and units are those that prometheus_client made common. What the system does not tell is
left out: memory, start and open descriptors come from /proc, so they are there on Linux alone.
"""

import functools
import math
import os
import resource
from time import process_time

from perfsdk.catalog import (
    PROCESS_CPU_SECONDS,
    PROCESS_MAX_FDS,
    PROCESS_OPEN_FDS,
    PROCESS_RESIDENT_MEMORY,
    PROCESS_START_TIME,
    PROCESS_VIRTUAL_MEMORY,
    PYTHON_INFO,
    Metric,
)
from perfsdk.recorder import Recorder
from perfsdk.runtime.worker import WorkerNumber
from perfsdk.store.fork import ForkLock

GAUGES = (
    PROCESS_RESIDENT_MEMORY,
    PROCESS_VIRTUAL_MEMORY,
    PROCESS_START_TIME,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
)
NOT_TOLD = math.nan


class Process:
    """Samples this process under its worker number, as long as it has a segment that others see.

    A process that recorded nothing is no worker: it takes no number and makes no file. The
    processor time is what the process used since it was started, counted once for each
    `Process`; a forked child begins at zero.
    """

    def __init__(self, recorder: Recorder, worker: WorkerNumber) -> None:
        self._writer = recorder.writer
        self._cpu_seconds = recorder.counter(PROCESS_CPU_SECONDS)
        self._gauges = {metric: recorder.gauge(metric) for metric in GAUGES}
        self._python_info = recorder.gauge(PYTHON_INFO)
        self._worker = worker
        self._lock = ForkLock(self._in_child)
        self._number: int | None = None
        self._counted_seconds = 0.0

    def sample(self) -> None:
        """Write the figures of now. For the sampler: it reads files, about 0.1 ms."""
        segment = self._writer.segment
        if segment is None or segment.path is None:
            return
        with self._lock.held:  # the thread may sample while the exit does
            number = self._worker.take()
            if number != self._number:
                self.hide()
                self._number = number
            if number is not None:
                self._write(str(number))

    def hide(self) -> None:
        """Unset all gauges: they have another worker number."""
        for family in (*self._gauges.values(), self._python_info):
            for labels in list(family):
                family.set(labels, math.nan)

    def close(self) -> None:
        """Give the worker number back; nothing is sampled any more."""
        self._worker.close()

    def _write(self, worker: str) -> None:
        used_seconds = process_time()
        self._cpu_seconds.add((worker,), used_seconds - self._counted_seconds)
        self._counted_seconds = used_seconds
        self._python_info.set((worker, *_python()), 1.0)
        figures = read_figures()
        for metric, family in self._gauges.items():
            value = figures.get(metric, NOT_TOLD)
            if value == value or (worker,) in family:  # noqa: PLR0124 - false for NaN alone
                family.set((worker,), value)

    def _in_child(self) -> None:
        self._number = None
        self._counted_seconds = 0.0


def read_figures() -> dict[Metric, float]:
    """What the system tells about this process."""
    figures = {}
    try:
        with open("/proc/self/stat", "rb") as file:
            # The name of the program comes before, and may hold spaces and parentheses.
            fields = file.read().rpartition(b")")[2].split()
        figures[PROCESS_VIRTUAL_MEMORY] = float(fields[20])
        figures[PROCESS_RESIDENT_MEMORY] = float(fields[21]) * resource.getpagesize()
        ticks_a_second = os.sysconf("SC_CLK_TCK")
        figures[PROCESS_START_TIME] = _boot_seconds() + float(fields[19]) / ticks_a_second
    except (OSError, ValueError, IndexError):
        pass
    try:
        figures[PROCESS_OPEN_FDS] = float(len(os.listdir("/proc/self/fd")))
    except OSError:
        pass  # as when there is no descriptor left to list them with
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most != resource.RLIM_INFINITY:
        figures[PROCESS_MAX_FDS] = float(most)
    return figures


@functools.cache
def _boot_seconds() -> float:
    """When the machine was started, in seconds since the epoch.

    Raises:
        OSError, ValueError: nobody says.
    """
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return float(line[6:])
    raise ValueError("no btime")


@functools.cache
def _python() -> tuple[str, ...]:
    """Implementation, major, minor, patchlevel and version."""
    import platform

    version = platform.python_version_tuple()
    return platform.python_implementation(), *version, platform.python_version()
