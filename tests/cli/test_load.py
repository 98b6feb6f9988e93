"""The load is the same in every run, counts what became of it, and ends when it is told to."""

import asyncio
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from perfsdk.cli.demo import load
from perfsdk.cli.demo.load import Sent, requests, send_load, wait_for_first_answer
from tests.servers import HOST

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers every request with the same bytes; no bytes close the connection."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = Counter()

    async def serve(self, reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = request.split(b" ", 2)
        self.seen[method.decode(), path.decode().partition("?")[0]] += 1
        writer.write(self.answer)
        writer.close()


@pytest.fixture
async def start_server():
    """Starts a server and returns it with its address."""
    servers = []

    async def start(answer):
        server = Server(answer)
        servers.append(await asyncio.start_server(server.serve, HOST, 0))
        port = servers[-1].sockets[0].getsockname()[1]
        return server, f"http://{HOST}:{port}"

    yield start
    for server in servers:
        server.close()


def test_the_load_is_the_same_in_every_run():
    """Two runs send the same requests in the same order, on five routes."""
    first = list(islice(requests(), 500))
    assert first == list(islice(requests(), 500))
    assert len({(request.method, request.route) for request in first}) == 4


def test_a_request_knows_its_route():
    """Each path fits the template that it is counted under."""
    for request in islice(requests(), 500):
        parts = zip(request.path.split("?")[0].split("/"), request.route.split("/"), strict=True)
        assert all(part == wanted or wanted.startswith("{") for part, wanted in parts)


async def test_answers_are_counted_by_route_and_status(start_server):
    """As many answers are counted as requests have reached the server."""
    server, address = await start_server(OK)
    sent = Sent()
    await wait_for_first_answer(address, sent, each_step=lambda _seconds: None)
    await send_load(address, sent, duration_seconds=0.2, rate=100, each_step=lambda _seconds: None)
    assert 1 == server.seen.pop(("GET", "/health"))  # which is not measured
    assert 1 < sent.answered == server.seen.total()
    assert 0 == sent.unanswered
    assert {200: server.seen["GET", "/search"]} == sent.by_route()["GET /search"]


async def test_requests_without_an_answer_are_counted_apart(start_server):
    """A connection that is closed instead of an answer is no answer."""
    server, address = await start_server(b"")
    sent = Sent()
    await send_load(address, sent, duration_seconds=0.2, rate=100, each_step=lambda _seconds: None)
    assert (0, server.seen.total()) == (sent.answered, sent.unanswered)


async def test_what_a_step_raises_ends_the_load():
    """The dead child or the signal that a step finds is not hidden by the load."""

    def step(_seconds):
        raise LookupError

    sent = Sent()
    with pytest.raises(LookupError):
        await send_load(f"http://{HOST}:9", sent, duration_seconds=60, rate=10, each_step=step)
    with pytest.raises(LookupError):
        await wait_for_first_answer(f"http://{HOST}:9", sent, each_step=step)


def test_the_shop_is_measured_by_one_line():
    """What a newcomer reads names the SDK once, apart from imports."""
    lines = Path(load.__file__).with_name("shop.py").read_text().splitlines()
    used = [line for line in lines if "perfsdk" in line and "import" not in line]
    assert ["perfsdk.instrument(app)"] == [line.partition("  #")[0] for line in used]
