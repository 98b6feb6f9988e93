"""Makes one operation of a batch that psycopg2.extras sends in pages, none of what it looks up.

Known: psycopg2 2.9 (https://www.psycopg.org/docs/extras.html). `execute_batch` and
`execute_values` call `execute` for each page, on a cursor that is measured where the integration
of psycopg2 is active; where they were imported before, their pages are counted. What
`register_hstore`, `register_composite`, `register_range` and `register_json` ask about types is
no operation.
"""

import functools
from importlib import import_module
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import DB
from perfsdk.wrapping.batches import timed_batch
from perfsdk.wrapping.calls import Args, Call, Kwargs, silent
from perfsdk.wrapping.patches import Patches
from perfsdk.wrapping.statement import Statement

VERSIONS = ((2, 9), (2, 10))


def patch(module: Any, patches: Patches, _recorder: Recorder) -> None:
    """Measure batches, and leave out questions about types."""
    for name in ("execute_batch", "execute_values"):
        patches.replace(module, name, _batch)
    patches.replace(module.HstoreAdapter, "get_oids", _silent_method)
    patches.replace(module.CompositeCaster, "_from_db", _silent_method)
    # Both are in modules that this one has imported.
    ranges, json = import_module("psycopg2._range"), import_module("psycopg2._json")
    patches.replace(ranges.RangeCaster, "_from_db", _silent_method)
    patches.replace(json, "_get_json_oids", silent(DB))


def _batch(wrapped: Call) -> Call:
    # The statement is found by the cursor, below which nothing is measured; here the cursor is.
    measured = timed_batch(_find, "argslist")(silent(DB)(wrapped))

    @functools.wraps(wrapped)
    def execute(cur: Any, sql: Any, argslist: Any, *args: Any, **kwargs: Any) -> Any:
        return measured(cur, sql, argslist, *args, **kwargs)

    return execute


def _silent_method(method: Any) -> Any:
    return classmethod(silent(DB)(method.__func__))


def _find(cursor: Any, args: Args, _kwargs: Kwargs) -> Statement | None:
    find = getattr(cursor, "_perfsdk_find", None)
    return None if find is None else find(cursor, args[:1], {})
