"""A lookup of one key of a cache, which tells when many come one after the other."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from perfsdk import guard
from perfsdk.request import CACHE, FOLD_AT, Account, lookups_of
from perfsdk.wrapping.calls import Args, Kwargs, Operation

REPEATED_GETS, REPEATED_SECONDS = 5, 0.05
"""So often, and for so long together, single keys are asked for in a row."""
REPEATED_GETS_AT_ONCE, REPEATED_AT_ONCE_SECONDS = 20, 0.001
"""Or so often; the time leaves out caches in the memory of the process."""


class Get(Operation):
    """A lookup of one key; many in a row, one after the other, are a finding."""

    __slots__ = ("_found",)

    def __init__(self, found: Callable[[str], None], *operation: Any) -> None:
        """`found` takes the kind of a finding; the others are those of an `Operation`."""
        super().__init__(*operation)
        self._found = found

    def end(
        self,
        account: Account | None,
        started: float,
        args: Args,
        kwargs: Kwargs,
        result: Any,
        error: BaseException | None,
    ) -> None:
        if account is None or account.events is None or error is not None:
            super().end(account, started, args, kwargs, result, error)
            return
        ended = perf_counter()
        try:
            self.successes.observe(ended - started)
            events = account.events
            events.append((ended, -CACHE))
            if len(events) >= FOLD_AT:
                account.fold()
            lookups = account.lookups
            if lookups is None:
                lookups = lookups_of(account)
            known = lookups.gets.get(self)
            if known is None:
                lookups.gets[self] = [1, ended - started, ended]
                return
            if started < known[2]:  # at the same time as another
                known[2] = max(known[2], ended)
                return
            known[0] += 1
            known[1] += ended - started
            known[2] = ended
            if known[0] >= REPEATED_GETS and (
                known[1] >= REPEATED_SECONDS
                or (known[0] >= REPEATED_GETS_AT_ONCE and known[1] >= REPEATED_AT_ONCE_SECONDS)
            ):
                known[:2] = 0, 0.0  # it is found once a request
                self._found("get_in_loop")
        except Exception:
            guard.failed("cache_gets.end")
