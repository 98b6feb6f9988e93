"""The account of the request being served: when which component worked, and how often."""

from contextvars import ContextVar
from operator import itemgetter
from typing import Any

from perfsdk.catalog import COMPONENTS

APP, DB, CACHE, HTTP_CLIENT, POOL_WAIT = range(len(COMPONENTS))

FOLD_AT = 256
"""Events kept before they are summed up, so that the account of a long stream stays small."""

Event = tuple[float, int]
"""Time on `perf_counter` and the component that began; negative: that ended."""
_TIME = itemgetter(0)


class Breakdown:
    """Shares time among components by a sweep along the time line.

    Components that work at once share that time equally; what is left is the application's.
    `seconds` and `calls` are indexed by component.
    """

    __slots__ = ("_active", "_at", "_working", "advancing", "calls", "seconds")

    def __init__(self, started: float) -> None:
        self.seconds = [0.0] * len(COMPONENTS)
        self.calls = [0] * len(COMPONENTS)
        self._active = [0] * len(COMPONENTS)
        self._working: list[int] = []  # components that are active, each once
        self._at = started
        self.advancing = False

    def advance(self, events: list[Event]) -> None:
        """Take events up; those of several threads may be slightly out of order."""
        events.sort(key=_TIME)  # stable: a call that took no time begins before it ends
        active, working, seconds = self._active, self._working, self.seconds
        at = self._at
        for time, component in events:
            if time > at:
                if working:
                    share = (time - at) / len(working)
                    for other in working:
                        seconds[other] += share
                at = time
            if component > 0:
                self.calls[component] += 1
                active[component] += 1
                if active[component] == 1:
                    working.append(component)
            elif active[-component]:
                active[-component] -= 1
                if not active[-component]:
                    working.remove(-component)
        self._at = at

    def finish(self, events: list[Event], started: float, ended: float) -> None:
        """Take the last events up; calls that still run are charged until `ended`."""
        if not self._take_in_turn(events, ended):
            last = (ended, APP)  # nothing begins: it only moves the sweep to the end
            self.advance(
                [*(event if event[0] <= ended else (ended, event[1]) for event in events), last]
            )
        # By difference, so that the components add up to the duration exactly.
        self.seconds[APP] = max(0.0, ended - started - sum(self.seconds[1:]))

    def _take_in_turn(self, events: list[Event], ended: float) -> bool:
        """Take up calls of which each ended before the next began; False: they are not such.

        So are nearly all; a sweep costs four times as much.
        """
        if self._working or len(events) % 2:
            return False
        spent, calls, at = self.seconds[:], self.calls[:], self._at
        pairs = iter(events)
        for (began, component), (over, ending) in zip(pairs, pairs, strict=True):
            if component + ending or component < 0 or began < at or over < began:
                return False
            spent[component] += over - began
            calls[component] += 1
            at = over
        if at > ended:
            return False
        self.seconds, self.calls, self._at = spent, calls, at
        return True


class Queries:
    """What one request asked of databases.

    `repeated` maps a statement to how often it ran; `findings` maps a statement and a kind of
    finding to the line of the application's code. `parameter_sets` counts those of batches.
    """

    __slots__ = ("findings", "newest", "parameter_sets", "repeated", "wrote")

    def __init__(self) -> None:
        self.repeated: dict[Any, Any] = {}
        self.findings: dict[tuple[Any, str], str] = {}
        self.parameter_sets = 0
        self.newest = 0.0
        """When a statement ran that had not run in this request before."""
        self.wrote = False
        """Whether one of them changes what the database holds."""


class Lookups:
    """What one request asked of caches.

    `gets` maps a cache to how often single keys were asked for; `missed` maps a cache and the
    number of a key to the load that the miss began; `lasting` maps a cache to a value written
    to stay for ever and the line that did; `findings` maps a cache and a kind to such a line.
    """

    __slots__ = ("findings", "gets", "lasting", "missed")

    def __init__(self) -> None:
        self.gets: dict[Any, Any] = {}
        self.missed: dict[tuple[Any, int], Any] = {}
        self.lasting: dict[Any, tuple[int, str]] = {}
        self.findings: dict[tuple[Any, str], str] = {}


class Account:
    """What one request spends. Calls append events from any thread; `close` sums them up.

    `events` is None once the request is over: what runs later is not its time any more.
    `folded` is what `fold` summed up of a long request, None for all others. `span` is the one
    that was current when the request began, None without tracing. `labels` are those that
    `label` gave the request, None without any. `queries` and `lookups` are what it asked of
    databases and of caches, None when nothing. `recorded` is when its new series were made,
    which takes a while; most requests make none and do not have it.
    """

    __slots__ = (
        "events",
        "folded",
        "labels",
        "lookups",
        "queries",
        "recorded",
        "span",
        "started",
    )

    recorded: float

    def __init__(self, started: float) -> None:
        self.started = started
        self.events: list[Event] | None = []
        self.folded: Breakdown | None = None
        self.labels: dict[str, str] | None = None
        self.queries: Queries | None = None
        self.lookups: Lookups | None = None
        self.span: Any = None

    def close(self, ended: float) -> Breakdown | None:
        """End the account at `ended`; None when no component but the application worked."""
        events, self.events = self.events, None
        if not events and self.folded is None:
            return None
        breakdown = self.folded or Breakdown(self.started)
        breakdown.finish(events or [], self.started, ended)
        return breakdown

    def abandon(self) -> None:
        """End the account without a result."""
        self.events = None

    def fold(self) -> None:
        """Sum up the events so far; call it when there are `FOLD_AT`."""
        if self.folded is None:
            self.folded = Breakdown(self.started)
        breakdown = self.folded
        events = self.events
        if events is None or breakdown.advancing:
            return  # over, or another thread does it
        breakdown.advancing = True
        try:
            batch = events[:]
            del events[: len(batch)]
            breakdown.advance(batch)
        finally:
            breakdown.advancing = False


def lookups_of(account: Account) -> Lookups:
    """What a request asked of caches, made when it asks first."""
    if account.lookups is None:
        account.lookups = Lookups()
    return account.lookups


current: ContextVar[Account | None] = ContextVar("perfsdk_request", default=None)
"""The account of the request that the running code serves."""

counted: ContextVar[int] = ContextVar("perfsdk_counted", default=0)
"""Bits of the components that an outer layer counts already, so that layers below stay silent."""


def label(**labels: str) -> None:
    """Give the request being served a value for labels of the setting `route_labels`.

    Call it anywhere in a request before its last byte is sent; the last value counts. A value
    that is not in the setting's list becomes `_OTHER`; without a request nothing happens.
    """
    account = current.get()
    if account is not None:
        account.labels = labels if account.labels is None else {**account.labels, **labels}
