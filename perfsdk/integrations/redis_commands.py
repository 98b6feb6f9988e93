"""The commands of Redis: the operation that each is, its key, and what its answer says of keys.

A key is a hit when the answer holds a value, also an empty one, and a miss when it holds none.
Neither hit nor miss: commands whose empty answer may be a value (GETRANGE, SUBSTR), and those
that write and answer what was there (GETSET, SET with GET).

The server's own keyspace_hits and keyspace_misses count any command that reads a key (EXISTS,
TTL, LRANGE, GETSET, ...), whatever the key is for, also when the type is wrong and the answer an
error. Of a hash they ask for the hash alone, where we ask for the field, or one of the fields.
"""

from dataclasses import dataclass
from typing import Any

from perfsdk.integrations import redis_answers as answers
from perfsdk.integrations.redis_answers import CacheOf, Tell
from perfsdk.wrapping.calls import Args


@dataclass(frozen=True, eq=False)
class Kind:
    """What a command is: the operation, None to leave it alone; what its answer tells.

    `key` is where its key, or the first of them, stands; 0: it has none, or that is not known.
    """

    operation: str | None
    tell: Tell | None = None
    key: int = 1


LEFT_ALONE = Kind(None)
"""What waits for others says nothing of the cache's latency. What a Sentinel or a cluster is
asked about itself, mostly by the library, is no call of the application."""
STREAM_READ = Kind(None)
OTHER = Kind("other", key=0)

NAMES = {
    Kind("get", answers.one): "GET HGET JSON.GET",
    Kind("get", answers.one_taken): "GETDEL",
    Kind("get", answers.one_prolonged): "GETEX",
    Kind("get", answers.every): "HGETALL",
    Kind("get"): "GETRANGE SUBSTR",
    Kind("get_many", answers.each): "JSON.MGET MGET",
    Kind("get_many", answers.some): "HGETDEL HGETEX HMGET",
    Kind("set", answers.written): "SET",
    Kind("set", answers.written_for_seconds): "SETEX",
    Kind("set", answers.written_for_milliseconds): "PSETEX",
    Kind("set", answers.written_for_ever): "GETSET",
    Kind("set", answers.written_if_new): "SETNX",
    Kind("set", answers.changed): "APPEND HSET JSON.SET SETRANGE",
    Kind("set", answers.changed_if_new): "HSETEX HSETNX",
    Kind("set_many", answers.all_written): "MSET MSETNX",
    Kind("set_many", answers.all_written_with_options, key=2): "MSETEX",
    Kind("set_many", answers.changed): "HMSET",
    Kind("set_many", answers.all_documents_written): "JSON.MSET",
    Kind("delete", answers.removed): "DEL UNLINK",
    Kind("delete"): "HDEL JSON.DEL",
    Kind("incr"): "DECR DECRBY HINCRBY HINCRBYFLOAT INCR INCRBY INCRBYFLOAT JSON.NUMINCRBY",
    Kind("touch", answers.prolonged): "EXPIRE EXPIREAT PEXPIRE PEXPIREAT",
    Kind("touch"): "HEXPIRE HPERSIST HPEXPIRE PERSIST TOUCH",
    Kind("clear", answers.cleared, key=0): "FLUSHALL FLUSHDB",
    Kind("other"): (
        "EXISTS HEXISTS HKEYS HLEN HVALS LLEN LPOP LPUSH LRANGE LREM PTTL RPOP RPUSH SADD SCARD "
        "SISMEMBER SMEMBERS SREM TTL TYPE WATCH XACK XADD ZADD ZCARD ZINCRBY ZRANGE ZREM ZSCORE"
    ),
    OTHER: "EVAL EVALSHA PING PUBLISH SCAN",
    LEFT_ALONE: (
        "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLUSTER COMMAND MONITOR "
        "PSUBSCRIBE SENTINEL SSUBSCRIBE SUBSCRIBE WAIT WAITAOF"
    ),
}
"""Commands by kind; what is in no list is of the kind `OTHER`, only found less quickly."""

KINDS: dict[Any, Kind] = {name: kind for kind, names in NAMES.items() for name in names.split()}
KINDS |= {"XREAD": STREAM_READ, "XREADGROUP": STREAM_READ}
KINDS |= {name.encode(): kind for name, kind in KINDS.items()}


def kind_of(args: Args) -> tuple[Kind, Args]:
    """The kind of a command, and the command with its words apart."""
    kind = KINDS.get(args[0])
    if kind is None:
        kind, args = _spelled(args)
    if kind is STREAM_READ:
        kind = LEFT_ALONE if _waits(args) else OTHER
    return kind, args


def key_of(kind: Kind, args: Args) -> Any:
    """The first key of a command, None where it has none."""
    return args[kind.key] if 0 < kind.key < len(args) else None


def tell(cache_of: CacheOf, args: Args, answer: Any) -> None:
    """Count what the answer to a command says."""
    kind, args = kind_of(args)
    if kind.tell is not None:
        kind.tell(cache_of, args, answer)


def _spelled(args: Args) -> tuple[Kind, Args]:
    """A command in another spelling: lower case, or words in one, as the libraries split them."""
    name = args[0]
    words = (name if isinstance(name, str) else bytes(name).decode("latin-1")).split()
    args = (words[0].upper() if words else "", *words[1:], *args[1:])
    return KINDS.get(args[0], OTHER), args


def _waits(args: Args) -> bool:
    """Whether a reader of streams waits for them: BLOCK comes before STREAMS."""
    for arg in args[1:]:
        word = arg.upper() if isinstance(arg, str | bytes) else arg
        if word in {"BLOCK", b"BLOCK"}:
            return True
        if word in {"STREAMS", b"STREAMS"}:
            return False
    return False
