"""Answers of one line for requests that get no page, and how many there were, by reason."""

from collections import Counter

from perfsdk_exporter.families import Family

REASONS = (
    "bad_request",
    "body",
    "busy",
    "collection_failed",
    "connection_limit",
    "rate_limit",
    "rendering_failed",
    "slow_client",
    "timeout",
    "tls_handshake",
    "unauthorized",
)

_HELP = (
    "Requests answered with an error and connections closed before their end, by reason;"
    " unknown paths and methods are not counted."
)


class RefusalError(Exception):
    """A request that gets a line instead of a page."""

    def __init__(self, status: int, reason: str, line: str) -> None:
        super().__init__(line)
        self.status, self.reason, self.line = status, reason, line


class Refusals:
    """Counts refusals; used in the event loop alone."""

    def __init__(self) -> None:
        self._counts = Counter(dict.fromkeys(REASONS, 0))

    def count(self, reason: str) -> None:
        """One more, of a reason among REASONS."""
        self._counts[reason] += 1

    def family(self) -> Family:
        """The counter as the page shows it."""
        return Family(
            name="perfsdk_exporter_refusals_total",
            kind="counter",
            unit="",
            help=_HELP,
            labels=("reason",),
            values={(reason,): float(self._counts[reason]) for reason in REASONS},
        )
