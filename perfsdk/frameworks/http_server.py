"""Records one finished request in every family of the HTTP server, whatever the framework.

Everything that does not change from one request to the next is bound beforehand: a request
costs two dict lookups and a few additions into the segment.
"""

import weakref
from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter

from perfsdk import catalog, guard
from perfsdk.catalog import BYTES, COMPONENTS, LABEL_BOUNDS, OVERFLOW
from perfsdk.findings import Findings
from perfsdk.frameworks.delivery import Delivery
from perfsdk.frameworks.labels import METHODS, OTHER, UNRESOLVED, RouteLabels, duration_metric
from perfsdk.frameworks.queue_time import QueueTime
from perfsdk.frameworks.route import (
    TAIL,
    TYPICAL,
    ExcludedRoute,
    Outcome,
    OutcomeKey,
    Route,
)
from perfsdk.frameworks.selection import excluded, is_excluded
from perfsdk.recorder import Recorder
from perfsdk.request import CACHE, DB, Account
from perfsdk.settings import Settings
from perfsdk.store.fork_hooks import at_fork
from perfsdk.store.writer import SCRATCH

_MAX_OUTCOMES = 500
_ABSENT = object()


class HttpServer:
    """The HTTP families of one recorder, shared by all instrumented applications of a process.

    Threads: any may record. A request in service is an `Account`.
    """

    def __init__(self, recorder: Recorder, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.recorder = recorder
        self.writer = recorder.writer
        self.spans = recorder.spans
        self.excluded = excluded(settings.exclude)
        # Of WSGI, pages of ours are looked for among the paths that are not measured.
        pages = filter(None, (settings.metrics_path, settings.queries_path))
        self.wsgi_excluded = excluded((*settings.exclude, *pages))
        self.wsgi_page: Callable[..., list[bytes] | None] | None = None
        self.queue_time = QueueTime(recorder) if settings.trust_queue_time else None
        self.delivery = Delivery(recorder)
        self.findings = Findings(recorder)
        self._route_labels = RouteLabels(settings.route_labels)
        self.durations = recorder.histogram(duration_metric(settings))
        self.received = recorder.histogram(catalog.HTTP_SERVER_REQUEST_BODY_SIZE)
        self.sent = recorder.histogram(catalog.HTTP_SERVER_RESPONSE_BODY_SIZE)
        self.components = recorder.counter(catalog.HTTP_SERVER_REQUEST_COMPONENT)
        self.bands = recorder.counter(catalog.HTTP_SERVER_REQUEST_BAND)
        self.db_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DB_CALLS)
        self.cache_calls = recorder.histogram(catalog.HTTP_SERVER_REQUEST_CACHE_CALLS)
        self._active_requests = recorder.gauge(catalog.HTTP_SERVER_ACTIVE_REQUESTS)
        self._unresolved = recorder.counter(catalog.UNRESOLVED_ROUTES)
        self._oldest_age = recorder.gauge(catalog.HTTP_SERVER_OLDEST_REQUEST_AGE)
        self._active: dict[str, int] = {}
        self._oldest_cell = SCRATCH
        # A plain dict keeps the order; an OrderedDict is slower by more than finding the first.
        self._serving: dict[Account, None] = {}
        self._oldest: Account | None = None
        self._routes: dict[str, Route] = {}
        self._excluded_route: Route | None = None
        # Hooks cannot be taken back, so this one keeps nothing alive.
        me = weakref.ref(self)
        at_fork(after_in_child=lambda: _abandon_requests(me()))

    def route(self, template: str, endpoint: object = None) -> Route:
        """The series of a template; past the bound of routes, those of `<overflow>`.

        `endpoint` is the user's handler, which may have opted out: then nothing is recorded.
        """
        if endpoint is not None and is_excluded(endpoint):
            return self._excluded()
        route = self._routes.get(template)
        if route is None:
            if template in self.excluded:
                return self._excluded()
            if len(self._routes) >= LABEL_BOUNDS["http_route"] and template != OVERFLOW:
                self.recorder.dropped(self.durations.metric.name, "http_route")
                return self.route(OVERFLOW)
            route = self._routes.setdefault(template, Route(self, template))
        return route

    def unresolved(self, framework: str, matched: object) -> Route:
        """The series of requests that were routed to what tells no template; counted."""
        name = type(matched).__qualname__ if matched is not None else "unknown"
        guard.log_once(
            f"route {framework} {name}",
            "perfsdk: %s: routes of class %s tell no template; their requests count as %s",
            framework,
            name,
            UNRESOLVED,
        )
        self._unresolved.add((framework, name))
        return self.route(UNRESOLVED)

    def _excluded(self) -> Route:
        if self._excluded_route is None:
            self._excluded_route = ExcludedRoute(self, "")
        return self._excluded_route

    def began(self, account: Account, method: str) -> str:
        """A request is being served from now on; the method as its label has it."""
        # Its own span is current here; where the response is sent, it may be one inside it.
        current_span = self.spans.current
        account.span = None if current_span is None else current_span()
        try:
            cell = self._active[method]
        except KeyError:
            method = METHODS.get(method, OTHER)
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
        key: OutcomeKey = (method, status, error_type)
        if account.labels is not None:
            key = (*key, self._route_labels.values(account.labels))
        try:
            outcome = route.outcomes[key]
        except KeyError:
            outcome = self._outcome(route, key)
            values = self.writer.values
            account.recorded = perf_counter()
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
            if not route.bound:
                route.bind()
                values = self.writer.values
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
        if breakdown is None or not route.measured:
            return
        template = route.template
        band = TAIL if ended - account.started > route.threshold else TYPICAL
        self.bands.add((template, band))
        for name, seconds in zip(COMPONENTS, breakdown.seconds, strict=True):
            if seconds:
                self.components.add((template, name, band), seconds)
        self.db_calls.observe((template,), breakdown.calls[DB])
        self.cache_calls.observe((template,), breakdown.calls[CACHE])
        if account.queries is not None and account.queries.findings:
            self.findings.record(template, account.queries)
        if account.lookups is not None:
            self.findings.record_lookups(template, account.lookups, account.queries)

    def _outcome(self, route: Route, key: OutcomeKey) -> Outcome:
        labels: tuple[str, ...]
        method, status, error_type = key[:3]
        # Through int: an enumeration may print as something else.
        labels = (method, route.template, str(int(status)), error_type)
        labels += key[3] if len(key) == 4 else self._route_labels.none
        outcome = Outcome(
            self.durations[labels],
            self.received[method, route.template],
            self.sent[method, route.template],
        )
        if len(route.outcomes) < _MAX_OUTCOMES:
            route.outcomes[key] = outcome
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
