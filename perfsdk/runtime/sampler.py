"""One background thread that reads, every few seconds, what cannot be observed as it happens."""

import atexit
import os
import threading
from collections.abc import Callable

from perfsdk import guard

Sample = Callable[[], None]


class Sampler:
    """Calls every registered function at an interval, and once more when the process exits.

    The thread belongs to one process: `start` makes a new one after a fork. It is a daemon,
    so it never keeps the application from ending.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._samples: list[Sample] = []
        self._pid = 0
        self._stop = threading.Event()

    def register(self, sample: Sample) -> None:
        """Have `sample` called from now on. It must be quick and may raise."""
        self._samples.append(sample)

    def start(self) -> None:
        """Start the thread unless this process has it."""
        pid = os.getpid()
        if self._pid == pid:
            return
        self._pid = pid
        self._stop = threading.Event()
        atexit.register(self._sample_at_exit)
        threading.Thread(
            target=self._run, args=(self._stop,), name="perfsdk-sampler", daemon=True
        ).start()

    def stop(self) -> None:
        """End the thread soon; nothing is sampled at exit any more."""
        self._pid = 0
        self._stop.set()
        atexit.unregister(self._sample_at_exit)

    def sample(self) -> None:
        """Call every registered function now."""
        for sample in list(self._samples):
            try:
                sample()
            except Exception:  # noqa: PERF203 - one that fails must not keep the others
                guard.failed("sampler")

    def _sample_at_exit(self) -> None:
        # A child that recorded nothing has inherited this and shall make no file.
        if os.getpid() == self._pid:
            self.sample()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_seconds):
            self.sample()
