"""One cache by its name: keys found and missed, what is written and removed, and what hurts."""

import sys
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.call_site import Sites
from perfsdk.catalog import (
    CACHE_LOAD_DURATION,
    CACHE_OPERATION_DURATION,
    CACHE_REMOVALS,
    CACHE_REQUESTS,
    CACHE_WRITES,
    OVERFLOW,
)
from perfsdk.findings import allowed
from perfsdk.recorder import MAX_LABEL_LENGTH, Recorder
from perfsdk.request import CACHE, Account, current, lookups_of
from perfsdk.wrapping.cache_gets import Get
from perfsdk.wrapping.cache_keys import DEFAULT, OTHER_USES, KeyNames
from perfsdk.wrapping.calls import Operation
from perfsdk.wrapping.loads import Load, Loads

UNKNOWN = object()
"""In place of the seconds that a value stays, where the call does not tell."""

MAX_NAMES = 1000
"""Caches of one system that are told apart; the catalog shows fewer."""
MAX_MISSED = 200
"""Keys of one request that are waited for to be written."""

LARGE_VALUE_BYTES = 100 * 1024
STAMPEDE = 3
"""So many load one key at once."""

_SIZED, _UNNAMED = (str, bytes), KeyNames({})


class Cache:
    """One cache. What it is told, it counts; nothing of it raises, no key is kept as text.

    Threads: any may call it. A key that is neither text, bytes nor a number is counted only.
    """

    __slots__ = (
        "_durations",
        "_hit",
        "_loads_seconds",
        "_miss",
        "_operations",
        "_removals",
        "_requests",
        "_sites",
        "_writes",
        "labels",
        "loads",
        "suspected",
    )

    def __init__(self, recorder: Recorder, system: str, name: str) -> None:
        self.labels = (system, name[:MAX_LABEL_LENGTH])
        self.loads = Loads()
        self.suspected = False
        """Whether it has left misses unfilled: from then on the line that misses is noted."""
        self._hit = (*self.labels, "hit")
        self._miss = (*self.labels, "miss")
        self._requests = recorder.counter(CACHE_REQUESTS)
        self._writes = recorder.counter(CACHE_WRITES)
        self._removals = recorder.counter(CACHE_REMOVALS)
        self._loads_seconds = recorder.histogram(CACHE_LOAD_DURATION)
        self._durations = recorder.histogram(CACHE_OPERATION_DURATION)
        self._operations: dict[str, Operation] = {}
        self._sites = Sites()

    def operation(self, name: str) -> Operation:
        """One kind of call of it: `get`, `get_many`, `set` and so on, as the catalog has them."""
        known = self._operations.get(name)
        if known is None:
            labels = (*self.labels, name)
            if name == "get":
                known = Get(self.found, CACHE, self._durations, labels)
            else:
                known = Operation(CACHE, self._durations, labels)
            if known.is_lasting:
                self._operations[name] = known
        return known

    def hit(self, _key: Any, value: Any = None) -> None:
        """A key was found. `value` is looked at when it is text or bytes."""
        self._requests.add(self._hit)
        if type(value) in _SIZED and len(value) > LARGE_VALUE_BYTES:
            self.found("large_value")

    def miss(self, key: Any) -> None:
        """A key was not found."""
        self._requests.add(self._miss)
        try:
            account = current.get()
            if account is not None and account.events is not None:
                self._missed(account, key)
        except Exception:
            guard.failed("caches.miss")

    def asked(self, found: Iterable[Any], missed: Iterable[Any]) -> None:
        """Several keys were asked for at once."""
        try:
            if hits := sum(1 for _ in found):
                self._requests.add(self._hit, hits)
            for key in missed:
                self.miss(key)
        except Exception:
            guard.failed("caches.asked")

    def wrote(self, key: Any, ttl: Any = UNKNOWN, value: Any = None) -> None:
        """A key was written, for `ttl` seconds, None: for ever."""
        try:
            pattern = "unknown"
            account = current.get()
            if account is not None and account.events is not None:
                pattern = self._wrote(account, key, ttl, value)
            self._writes.add((*self.labels, pattern))
        except Exception:
            guard.failed("caches.wrote")

    def touched(self, key: Any) -> None:
        """A key that was written gets its end after all."""
        try:
            account = current.get()
            if account is None or account.lookups is None:
                return
            lasting = account.lookups.lasting
            if self in lasting and lasting[self][0] == _number(key):
                del lasting[self]
        except Exception:
            guard.failed("caches.touched")

    def removed(self, count: float = 1, reason: str = "explicit") -> None:
        """Entries went: `explicit`, `expired`, `evicted`; or all of them at once: `cleared`."""
        if count > 0:
            self._removals.add((*self.labels, reason), count)

    def loaded(self, seconds: float) -> None:
        """What a miss cost."""
        self._loads_seconds.observe(self.labels, seconds)

    def wrote_as(self, pattern: str, count: float = 1) -> None:
        """Values were written, and it is known why."""
        self._writes.add((*self.labels, pattern), count)

    def missed(self, count: float = 1) -> None:
        """Keys were not found, whose load is known from elsewhere."""
        self._requests.add(self._miss, count)

    def loading(self, key: Any) -> Load | None:
        """A load of a key begins; end it by `loads.end`. None where the key cannot be told."""
        number = _number(key)
        if number is None:
            return None
        load = Load(self, number, perf_counter())
        if self.loads.begin(load) >= STAMPEDE:
            self.found("stampede")
        return load

    def found(self, kind: str) -> None:
        """A finding of the request being served, once for each; nothing outside of one."""
        try:
            account = current.get()
            if account is None or account.events is None:
                return
            findings = lookups_of(account).findings
            if (self, kind) not in findings and kind not in allowed.get():
                findings[self, kind] = self._sites.of(kind, sys._getframe(1))  # noqa: SLF001 - no other way
        except Exception:
            guard.failed("caches.found")

    def _missed(self, account: Account, key: Any) -> None:
        number = _number(key)
        lookups = lookups_of(account)
        if number is None or (self, number) in lookups.missed:
            return
        if len(lookups.missed) >= MAX_MISSED:
            return
        load = self.loading(key)
        if load is None:
            return
        lookups.missed[self, number] = load
        if "miss_not_filled" in allowed.get():
            load.site = None
        elif self.suspected:
            frame = sys._getframe(1)  # noqa: SLF001 - no other way
            load.site = self._sites.of("miss_not_filled", frame)

    def _wrote(self, account: Account, key: Any, ttl: Any, value: Any) -> str:
        """The pattern of a write in a request."""
        if type(value) in _SIZED and len(value) > LARGE_VALUE_BYTES:
            self.found("large_value")
        number = _number(key)
        if number is None:
            return "unknown"
        lookups = account.lookups
        if ttl is None and "no_ttl" not in allowed.get():
            lookups = lookups_of(account)
            if self not in lookups.lasting and (self, "no_ttl") not in lookups.findings:
                frame = sys._getframe(1)  # noqa: SLF001 - no other way
                lookups.lasting[self] = number, self._sites.of("no_ttl", frame)
        load = lookups.missed.pop((self, number), None) if lookups is not None else None
        if load is not None:
            self.loads.end(load)
            self.loaded(perf_counter() - load.started)
            return "aside"
        queries = account.queries
        return "write_through" if queries is not None and queries.wrote else "unknown"


class Caches(dict[str, Cache]):
    """The caches of one system by their names; `caches[name]` makes one if need be."""

    __slots__ = ("_keys", "_recorder", "default", "stopped", "system")

    def __init__(self, recorder: Recorder, system: str) -> None:
        super().__init__()
        self._recorder = recorder
        self.system = system
        self._keys = KeyNames(recorder.cache_names) if recorder.cache_names else None
        self.stopped = False
        self.default = self[DEFAULT]

    def __missing__(self, name: str) -> Cache:
        if len(self) >= MAX_NAMES and name != OVERFLOW:
            return self[OVERFLOW]
        return self.setdefault(name, Cache(self._recorder, self.system, name))

    def of_key(self, key: Any) -> Cache | None:
        """The cache that a key of a shared server is of; None when it is of none."""
        if self._keys is None and type(key) is str:  # as it is nearly always
            return None if key.startswith(OTHER_USES) else self.default
        name = (self._keys or _UNNAMED).name_of(key)
        return None if name is None else self[name]

    def stop(self) -> None:
        """Nothing is to be measured any more; whoever keeps this asks `stopped`."""
        self.stopped = True


def _number(key: Any) -> int | None:
    """A number in place of a key; text and bytes that read the same have the same."""
    kind = type(key)
    return hash(key) if kind is str or kind is bytes or kind is int else None
