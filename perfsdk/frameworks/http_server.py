"""Records one finished request in every family of the HTTP server, whatever the framework.

Everything that does not change from one request to the next is bound beforehand: a request
costs two dict lookups and a few additions into the segment.
"""

import os
import weakref
from bisect import bisect_left

from perfsdk import catalog
from perfsdk.catalog import BYTES, COMPONENTS, LABEL_BOUNDS, OVERFLOW
from perfsdk.frameworks.route import TAIL, TYPICAL, Outcome, Route
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, DB, Account
from perfsdk.store.writer import SCRATCH

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

_MAX_OUTCOMES = 500
_ABSENT = object()


class HttpServer:
    """The HTTP families of one recorder, shared by all instrumented applications of a process.

    Threads: any may record. A request in service is an `Account`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.writer = recorder.writer
        self.spans = recorder.spans
        self.durations = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DURATION)
        self.received = recorder.histogram(catalog.HTTP_SERVER_REQUEST_BODY_SIZE)
        self.sent = recorder.histogram(catalog.HTTP_SERVER_RESPONSE_BODY_SIZE)
        self.components = recorder.counter(catalog.HTTP_SERVER_REQUEST_COMPONENT)
        self.bands = recorder.counter(catalog.HTTP_SERVER_REQUEST_BAND)
        self.db_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DB_CALLS)
        self.cache_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_CACHE_CALLS)
        self._active_requests = recorder.gauge(catalog.HTTP_SERVER_ACTIVE_REQUESTS)
        self._oldest_age = recorder.gauge(catalog.HTTP_SERVER_OLDEST_REQUEST_AGE)
        self._active: dict[str, int] = {}
        self._oldest_cell = SCRATCH
        # A plain dict keeps the order; an OrderedDict is slower by more than finding the first.
        self._serving: dict[Account, None] = {}
        self._oldest: Account | None = None
        self._routes: dict[str, Route] = {}
        # Hooks cannot be taken back, so this one keeps nothing alive.
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _abandon_requests(me()))

    def route(self, template: str) -> Route:
        """The series of a template; past the bound of routes, those of `<overflow>`."""
        route = self._routes.get(template)
        if route is None:
            if len(self._routes) >= LABEL_BOUNDS["http_route"] and template != OVERFLOW:
                self.recorder.dropped(self.durations.metric.name, "http_route")
                return self.route(OVERFLOW)
            route = self._routes.setdefault(template, Route(self, template))
        return route

    def began(self, account: Account, method: str) -> str:
        """A request is being served from now on; the method as its label has it."""
        # Its own span is current here; where the response is sent, it may be one inside it.
        current_span = self.spans.current
        account.span = None if current_span is None else current_span()
        try:
            cell = self._active[method]
        except KeyError:
            method = METHODS.get(method, OTHER_METHOD)
            cell = self._active_cell(method)
        values = self.writer.values
        if not values:  # not open yet, or forked
            self.writer.revive()
            values = self.writer.values
        serving = self._serving
        if not serving:
            self._oldest = account
            values[self._oldest_cell] = account.started
        serving[account] = None
        values[cell] += 1.0
        return method

    def record(
        self,
        account: Account,
        route: Route,
        method: str,
        status: int,
        error_type: str,
        ended: float,
        received: float,
        sent: float,
    ) -> None:
        """A request that began ended at `ended` on the clock `perf_counter`; sizes in bytes."""
        values = self.writer.values
        if not values:
            return  # forked or uninstrumented meanwhile
        serving = self._serving
        del serving[account]
        values[self._active[method]] -= 1.0
        if account is self._oldest:
            if serving:
                self._next_oldest(values)
            else:
                self._oldest = None
                values[self._oldest_cell] = 0.0
                if serving:  # another thread began a request meanwhile
                    self._next_oldest(values)
        duration = ended - account.started
        try:
            outcome = route.outcomes[method, status, error_type]
        except KeyError:
            outcome = self._outcome(route, method, status, error_type)
            values = self.writer.values
        outcome.observe_duration(duration)
        current_span = self.spans.current
        if current_span is not None:
            # Where none was current at the start, one that began inside may be now.
            span = account.span or current_span()
            if span is not None:
                outcome.offer_exemplar(duration, span)
        if method == "HEAD":
            sent = 0.0  # servers leave out the body that applications send
        if received:
            values[outcome.received + bisect_left(BYTES, received)] += 1.0
            values[outcome.received_sum] += received
        else:
            values[outcome.received] += 1.0
        values[outcome.sent + bisect_left(BYTES, sent)] += 1.0
        values[outcome.sent_sum] += sent

        if account.events or account.folded is not None:
            self._record_components(account, route, ended)
        else:
            account.events = None
            if duration > route.threshold:
                values[route.tail_app_seconds] += duration
                values[route.tail_count] += 1.0
            else:
                values[route.app_seconds] += duration
                values[route.count] += 1.0
            values[route.no_db_calls] += 1.0
            values[route.no_cache_calls] += 1.0
        recent = route.recent
        recent.append(duration)
        if len(recent) >= route.window:
            route.renew_threshold()

    def forget(self, account: Account, method: str) -> None:
        """A request ended that cannot be recorded; nothing happens when it was."""
        values = self.writer.values
        if self._serving.pop(account, _ABSENT) is _ABSENT or not values:
            return
        values[self._active[method]] -= 1.0
        if account is self._oldest:
            self._next_oldest(values)

    def _next_oldest(self, values: "memoryview[float]") -> None:
        serving = self._serving
        while True:
            oldest = None
            try:
                if serving:
                    oldest = next(iter(serving))
            except (RuntimeError, StopIteration):
                continue  # another thread began or ended a request
            self._oldest = oldest
            # Asked again after it, because another thread may have ended or begun one meanwhile.
            if oldest is None:
                values[self._oldest_cell] = 0.0
                if not serving:
                    return
            else:
                values[self._oldest_cell] = oldest.started
                if oldest in serving:
                    return

    def _active_cell(self, method: str) -> int:
        self._oldest_cell = self._oldest_age[()]
        cell = self._active[method] = self._active_requests[(method,)]
        return cell

    def _record_components(self, account: Account, route: Route, ended: float) -> None:
        breakdown = account.close(ended)
        if breakdown is None:
            return
        template = route.template
        band = TAIL if ended - account.started > route.threshold else TYPICAL
        self.bands.add((template, band))
        for name, seconds in zip(COMPONENTS, breakdown.seconds, strict=True):
            if seconds:
                self.components.add((template, name, band), seconds)
        self.db_calls.observe((template,), breakdown.calls[DB])
        self.cache_calls.observe((template,), breakdown.calls[CACHE])

    def _outcome(self, route: Route, method: str, status: int, error_type: str) -> Outcome:
        outcome = Outcome(
            # Through int: an enumeration may print as something else.
            self.durations[method, route.template, str(int(status)), error_type],
            self.received[method, route.template],
            self.sent[method, route.template],
        )
        if len(route.outcomes) < _MAX_OUTCOMES:
            route.outcomes[method, status, error_type] = outcome
        return outcome

    def abandon_requests(self) -> None:
        """Forget those in service: after a fork they are the parent's alone."""
        for account in self._serving:
            account.abandon()
        self._serving.clear()
        self._oldest = None


def _abandon_requests(server: HttpServer | None) -> None:
    if server is not None:
        server.abandon_requests()
