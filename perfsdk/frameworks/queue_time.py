"""The time that a request waited before the application, by the clock of the proxy in front."""

from time import time

from perfsdk import guard
from perfsdk.catalog import HTTP_SERVER_REQUEST_QUEUE_DURATION
from perfsdk.recorder import Recorder

HEADERS = (b"x-request-start", b"x-queue-start")
"""What proxies say when a request came; the first of them that is there counts."""

MAX_SECONDS = 3600.0
"""A longer wait is not believed: rather somebody's clock is wrong."""

_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on it is nanoseconds, microseconds, milliseconds; below it is seconds."""


class QueueTime:
    """Observes how long requests waited, for those that say when they came."""

    def __init__(self, recorder: Recorder) -> None:
        self._durations = recorder.histogram(HTTP_SERVER_REQUEST_QUEUE_DURATION)

    def observe(self, value: str | bytes | None) -> None:
        """Take the value of the header, if there is one. Never raises."""
        try:
            if value:
                seconds = waited_seconds(value, time())
                if seconds is not None:
                    self._durations.observe((), seconds)
        except Exception:
            guard.failed("queue_time.observe")

    def observe_headers(self, headers: object) -> None:
        """Take it from the headers of an ASGI scope, pairs of bytes. Never raises."""
        try:
            if not isinstance(headers, (list, tuple)):
                return  # an iterator would be empty for the application
            found = dict.fromkeys(HEADERS, b"")
            for name, value in headers:
                if name in found and not found[name]:
                    found[name] = value
            self.observe(found[HEADERS[0]] or found[HEADERS[1]])
        except Exception:
            guard.failed("queue_time.headers")


def waited_seconds(value: str | bytes, now: float) -> float | None:
    """From the time in a header until `now`, both since the epoch; None for what is no wait.

    The unit is told by the magnitude. A time in the future or more than an hour ago is none.
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    text = text.partition(",")[0].strip().removeprefix("t=")
    try:
        number = float(text)
    except ValueError:
        return None
    unit = next((per_second for least, per_second in _UNITS if number >= least), 1.0)
    waited = now - number / unit
    return waited if 0.0 <= waited <= MAX_SECONDS else None
