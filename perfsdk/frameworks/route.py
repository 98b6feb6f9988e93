"""The cells of one route template, bound once, so that a request needs no look-up of its own."""

from array import array
from typing import TYPE_CHECKING, TypeVar

from perfsdk.catalog import BANDS, COMPONENTS
from perfsdk.frameworks.labels import UNRESOLVED
from perfsdk.recorder import HistogramSeries, NativeHistogramSeries
from perfsdk.store.writer import SCRATCH

if TYPE_CHECKING:
    from perfsdk.frameworks.http_server import HttpServer

TYPICAL, TAIL = BANDS

WINDOW = 200
"""Requests of a route from which its 95th percentile is taken; the last two windows count."""
FIRST_WINDOW = 100


MAX_REMEMBERED = 4000
"""Routes remembered by object; an application that makes routes as it goes is forgotten."""

K = TypeVar("K")
V = TypeVar("V")

OutcomeKey = tuple[str, int, str] | tuple[str, int, str, tuple[str, ...]]


class Outcome:
    """The series of one route that depend on method, status and error, as bound cells."""

    __slots__ = (
        "observe_duration",
        "offer_exemplar",
        "received",
        "received_sum",
        "sent",
        "sent_sum",
    )

    def __init__(
        self,
        duration: NativeHistogramSeries,
        received: HistogramSeries,
        sent: HistogramSeries,
    ) -> None:
        self.observe_duration = duration.observe
        self.offer_exemplar = duration.exemplars.offer
        self.received = received.first
        self.received_sum = received.base
        self.sent = sent.first
        self.sent_sum = sent.base


class Route:
    """The cells of one route template, and what it takes to tell a slow request of its own.

    `outcomes` are those seen so far, by method, status and error type, and by the values of the
    user's labels where a request was given any. Its own cells are there once it is `bound`.
    """

    measured = True
    __slots__ = (
        "app_seconds",
        "bound",
        "count",
        "no_cache_calls",
        "no_db_calls",
        "outcomes",
        "previous",
        "recent",
        "server",
        "tail_app_seconds",
        "tail_count",
        "template",
        "threshold",
        "window",
    )

    def __init__(self, server: "HttpServer", template: str) -> None:
        self.server = server
        self.template = template
        self.bound = False
        self.outcomes: dict[OutcomeKey, Outcome] = {}
        self.threshold = float("inf")
        self.window = FIRST_WINDOW
        self.recent: list[float] = []
        self.previous = array("d")

    def bind(self) -> None:
        """Make its series, for the first request: a route of WebSockets has none."""
        server, template = self.server, self.template
        self.app_seconds: int = server.components[template, COMPONENTS[0], TYPICAL]
        self.count: int = server.bands[template, TYPICAL]
        self.tail_app_seconds: int = server.components[template, COMPONENTS[0], TAIL]
        self.tail_count: int = server.bands[template, TAIL]
        # The buckets of zero calls: what most requests without a database add to.
        self.no_db_calls: int = server.db_calls[(template,)].first
        self.no_cache_calls: int = server.cache_calls[(template,)].first
        self.bound = True  # last: other threads look at it

    def renew_threshold(self) -> None:
        """Take the 95th percentile of the last two windows; call it when `recent` is full."""
        recent = sorted(self.recent)
        durations = sorted([*self.previous, *recent])  # two runs: this merges
        self.threshold = durations[int(len(durations) * 0.95)]
        if self.window == FIRST_WINDOW:
            self.window = WINDOW
        else:
            self.previous, self.recent = array("d", recent), []


class ExcludedRoute(Route):
    """A route whose requests are not measured: its cells belong to no series."""

    measured = False
    __slots__ = ()

    def __init__(self, server: "HttpServer", template: str) -> None:
        super().__init__(server, template)
        nowhere = Outcome(
            server.durations.nowhere(), server.received.nowhere(), server.sent.nowhere()
        )
        self.outcomes = _Everything(nowhere)
        self.app_seconds = self.count = self.tail_app_seconds = self.tail_count = SCRATCH
        self.no_db_calls = self.no_cache_calls = SCRATCH
        self.bound = True

    def renew_threshold(self) -> None:
        """There is none: nobody looks at it."""
        self.recent.clear()


class _Everything(dict[OutcomeKey, Outcome]):
    """One outcome for every key."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self._outcome = outcome

    def __missing__(self, key: OutcomeKey) -> Outcome:
        return self._outcome


def remember(known: dict[K, V], key: K, value: V) -> V:
    """Keep what was found for an object, among at most `MAX_REMEMBERED`; what is kept.

    Where the key has the id of an object, the value has the object: else its id could be given
    to another one.
    """
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    return known.setdefault(key, value)


class PlainRoute:
    """Finds the route for callables whose router, if they have one, is none that we know."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server

    def __call__(self, _exchange: object, _surroundings: object) -> Route:
        return self._server.route(UNRESOLVED)
