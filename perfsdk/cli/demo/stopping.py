"""Signals that end the demo are only remembered, so that no step is torn in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from perfsdk.cli.demo.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether a signal has asked to stop. Waiting for it is how the demo sleeps."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._signal_number = 0

    def remember(self, signal_number: int, _frame: FrameType | None) -> None:
        """The handler of the signals; the first one counts."""
        self._signal_number = self._signal_number or signal_number
        self._asked.set()

    def check(self) -> None:
        """Raises: Interrupted: a signal came."""
        if self._asked.is_set():
            raise Interrupted(self._signal_number)

    def wait(self, seconds: float) -> None:
        """Sleep. Raises: Interrupted: a signal came, before or meanwhile."""
        self._asked.wait(seconds)
        self.check()


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Remember signals until the block ends; a second Ctrl-C cannot break the cleaning up."""
    request = StopRequest()
    before = {
        number: signal.signal(number, request.remember)
        for number in SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # nohup
    }
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
