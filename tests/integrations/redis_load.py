"""A mixed load of a Redis, and what its servers count otherwise than we do.

The mapping, from our hits and misses to `keyspace_hits` and `keyspace_misses`:

- A server counts the hash where we count the field that was asked for: a missing field of a hash
  that is there is its hit and our miss.
- A server counts every command that reads a key; for us EXISTS, LRANGE, TTL and GETSET are no
  lookups, and neither is any read of a key of a queue, a lock or a session.
- A read of the wrong type found its key before it was refused: a hit of the server.
- What the client-side cache answers never reaches the server.
"""

import random
from collections import Counter

KEYS, HASHES = 60, 10
BATCH = 10
"""The most operations of one pipeline."""


def prepare(client, tag=""):
    """Write what the load finds; half of the hashes are there, none of them is ever removed."""
    for number in range(0, KEYS, 2):
        client.set(f"{tag}key:{number}", number)
    for number in range(0, HASHES, 2):
        client.hset(f"{tag}hash:{number}", mapping={"field:0": "", "field:1": "x"})
    client.rpush(f"{tag}list", "a", "b")
    client.set(f"{tag}lock:a", "x")


def operation(numbers, tag=""):
    """One operation: the name of the method, and its arguments."""
    key = f"{tag}key:{numbers.randrange(KEYS)}"
    name = f"{tag}hash:{numbers.randrange(HASHES)}"
    fields = [f"field:{numbers.randrange(4)}" for _ in range(numbers.randrange(1, 4))]
    return numbers.choice(
        [
            ("get", key),
            ("get", key.encode()),
            ("getex", key),
            ("getdel", key),
            ("getset", key, "old"),
            ("hget", name, fields[0]),
            ("hmget", name, fields),
            ("hgetall", name),
            ("exists", key),
            ("ttl", key),
            ("lrange", numbers.choice([f"{tag}list", f"{tag}absent"]), 0, 0),
            ("get", numbers.choice([f"lock:{tag}", "lock:a"])),
            ("get", f"{tag}list"),
            ("set", key, "x"),
            ("set", key, "x", 60),
            ("expire", key, 60),
            ("incr", f"{tag}number"),
            ("delete", key),
        ]
    )


def several(numbers, tag):
    """One read of several keys of one slot."""
    keys = [f"{tag}key:{numbers.randrange(KEYS)}" for _ in range(numbers.randrange(1, 9))]
    return "mget", keys


def differently(called, answer):
    """What the server counts otherwise: hits and misses to add to ours, or to take off."""
    name, key, *_ = called
    if isinstance(answer, Exception):
        return Counter(hits=1)
    if name in {"exists", "getset", "lrange"} or str(key).startswith("lock:"):
        return Counter(hits=1) if answer not in (None, 0, []) else Counter(misses=1)
    if name == "ttl":
        return Counter(misses=1) if answer == -2 else Counter(hits=1)
    if name in {"hget", "hmget"} and int(key[-1]) % 2 == 0:
        values = answer if isinstance(answer, list) else [answer]
        if all(value is None for value in values):
            return Counter(hits=1, misses=-1)
    return Counter()


class Load:
    """So many operations, one by one and in batches, as the server is asked them."""

    def __init__(self, seed, number, tag=""):
        self.numbers = random.Random(seed)
        self.number = number
        self.tag = tag
        self.done = 0
        self.errors = 0
        self.otherwise = Counter()

    def tags(self):
        """The next tag: that of the load, or one of some slots."""
        return self.tag or f"{{{self.numbers.randrange(8)}}}"

    def single(self):
        """One operation by itself."""
        tag = self.tags()
        return (
            operation(self.numbers, tag)
            if self.numbers.random() < 0.8
            else several(self.numbers, tag)
        )

    def batch(self, tag=None):
        """Several, to be queued."""
        count = self.numbers.randrange(1, BATCH)
        return [operation(self.numbers, tag or self.tags()) for _ in range(count)]

    def note(self, called, answer):
        """Count an operation and what the server makes of it."""
        self.done += 1
        self.errors += isinstance(answer, Exception)
        self.otherwise.update(differently(called, answer))

    def note_all(self, batch, answers):
        """Count those of a batch."""
        for called, answer in zip(batch, answers, strict=True):
            self.note(called, answer)


def run(load, client, refused, *, transactions):
    """The load on a sync client of a server or a cluster; `refused` is raised by the library."""
    while load.done < load.number:
        kind = load.numbers.random()
        if kind < 0.7:
            name, *args = called = load.single()
            try:
                answer = getattr(client, name)(*args)
            except refused as error:
                answer = error
            load.note(called, answer)
        elif kind < 0.9 or not transactions:
            batch = load.batch()
            with client.pipeline(transaction=False) as pipeline:
                for name, *args in batch:
                    getattr(pipeline, name)(*args)
                load.note_all(batch, pipeline.execute(raise_on_error=False))
        else:
            _transact(load, client)


def _transact(load, client):
    """A transaction, of which some lose their race once: what they queued never happened."""
    tag = load.tags()
    key, batch = f"{tag}key:0", [each for each in load.batch(tag) if each[1] != f"{tag}list"]
    batch = [each for each in batch if not str(each[1]).startswith("lock:")] or [("get", key)]
    races = load.numbers.random() < 0.3

    def change(pipeline):
        nonlocal races
        load.note(("get", key), pipeline.get(key))
        pipeline.multi()
        if races:
            races = False
            client.set(key, "changed")
        for name, *args in batch:
            getattr(pipeline, name)(*args)

    load.note_all(batch, client.transaction(change, key))


async def run_awaited(load, client, refused):
    """The load on a client of asyncio."""
    while load.done < load.number:
        if load.numbers.random() < 0.7:
            name, *args = called = load.single()
            try:
                answer = await getattr(client, name)(*args)
            except refused as error:
                answer = error
            load.note(called, answer)
        else:
            batch = load.batch()
            pipeline = client.pipeline()
            for name, *args in batch:
                getattr(pipeline, name)(*args)
            load.note_all(batch, await pipeline.execute(raise_on_error=False))
