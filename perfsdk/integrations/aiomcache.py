"""Times each call of aiomcache clients once, and counts hits and misses by key.

Known: aiomcache 0.7 and 0.8 (https://github.com/aio-libs/aiomcache). The time has the wait for a
connection of the client's pool in it. A key is a hit when there is a value for it, also an empty
one; an error is neither hit nor miss.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Caches
from perfsdk.wrapping.calls import Args, Kwargs, Make, timed_coroutine
from perfsdk.wrapping.memcached import ABSENT, Memcached
from perfsdk.wrapping.patches import Patches

VERSIONS = ((0, 7), (0, 9))

Call = Callable[..., Awaitable[Any]]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the client, and the one for values with flags."""
    caches = Caches(recorder, "memcached")
    makes = _makes(Memcached(recorder, caches, "exptime"))
    for owner in (module.FlagClient, module.Client):
        for name, make in makes.items():
            if name in vars(owner):
                patches.replace(owner, name, make)
    patches.on_undo(caches.stop)


def _makes(memcached: Memcached) -> dict[str, Make]:
    """The makers of wrappers by the names of methods."""

    def find_several(client: Any, args: Args, kwargs: Kwargs) -> Any:
        return find_many(client, (args,), kwargs)

    def got_many(_client: Any, args: Args, _kwargs: Kwargs, answer: Any) -> None:
        found = {key for key, value in zip(args, answer, strict=True) if value is not None}
        memcached.asked(args, found)

    find_many = memcached.find_many("get_many")
    find = memcached.find
    get = timed_coroutine(CACHE, memcached.find_lookup)
    store = timed_coroutine(CACHE, find("set", memcached.stored))
    append = timed_coroutine(CACHE, find("set"))
    count = timed_coroutine(CACHE, find("incr"))
    return {
        "get": functools.partial(_with_our_default, get),
        "gets": timed_coroutine(CACHE, find("get", memcached.got(_has_no_token))),
        "multi_get": timed_coroutine(CACHE, find_several, got_many),
        **dict.fromkeys(("set", "add", "replace"), store),
        "cas": timed_coroutine(CACHE, find("set", memcached.stored_by_token)),
        **dict.fromkeys(("append", "prepend"), append),
        "delete": timed_coroutine(CACHE, find("delete", memcached.deleted)),
        **dict.fromkeys(("incr", "decr"), count),
        "touch": timed_coroutine(CACHE, find("touch", memcached.touched)),
        "flush_all": timed_coroutine(CACHE, memcached.find_whole("clear"), memcached.flushed),
    }


def _with_our_default(make: Make, wrapped: Call) -> Call:
    """`get` is asked with a default of ours, since a value may equal the application's."""
    measured = make(wrapped)

    @functools.wraps(wrapped)
    async def get(self: Any, key: Any, default: Any = None) -> Any:
        value = await measured(self, key, ABSENT)
        return default if value is ABSENT else value

    return get


def _has_no_token(_args: Args, _kwargs: Kwargs, answer: Any) -> bool:
    return answer[1] is None
