"""What the answer to a command of Redis says about keys: found, missed, written, removed.

Each function takes what gives the cache of a key, the command as it was sent, and its answer,
which is no error. Keys of no cache are passed over.
"""

from collections.abc import Callable, Iterable
from time import time
from typing import Any

from perfsdk.wrapping.caches import LARGE_VALUE_BYTES, UNKNOWN, Cache
from perfsdk.wrapping.calls import Args

CacheOf = Callable[[Any], Cache | None]
Tell = Callable[[CacheOf, Args, Any], None]

LASTING = {"EX": 1.0, "PX": 0.001}
"""Options with a time to live, and their unit in seconds."""
UNTIL = {"EXAT": 1.0, "PXAT": 0.001}
"""Options with a time of the calendar."""
SIZED = {str, bytes}
WITH_A_VALUE = {*LASTING, *UNTIL, "IFEQ", "IFNE", "IFDEQ", "IFDNE"}

Options = dict[str, Any]


def one(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The answer is the value of the one key, None when there is none."""
    key = args[1]
    cache = cache_of(key)
    if cache is None:
        return
    if answer is None:
        cache.miss(key)
    else:
        cache.hit(key, answer)


def one_taken(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The same, and then the key is gone."""
    one(cache_of, args, answer)
    if answer is not None and (cache := cache_of(args[1])) is not None:
        cache.removed()


def one_prolonged(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The same, and the key may have got a time to live."""
    one(cache_of, args, answer)
    if answer is not None and _ttl(_options(args[2:])) is not None:
        _touched(cache_of, args[1])


def each(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The answer has one value for each key; a path may follow the keys."""
    found: list[Cache] = []
    for key, value in zip(args[1:], answer, strict=False):
        cache = cache_of(key)
        if cache is None:
            continue
        if value is None:
            cache.miss(key)
            continue
        found.append(cache)
        if type(value) in SIZED and len(value) > LARGE_VALUE_BYTES:
            cache.found("large_value")
    for cache in set(found):
        cache.asked(range(found.count(cache)), ())


def some(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The answer has one value for each field of one hash: any will do."""
    one(cache_of, args, next((value for value in answer or () if value is not None), None))


def every(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The answer has all fields of one hash: none when there is no such hash."""
    one(cache_of, args, answer or None)


def written(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """SET, which may be told to write only where there is something, or nothing."""
    cache = cache_of(args[1])
    if cache is None:
        return
    count = len(args)
    if count == 3:
        ttl, done = None, answer is not None
    elif count == 5 and args[3] in LASTING:  # quicker than what is below
        ttl, done = float(args[4]) * LASTING[args[3]], answer is not None
    else:
        options = _options(args[3:])
        ttl, done = _ttl(options), _is_written(options, answer)
    if done:
        cache.wrote(args[1], ttl, args[2])


def written_for_seconds(cache_of: CacheOf, args: Args, _answer: Any) -> None:
    """SETEX."""
    _wrote(cache_of, args[1], float(args[2]), args[3])


def written_for_milliseconds(cache_of: CacheOf, args: Args, _answer: Any) -> None:
    """PSETEX."""
    _wrote(cache_of, args[1], float(args[2]) / 1000, args[3])


def written_for_ever(cache_of: CacheOf, args: Args, _answer: Any) -> None:
    """GETSET, whose answer is what was there before."""
    _wrote(cache_of, args[1], None, args[2])


def written_if_new(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """SETNX."""
    if answer:
        written_for_ever(cache_of, args, answer)


def changed(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """A part of a value is written; the answer is None where it was not.

    It stays as long as it would have: that is not known here.
    """
    if answer is not None:
        _wrote(cache_of, args[1], UNKNOWN, None)


def changed_if_new(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The same; the answer is 0 where it was not."""
    changed(cache_of, args, answer or None)


def all_written(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """MSET, or MSETNX, which answers 0 when it wrote none."""
    if answer:
        _wrote_all(cache_of, args[1:], 2, None)


def all_written_with_options(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """MSETEX: how many, keys and values, options."""
    if answer:
        end = 2 + 2 * int(args[1])
        _wrote_all(cache_of, args[2:end], 2, _ttl(_options(args[end:])))


def all_documents_written(cache_of: CacheOf, args: Args, _answer: Any) -> None:
    """JSON.MSET: keys, paths and values."""
    _wrote_all(cache_of, args[1:], 3, UNKNOWN)


def prolonged(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """The key got a time to live, when there is such a key."""
    if answer:
        _touched(cache_of, args[1])


def removed(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """So many of the keys were there. Of several caches it is known only when all were."""
    if not isinstance(answer, int):  # of several nodes, each by itself
        return
    keys = args[1:]
    if len(keys) == 1:  # the most frequent
        if (cache := cache_of(keys[0])) is not None:
            cache.removed(answer)
        return
    keys_of: dict[Cache | None, int] = {}
    for key in keys:
        cache = cache_of(key)
        keys_of[cache] = keys_of.get(cache, 0) + 1
    for cache, count in keys_of.items():
        if cache is not None and (len(keys_of) == 1 or answer == len(keys)):
            cache.removed(min(count, answer))


def cleared(cache_of: CacheOf, _args: Args, _answer: Any) -> None:
    """Everything went, whatever it was; it counts once, for the cache that has no key's name."""
    if (cache := cache_of(None)) is not None:
        cache.removed(reason="cleared")


def _wrote(cache_of: CacheOf, key: Any, ttl: Any, value: Any) -> None:
    cache = cache_of(key)
    if cache is not None:
        cache.wrote(key, ttl, value)


def _wrote_all(cache_of: CacheOf, items: Args, step: int, ttl: Any) -> None:
    for start in range(0, len(items) - step + 1, step):
        _wrote(cache_of, items[start], ttl, items[start + step - 1])


def _touched(cache_of: CacheOf, key: Any) -> None:
    cache = cache_of(key)
    if cache is not None:
        cache.touched(key)


def _is_written(options: Options, answer: Any) -> bool:
    if "GET" not in options:
        return answer is not None
    # The answer is what was there before.
    return answer is None if "NX" in options else answer is not None or "XX" not in options


def _options(args: Iterable[Any]) -> Options:
    """What follows a command's key and value, in upper case, those with a value with it."""
    options: Options = {}
    rest = iter(args)
    for arg in rest:
        if isinstance(arg, str | bytes):
            word = arg.upper()
            name = word if isinstance(word, str) else word.decode("latin-1")
            options[name] = next(rest, None) if name in WITH_A_VALUE else True
    return options


def _ttl(options: Options) -> Any:
    """The seconds that a value stays, None: for ever."""
    if not options:
        return None
    for option, value in options.items():
        if option in LASTING:
            return float(value) * LASTING[option]
        if option in UNTIL:
            return float(value) * UNTIL[option] - time()
    return UNKNOWN if "KEEPTTL" in options else None
