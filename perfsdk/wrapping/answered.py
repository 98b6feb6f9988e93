"""A call that tells what was answered when it ends, once it is recorded.

To have the answer inspected afterwards would take three calls more.
"""

from typing import Any

from perfsdk import guard
from perfsdk.request import Account
from perfsdk.wrapping.calls import Args, Kwargs, Operation


class Answered(Operation):
    """An operation that ends as another one does; a subclass says whom to `tell` what came."""

    __slots__ = ("_end", "_where")

    def __init__(self, timed: Operation, where: str) -> None:
        """`where` names the place to which errors of `tell` are counted."""
        super().__init__(timed.component, timed.durations, timed.labels)
        self._end = timed.end
        self._where = where

    def tell(self, args: Args, kwargs: Kwargs, result: Any) -> None:
        """Take the arguments, the instance first, and the result; asked after a success."""
        raise NotImplementedError

    def end(
        self,
        account: Account | None,
        started: float,
        args: Args,
        kwargs: Kwargs,
        result: Any,
        error: BaseException | None,
    ) -> None:
        self._end(account, started, args, kwargs, result, error)
        if error is None:
            try:
                self.tell(args, kwargs, result)
            except Exception:
                guard.failed(self._where)
