"""Reaps in a thread of its own, so that no scrape waits for it."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from perfsdk_exporter.reaping.reaper import Reaper

INTERVAL_SECONDS = 5.0

_log = logging.getLogger(__name__)


class ReapingThread:
    """Calls a reaper at once and every few seconds, without a pause while it has something to do.

    `directory` tells where, None as long as there is nothing to reap.
    """

    def __init__(self, reaper: Reaper, directory: Callable[[], Path | None]) -> None:
        self._reaper = reaper
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="perfsdk-reap", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; a pass that runs is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        more = True
        while not self._stop.wait(0 if more else INTERVAL_SECONDS):
            more = False
            try:
                directory = self._directory()
                if directory is not None:
                    more = self._reaper.reap(directory)
            except Exception:
                _log.exception("reaping failed; it is tried again")
