"""Sends the shop a bounded load of known requests and counts what was answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import httpx

from perfsdk.cli.demo.tables import MATERIALS, ORDERS, PRODUCTS, SIZES, THINGS

MOST_AT_ONCE = 16
TIMEOUT_SECONDS = 30.0


class Request(NamedTuple):
    """One request, and the route that the shop has for it."""

    method: str
    path: str
    route: str


@dataclass
class Sent:
    """What became of the load: answers by (`GET /route`, status), and requests without one."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    unanswered: int = 0

    @property
    def answered(self) -> int:
        """Requests that have had an answer, whatever it was."""
        return self.answers.total()

    def by_route(self) -> dict[str, dict[int, int]]:
        """How often each `GET /route` answered with which status."""
        counts: dict[str, dict[int, int]] = {}
        for (route, status), count in sorted(self.answers.items()):
            counts.setdefault(route, {})[status] = count
        return counts


def requests() -> Iterator[Request]:
    """The endless mix of requests, the same in every run."""
    random = Random(2)  # noqa: S311 - a repeatable load, no secret
    kinds = (_product, _search, _orders, _payment)
    while True:
        (kind,) = random.choices(kinds, weights=(36, 38, 10, 16))
        yield kind(random)


async def wait_for_first_answer(
    address: str, sent: Sent, *, each_step: Callable[[float], None]
) -> None:
    """Ask for the shop's health until it answers; health checks are not measured.

    `each_step` is told the seconds since the start; what it raises ends the waiting.
    """
    started = time.monotonic()
    async with _client(address) as client:
        while True:
            # The socket listens before a worker serves it: one request waits, none is given up.
            task = asyncio.create_task(client.get("/health"))
            try:
                while not task.done():
                    each_step(time.monotonic() - started)
                    await asyncio.wait([task], timeout=0.1)
                task.result()
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            except httpx.HTTPError:
                sent.unanswered += 1  # a worker died over it
            finally:
                task.cancel()


async def send_load(
    address: str,
    sent: Sent,
    *,
    duration_seconds: float,
    rate: float,
    each_step: Callable[[float], None],
) -> None:
    """Send `rate` requests a second, whether or not the shop keeps up, and wait for the answers.

    At most 16 are under way at once. They are counted in `sent`. `each_step` is told the
    seconds since the start, at least five times a second; what it raises ends the load.
    """
    under_way: set[asyncio.Task[None]] = set()
    async with _client(address) as client:
        started = time.monotonic()
        try:
            for number, request in enumerate(requests()):
                due = started + min(number / rate, duration_seconds)
                while (now := time.monotonic()) < due or len(under_way) >= MOST_AT_ONCE:
                    each_step(now - started)
                    await asyncio.sleep(min(max(due - now, 0.005), 0.2))
                if now - started >= duration_seconds:
                    break
                task = asyncio.create_task(_send(client, request, sent))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            while under_way:
                each_step(time.monotonic() - started)
                await asyncio.wait(under_way, timeout=0.2)
        finally:
            for task in under_way:
                task.cancel()


def _client(address: str) -> httpx.AsyncClient:
    # A connection for each request: kept ones would stay with the worker that took them.
    limits = httpx.Limits(max_keepalive_connections=0)
    # trust_env: the proxies of the user's environment do not know this machine.
    return httpx.AsyncClient(
        base_url=address, limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False
    )


async def _send(client: httpx.AsyncClient, request: Request, sent: Sent) -> None:
    try:
        response = await client.request(request.method, request.path)
    except httpx.HTTPError:
        sent.unanswered += 1
    else:
        sent.answers[f"{request.method} {request.route}", response.status_code] += 1


def _product(random: Random) -> Request:
    product_id = min(int(random.paretovariate(0.8)), PRODUCTS)  # few are popular, most are not
    return Request("GET", f"/products/{product_id}", "/products/{product_id}")


def _search(random: Random) -> Request:
    # 4 % type what a thing is; all others how its name begins.
    slow = random.random() < 0.04
    begin = f"{random.choice(SIZES)} {random.choice(MATERIALS)[:2]}"
    return Request("GET", f"/search?q={random.choice(THINGS) if slow else begin}", "/search")


def _orders(random: Random) -> Request:
    return Request("GET", f"/orders?after={random.randrange(ORDERS - 20)}", "/orders")


def _payment(random: Random) -> Request:
    path = f"/orders/{random.randint(1, ORDERS)}/payment"
    return Request("POST", path, "/orders/{order_id}/payment")
