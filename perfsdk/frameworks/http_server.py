"""Records one finished request in every family of the HTTP server, whatever the framework.

Everything that does not change from one request to the next is bound beforehand: a request
costs two dict lookups and a few additions into the segment.
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict

from perfsdk import catalog
from perfsdk.catalog import COMPONENTS, LABEL_BOUNDS, OVERFLOW
from perfsdk.recorder import HistogramSeries, NativeHistogramSeries, Recorder
from perfsdk.request import CACHE, DB, Account, Breakdown

METHODS = {
    method: method
    for method in (
        "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split()  # noqa: SIM905 - reads as the list it is
    )
}
OTHER_METHOD = "_OTHER"

UNMATCHED = "<unmatched>"
REDIRECT = "<redirect>"
UNROUTED = "<unrouted>"
UNRESOLVED = "<unresolved>"

CLIENT_DISCONNECT = "client_disconnect"
NO_RESPONSE = "no_response"
CLIENT_CLOSED_REQUEST = 499

WINDOW = 200
"""Requests of a route from which its 95th percentile is taken; the last two windows count."""
FIRST_WINDOW = 100

_MAX_OUTCOMES = 500
_TYPICAL, _TAIL = catalog.BANDS
_APP = COMPONENTS[0]


class Outcome:
    """The series of one route that depend on method, status and error."""

    __slots__ = ("duration", "received", "sent")

    def __init__(
        self,
        duration: NativeHistogramSeries,
        received: HistogramSeries,
        sent: HistogramSeries,
    ) -> None:
        self.duration = duration
        self.received = received
        self.sent = sent


class Route:
    """The series of one route template, and what it takes to tell a slow request of its own."""

    __slots__ = (
        "app_seconds",
        "no_cache_calls",
        "no_db_calls",
        "outcomes",
        "previous",
        "recent",
        "template",
        "threshold",
        "typical_count",
        "window",
    )

    def __init__(self, server: "HttpServer", template: str) -> None:
        self.template = template
        self.outcomes: dict[tuple[str, int, str], Outcome] = {}
        self.app_seconds = server.components[template, _APP, _TYPICAL]
        self.typical_count = server.bands[template, _TYPICAL]
        # The buckets of zero calls: what most requests without a database add to.
        self.no_db_calls: int = server.db_calls[(template,)].first
        self.no_cache_calls: int = server.cache_calls[(template,)].first
        self.threshold = float("inf")
        self.window = FIRST_WINDOW
        self.recent = array("d")
        self.previous = array("d")

    def renew_threshold(self) -> None:
        """Take the 95th percentile of the last two windows; call it when `recent` is full."""
        durations = sorted(self.previous + self.recent)
        self.threshold = durations[int(len(durations) * 0.95)]
        if self.window == FIRST_WINDOW:
            self.window = WINDOW
        else:
            self.previous, self.recent = self.recent, array("d")


class HttpServer:
    """The HTTP families of one recorder, shared by all instrumented applications of a process.

    Threads: any may record. A request in service is an `Account`; `serving` keeps them in the
    order in which they began.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.writer = recorder.writer
        self.durations = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DURATION)
        self.received = recorder.histogram(catalog.HTTP_SERVER_REQUEST_BODY_SIZE)
        self.sent = recorder.histogram(catalog.HTTP_SERVER_RESPONSE_BODY_SIZE)
        self.components = recorder.counter(catalog.HTTP_SERVER_REQUEST_COMPONENT)
        self.bands = recorder.counter(catalog.HTTP_SERVER_REQUEST_BAND)
        self.db_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DB_CALLS)
        self.cache_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_CACHE_CALLS)
        self.active = recorder.gauge(catalog.HTTP_SERVER_ACTIVE_REQUESTS)
        self.oldest = recorder.gauge(catalog.HTTP_SERVER_OLDEST_REQUEST_AGE)
        self.serving: OrderedDict[Account, None] = OrderedDict()
        self._routes: dict[str, Route] = {}

    def route(self, template: str) -> Route:
        """The series of a template; past the bound of routes, those of `<overflow>`."""
        route = self._routes.get(template)
        if route is None:
            if len(self._routes) >= LABEL_BOUNDS["http_route"] and template != OVERFLOW:
                self.recorder.dropped(self.durations.metric.name, "http_route")
                return self.route(OVERFLOW)
            route = self._routes.setdefault(template, Route(self, template))
        return route

    def began(self, account: Account, method: str) -> None:
        """A request is being served from now on."""
        serving = self.serving
        active = self.active[(method,)]
        values = self.writer.values
        if not values:
            self.writer.revive()
            values = self.writer.values
        values[active] += 1.0
        serving[account] = None
        if len(serving) == 1:
            values[self.oldest[()]] = account.started

    def ended(self, account: Account, method: str) -> None:
        """A request is not being served any more; repeated calls change nothing."""
        serving = self.serving
        if serving.pop(account, self) is self:
            return
        active = self.active[(method,)]
        oldest = self.oldest[()]
        values = self.writer.values
        values[active] -= 1.0
        if values[oldest] == account.started:
            values[oldest] = next(iter(serving)).started if serving else 0.0

    def record(
        self,
        account: Account,
        route: Route,
        method: str,
        status: int,
        error_type: str,
        *,
        ended: float,
        received: int,
        sent: int,
    ) -> None:
        """Record a request that ended at `ended` on the clock `perf_counter`; sizes in bytes."""
        duration = ended - account.started
        outcome = route.outcomes.get((method, status, error_type))
        if outcome is None:
            outcome = self._outcome(route, method, status, error_type)
        outcome.duration.observe(duration)
        values = self.writer.values
        if not values:
            return  # uninstrumented meanwhile
        series = outcome.received
        if received:
            values[series.first + bisect_left(series.bounds, received)] += 1.0
            values[series.base] += received
        else:
            values[series.first] += 1.0
        series = outcome.sent
        values[series.first + bisect_left(series.bounds, sent)] += 1.0
        values[series.base] += sent

        breakdown = account.close(ended)
        if breakdown is None and duration <= route.threshold:
            values[route.app_seconds] += duration
            values[route.typical_count] += 1.0
            values[route.no_db_calls] += 1.0
            values[route.no_cache_calls] += 1.0
        else:
            self._record_components(route, duration, breakdown)
        recent = route.recent
        recent.append(duration)
        if len(recent) >= route.window:
            route.renew_threshold()

    def _record_components(
        self, route: Route, duration: float, breakdown: Breakdown | None
    ) -> None:
        template = route.template
        band = _TAIL if duration > route.threshold else _TYPICAL
        self.bands.add((template, band))
        if breakdown is None:
            self.components.add((template, _APP, band), duration)
            self.db_calls.observe((template,), 0)
            self.cache_calls.observe((template,), 0)
            return
        for name, seconds in zip(COMPONENTS, breakdown.seconds, strict=True):
            if seconds:
                self.components.add((template, name, band), seconds)
        self.db_calls.observe((template,), breakdown.calls[DB])
        self.cache_calls.observe((template,), breakdown.calls[CACHE])

    def _outcome(self, route: Route, method: str, status: int, error_type: str) -> Outcome:
        outcome = Outcome(
            self.durations[method, route.template, str(status), error_type],
            self.received[method, route.template],
            self.sent[method, route.template],
        )
        if len(route.outcomes) < _MAX_OUTCOMES:
            route.outcomes[method, status, error_type] = outcome
        return outcome
