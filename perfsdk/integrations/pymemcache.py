"""Times each call of pymemcache clients once, and counts hits and misses by key.

Known: pymemcache 4 (https://pymemcache.readthedocs.io): `Client`, `PooledClient` and `HashClient`,
of which the outermost counts; a call for keys of several servers is one. A `RetryingClient` calls
one of these for each attempt. A key is a hit when there is a value for it, whatever it is.

An error is neither hit nor miss; where `ignore_exc` turns errors into answers, they count as what
they are turned into: misses. With `noreply`, the default for writes, a write counts as done,
since nobody knows better. Sizes are those of text and bytes, before a `serde` works on them.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

from perfsdk.recorder import Recorder
from perfsdk.request import CACHE
from perfsdk.wrapping.caches import Caches
from perfsdk.wrapping.calls import Args, Kwargs, Make, timed
from perfsdk.wrapping.memcached import ABSENT, Memcached
from perfsdk.wrapping.patches import Patches

VERSIONS = ((4,), (5,))

Call = Callable[..., Any]


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the three classes of clients."""
    caches = Caches(recorder, "memcached")
    memcached = Memcached(recorder, caches, "expire")
    for owner in (module.Client, module.PooledClient, module.HashClient):
        for name, make in _makes(memcached, is_leaf=owner is module.Client).items():
            if name in vars(owner):
                patches.replace(owner, name, make)
    patches.on_undo(caches.stop)


def _makes(memcached: Memcached, *, is_leaf: bool) -> dict[str, Make]:
    """The makers of wrappers by the names of methods. Below a leaf nothing is measured."""

    def got_many(_client: Any, args: Args, kwargs: Kwargs, answer: Any) -> None:
        memcached.asked(_keys(args, kwargs), answer)

    def stored_many(_client: Any, args: Args, kwargs: Kwargs, failed: Any) -> None:
        values = args[0] if args else kwargs["values"]
        for key in values.keys() - set(failed or ()):
            memcached.wrote(key, kwargs, values[key], args[1:])

    def deleted_many(_client: Any, args: Args, kwargs: Kwargs, _answer: Any) -> None:
        memcached.removed(_keys(args, kwargs))

    measured = functools.partial(timed, CACHE, is_leaf=is_leaf)
    find = memcached.find
    store = measured(find("set", memcached.stored))
    append = measured(find("set"))
    count = measured(find("incr"))
    get_many = measured(memcached.find_many("get_many"), got_many)
    set_many = measured(memcached.find_many("set_many"), stored_many)
    delete_many = measured(memcached.find_many("delete"), deleted_many)
    gets = ("get_many", "get_multi", "gets_many", "gets_multi")
    deletes = ("delete_many", "delete_multi")
    return {
        "get": functools.partial(_with_our_default, measured(memcached.find_lookup)),
        "gets": measured(find("get", memcached.got(_has_default_token))),
        **dict.fromkeys(gets, functools.partial(_with_a_list, get_many)),
        **dict.fromkeys(("set", "add", "replace"), store),
        "cas": measured(find("set", memcached.stored_by_token)),
        **dict.fromkeys(("append", "prepend"), append),
        **dict.fromkeys(("set_many", "set_multi"), set_many),
        "delete": measured(find("delete", memcached.deleted)),
        **dict.fromkeys(deletes, functools.partial(_with_a_list, delete_many)),
        **dict.fromkeys(("incr", "decr"), count),
        "touch": measured(find("touch", memcached.touched)),
        "flush_all": measured(memcached.find_whole("clear"), memcached.flushed),
    }


def _with_our_default(make: Make, wrapped: Call) -> Call:
    """`get` is asked with a default of ours, since a value may equal the application's."""
    measured = make(wrapped)

    @functools.wraps(wrapped)
    def get(self: Any, key: Any, default: Any = None, **kwargs: Any) -> Any:
        value = measured(self, key, ABSENT, **kwargs)
        return default if value is ABSENT else value

    return get


def _with_a_list(make: Make, wrapped: Call) -> Call:
    """Keys that can be taken only once are taken into a list, to be looked at again."""
    measured = make(wrapped)

    @functools.wraps(wrapped)
    def many(self: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(keys, Collection) and hasattr(keys, "__iter__"):
            keys = list(keys)
        return measured(self, keys, *args, **kwargs)

    return many


def _keys(args: Args, kwargs: Kwargs) -> Any:
    return args[0] if args else kwargs["keys"]


def _has_default_token(args: Args, kwargs: Kwargs, answer: Any) -> bool:
    """Of `gets(key, default, cas_default)`: a token that came is bytes of its own."""
    return answer[1] is (args[1] if len(args) > 1 else kwargs.get("cas_default"))
