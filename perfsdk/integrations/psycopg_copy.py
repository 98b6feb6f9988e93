"""Times the block of a COPY of psycopg 3 as one operation, with what it ended by.

Known: as `psycopg` (https://www.psycopg.org/psycopg3/docs/basic/copy.html). The time includes what
the application does between two parts, since the server waits for it or sends meanwhile.
"""

import functools
from collections.abc import Callable
from typing import Any

from perfsdk import guard
from perfsdk.request import DB, counted
from perfsdk.wrapping.calls import begin
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import Statement

BIT = 1 << DB

Call = Callable[..., Any]
Find = Callable[[Any, Any], Statement | None]
"""Gives the statement of a cursor and its query."""


def patch(module: Any, patches: Patches, find: Find) -> None:
    """Measure both kinds of blocks."""
    patches.replace(module.Copy, "__enter__", _enter)
    patches.replace(module.Copy, "__exit__", functools.partial(_exit, find))
    patches.replace(module.AsyncCopy, "__aenter__", _enter_async)
    patches.replace(module.AsyncCopy, "__aexit__", functools.partial(_exit_async, find))


def _enter(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def enter(self: Any) -> Any:
        _begin(self)
        return wrapped(self)

    return enter


def _enter_async(wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    async def enter(self: Any) -> Any:
        _begin(self)
        return await wrapped(self)

    return enter


def _begin(copy: Any) -> None:
    if not counted.get() & BIT:
        copy._perfsdk_begun = begin(DB)  # noqa: SLF001 - our own


def _exit(find: Find, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    def leave(self: Any, exc_type: Any, exc_val: Any, exc_tb: Any) -> Any:
        try:
            result = wrapped(self, exc_type, exc_val, exc_tb)
        except BaseException as error:
            _copied(find, self, error)
            raise
        _copied(find, self, exc_val)
        return result

    return leave


def _exit_async(find: Find, wrapped: Call) -> Call:
    @functools.wraps(wrapped)
    async def leave(self: Any, exc_type: Any, exc_val: Any, exc_tb: Any) -> Any:
        try:
            result = await wrapped(self, exc_type, exc_val, exc_tb)
        except BaseException as error:
            _copied(find, self, error)
            raise
        _copied(find, self, exc_val)
        return result

    return leave


def _copied(find: Find, copy: Any, error: BaseException | None) -> None:
    begun = vars(copy).pop("_perfsdk_begun", None)
    if begun is None:
        return
    try:
        statement = find(copy.cursor, copy.cursor._query.query)  # noqa: SLF001 - the only place that has it
        if statement is not None:
            account, started = begun
            statement.end(account, started, (), {}, None, error)
    except Exception:
        guard.failed("psycopg.copied")
