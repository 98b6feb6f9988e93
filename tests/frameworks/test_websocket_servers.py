"""WebSockets through real servers and a real client: exact counts, and the codes they tell."""

import asyncio
import logging
import socket
import threading
from contextlib import contextmanager

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.frameworks.contract.framework import until
from tests.frameworks.websocket_driver import ACTIVE, LASTED, MESSAGES, read_closes
from tests.servers import HOST, free_port, wait_until

SERVERS = ["auto", "wsproto", "hypercorn"]
"""Implementations of uvicorn, the first by `websockets`; and another server."""
ROUTE = "/ws/{room}"


async def echo(websocket):
    """Sends back what comes; some words say what else to do."""
    await websocket.accept()
    async for word in websocket.iter_text():
        if word == "raise":
            raise ValueError
        if word == "return":
            return
        if word == "close":
            await websocket.close(4001)
            return
        await websocket.send_text(word)


async def refuse(websocket):
    """Turns everybody away."""
    await websocket.close()


def make():
    """An application with both."""
    return Starlette(routes=[WebSocketRoute(ROUTE, echo), WebSocketRoute("/refuse", refuse)])


@contextmanager
def uvicorn_server(app, port, protocol):
    """A uvicorn in a thread, until the block ends."""
    config = uvicorn.Config(app, host=HOST, port=port, ws=protocol, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@contextmanager
def hypercorn_server(app, port, _):
    """A Hypercorn in a thread, until the block ends."""
    config = hypercorn.config.Config()
    config.bind = [f"{HOST}:{port}"]
    config.accesslog = config.errorlog = None
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    serving = hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)
    thread = threading.Thread(target=loop.run_until_complete, args=[serving])
    thread.start()
    try:
        wait_until(lambda: socket.create_connection((HOST, port), 1).close() is None)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture(params=SERVERS)
def protocol(request):
    """How the application is served."""
    return request.param


@pytest.fixture
def join(protocol, measured, caplog):
    """`join(room)` opens a connection to a server of the measured application."""
    caplog.set_level(logging.CRITICAL)
    port = free_port()
    start = hypercorn_server if protocol == "hypercorn" else uvicorn_server

    with start(measured(make()), port, protocol):
        yield lambda path="/ws/7": connect(f"ws://{HOST}:{port}{path}", open_timeout=10)


@pytest.fixture
def ended(recording):
    """`await ended({(route, code): count})`: these connections, and no others, ended."""

    async def check(expected):
        total = sum(expected.values())
        await until(lambda: sum(read_closes(recording).values()) >= total, "connections ended")
        assert expected == read_closes(recording)
        assert 0 == recording.value(ACTIVE)

    return check


async def test_several_connections(join, recording, ended):
    """Open at once, with messages either way; none is a request."""
    async with join("/ws/1") as one, join("/ws/2") as two, join("/ws/3") as three:
        await until(lambda: recording.value(ACTIVE, http_route=ROUTE) == 3, "all are open")
        for client, count in ((one, 1), (two, 20), (three, 300)):
            for number in range(count):
                await client.send(str(number))
            assert [str(n) for n in range(count)] == [await client.recv() for _ in range(count)]
        for client in (one, two, three):
            await client.send("close")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert 4001 == closed.value.rcvd.code
    await ended({(ROUTE, "4001"): 3})
    assert 324 == recording.value(MESSAGES, http_route=ROUTE, direction="received")
    assert 321 == recording.value(MESSAGES, http_route=ROUTE, direction="sent")
    assert 3 == recording.count(LASTED, http_route=ROUTE)
    assert [] == recording.series("http_server_request_duration_seconds")


async def test_a_client_that_closes(join, protocol, ended):
    """Its code, where the server tells it: Hypercorn tells the application 1006."""
    async with join() as client:
        await client.close(1001)
    await ended({(ROUTE, "1006" if protocol == "hypercorn" else "1001"): 1})


async def test_a_client_that_vanishes(join, protocol, ended):
    """Without a close frame: uvicorn calls that 1005."""
    async with join() as client:
        await client.send("hello")
        await client.recv()
        client.transport.abort()
    await ended({(ROUTE, "1005" if protocol != "hypercorn" else "1006"): 1})


async def test_an_application_that_raises_or_returns(join, protocol, ended):
    """Told apart, though servers do the same: uvicorn hangs up, Hypercorn closes with 1011."""
    for word in ("raise", "return"):
        async with join() as client:
            await client.send(word)
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            told = closed.value.rcvd and closed.value.rcvd.code
            assert (1011 if protocol == "hypercorn" else None) == told
    await ended({(ROUTE, "1011"): 1, (ROUTE, "1006"): 1})


async def test_handshakes_that_are_turned_away(join, ended):
    """By the application and by the router: the client gets a 403."""
    for path in ("/refuse", "/nope/1", "/nope/2"):
        with pytest.raises(InvalidStatus) as answer:
            async with join(path):
                pass
        assert 403 == answer.value.response.status_code
    await ended({("/refuse", "rejected"): 1, ("<unmatched>", "rejected"): 2})
