"""A small HTTP client that retries nothing and keeps the books of what became of each request."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.servers import HOST

TIMEOUT_SECONDS = 120.0


class Request(NamedTuple):
    """A request and all that is known of its outcome before it is sent; sizes in bytes."""

    method: str
    path: str
    route: str
    status: int
    sent_size: int
    error_type: str = ""
    received_size: int = 0
    db_calls: int = 0
    cache_calls: int = 0


class Answer(NamedTuple):
    """The signature of a response: which process gave it, and which of its responses it is."""

    worker: int
    serial: int


@dataclass
class Sent:
    """The books: requests by what became of them.

    `completed`: the whole response was received. `uncertain`: the connection broke instead.
    `last` is, of each worker, its latest response and the request that it answers.
    """

    completed: Counter[Request] = field(default_factory=Counter)
    uncertain: Counter[Request] = field(default_factory=Counter)
    unexpected: list[tuple[Request, int, int]] = field(default_factory=list)
    answers_by_worker: Counter[int] = field(default_factory=Counter)
    last: dict[int, tuple[int, Request]] = field(default_factory=dict)
    longest_seconds: float = 0.0

    @property
    def at_most(self) -> Counter[Request]:
        """What the server may have counted; `completed` is what it must have."""
        return self.completed + self.uncertain

    def answered(self, request: Request, answer: Answer) -> None:
        self.completed[request] += 1
        self.answers_by_worker[answer.worker] += 1
        if answer.serial > self.last.get(answer.worker, (0, request))[0]:
            self.last[answer.worker] = answer.serial, request

    def killed(self, worker: int) -> None:
        """Doubt the latest response of a killed worker; call it once, when the load has ended.

        A worker records a request after it handed the last byte to the system, and before it
        begins another response: only of its latest one is it not known that it came so far.
        """
        _, request = self.last[worker]
        self.completed[request] -= 1
        self.uncertain[request] += 1

    def turned_away(self) -> None:
        """Forget what is uncertain; call it when no worker was killed.

        uvicorn finishes what it began before it ends. The connections that it closes without
        an answer are those from which it has read nothing.
        """
        self.uncertain.clear()


def send(
    port: int,
    requests: Iterable[Request],
    sent: Sent,
    *,
    connections: int = 8,
    requests_per_connection: int = 1,
    may_break: bool = False,
) -> None:
    """Send all requests, as many at once as there are connections, and enter them into `sent`.

    Raises:
        AssertionError: an answer was not the known one, or a connection broke that may not.
        asyncio.TimeoutError: it took longer than two minutes.
    """

    async def run() -> None:
        shared = iter(requests)
        clients = (_client(port, shared, sent, requests_per_connection) for _ in range(connections))
        await asyncio.wait_for(asyncio.gather(*clients), TIMEOUT_SECONDS)

    asyncio.run(run())
    assert [] == sent.unexpected
    assert may_break or not sent.uncertain, sent.uncertain


async def _client(port: int, shared: Iterator[Request], sent: Sent, most: int) -> None:
    """Connect again and again, each time for `most` requests, until there is none left."""
    for first in shared:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            sent.uncertain[first] += 1
            continue
        try:
            request: Request | None = first
            for left in reversed(range(most)):
                # Servers close after an exception, without a word in the response before it.
                close = left == 0 or bool(request.error_type)
                good = await _exchange(reader, writer, request, sent, close=close)
                if close or not good or (request := next(shared, None)) is None:
                    break
        finally:
            writer.close()


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: Request,
    sent: Sent,
    *,
    close: bool,
) -> bool:
    """Send one request; whether the connection is good for another one."""
    started = time.perf_counter()
    try:
        writer.write(_bytes_of(request, close=close))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, headers = _parse(head)
        size = int(headers["content-length"])
        await reader.readexactly(size)
    except (OSError, asyncio.IncompleteReadError):
        sent.uncertain[request] += 1
        return False
    finally:
        sent.longest_seconds = max(sent.longest_seconds, time.perf_counter() - started)
    if (status, size) != (request.status, request.sent_size):
        sent.unexpected.append((request, status, size))
    sent.answered(request, Answer(int(headers["x-worker"]), int(headers["x-serial"])))
    return True


def _bytes_of(request: Request, *, close: bool) -> bytes:
    lines = [f"{request.method} {request.path} HTTP/1.1", f"host: {HOST}"]
    if request.received_size:
        lines.append(f"content-length: {request.received_size}")
    if close:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + b"x" * request.received_size


def _parse(head: str) -> tuple[int, dict[str, str]]:
    """Status and headers of a response."""
    status_line, *lines = head.splitlines()
    pairs = (line.partition(": ") for line in lines if line)
    return int(status_line.split()[1]), {name.lower(): value for name, _, value in pairs}
