"""Websockets of aiohttp.web have families of their own, and are in none of HTTP's."""

import asyncio

import pytest
from aiohttp import WSServerHandshakeError, web
from aiohttp.test_utils import TestServer

from perfsdk import exclude, uninstrument
from perfsdk.catalog import METRICS
from perfsdk.request import current
from tests.frameworks.aiohttp_driver import application, ok, open_clients, read
from tests.frameworks.contract.framework import until

clients = pytest.fixture(open_clients)

ACTIVE = "websocket_server_active_connections"
LASTED = "websocket_server_connection_duration_seconds"
MESSAGES = "websocket_server_messages_total"
CLOSES = "websocket_server_closes_total"


async def echo(request):
    """Sends back what comes, until the client closes; some words say what else to do."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.data == "close":
            await socket.close(code=4001)
        elif message.data == "raise":
            raise ValueError
        elif message.type is web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
            await socket.send_json({"bytes": len(message.data)})
    return socket


@pytest.fixture
async def client(measured, clients):
    """A client of an application that echoes at /ws/{room}."""
    return await clients(measured(application(echo, "/ws/{room}", "GET")))


@pytest.fixture
def closes(recording):
    """`await closes({(route, code): count})`: these websockets, and no others, ended."""

    async def check(expected):
        def ended():
            return {
                tuple(labels.values()): recording.value(CLOSES, **labels)
                for labels in recording.series(CLOSES)
            }

        await until(lambda: sum(ended().values()) >= sum(expected.values()), "websockets closed")
        assert expected == ended()
        assert 0 == recording.value(ACTIVE)
        for metric in METRICS:
            if metric.name.startswith("http_server_request"):
                assert [] == recording.series(metric.name), metric.name

    return check


async def test_a_connection(client, recording, closes, active):
    """Open, messages either way, and the code that the client closed it with."""
    async with client.ws_connect("/ws/7") as socket:
        await socket.send_str("hello")
        assert "hello" == await socket.receive_str()
        assert 1 == recording.value(ACTIVE, http_route="/ws/{room}")
        assert (0, False) == active()
        await socket.send_bytes(b"bytes")
        assert b"bytes" == await socket.receive_bytes()
        assert {"bytes": 5} == await socket.receive_json()
        await socket.ping()
        await socket.close(code=1001)
    await closes({("/ws/{room}", "1001"): 1})
    assert 2 == recording.value(MESSAGES, http_route="/ws/{room}", direction="received")
    assert 3 == recording.value(MESSAGES, http_route="/ws/{room}", direction="sent")
    assert 1 == recording.count(LASTED, http_route="/ws/{room}")
    assert 1 == recording.count(LASTED)


async def test_codes_of_the_application_and_of_clients(client, closes):
    """Those of the application are its own; clients could make thousands of series."""
    async with client.ws_connect("/ws/7") as socket:
        await socket.send_str("close")
        await socket.receive()
    for code in range(4100, 4110):
        async with client.ws_connect("/ws/7") as socket:
            await socket.close(code=code)
    await closes({("/ws/{room}", "4001"): 1, ("/ws/{room}", "_OTHER"): 10})


async def test_an_exception_of_the_handler(client, closes, caplog):
    """The connection is dropped, as 1006 says; aiohttp logs the exception."""
    async with client.ws_connect("/ws/7") as socket:
        await socket.send_str("raise")
        await socket.receive()
    await closes({("/ws/{room}", "1006"): 1})
    assert "Error handling request" in caplog.text


async def test_a_client_that_vanishes(client, closes):
    """Without a close frame."""
    async with client.ws_connect("/ws/7") as socket:
        socket._response.connection.transport.abort()
        await closes({("/ws/{room}", "1006"): 1})


async def test_a_server_that_is_stopped(measured, clients, closes):
    """Connections that it drops are closed."""
    server = TestServer(measured(application(echo, "/ws/{room}", "GET")))
    await server.start_server(shutdown_timeout=0.01)
    client = await clients(server)
    socket = await client.ws_connect("/ws/7")
    await server.close()
    await socket.close()
    await closes({("/ws/{room}", "1006"): 1})


async def refuse(request):
    """Answers the handshake with an error."""
    raise web.HTTPForbidden


async def boom(request):
    """Fails before the handshake."""
    raise ValueError


@pytest.mark.parametrize(
    ("handler", "status"), [(refuse, 403), (boom, 500), (ok, 200)], ids=["refuse", "boom", "http"]
)
async def test_a_handshake_that_is_rejected(handler, status, measured, clients, closes):
    """By the handler, by an exception, or by one that knows nothing of websockets."""
    client = await clients(measured(application(handler, "/ws/{room}", "GET")))
    with pytest.raises(WSServerHandshakeError) as raised:
        await client.ws_connect("/ws/7")
    assert status == raised.value.status
    await closes({("/ws/{room}", "rejected"): 1})


async def test_a_handshake_at_an_unknown_path(client, closes):
    """Paths are in no label."""
    for number in range(3):
        with pytest.raises(WSServerHandshakeError):
            await client.ws_connect(f"/nope/{number}")
    await closes({("<unmatched>", "rejected"): 3})


async def test_a_handshake_that_is_none(client, closes):
    """aiohttp refuses it, which is a rejection."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"}
    assert 400 == (await read(client, "/ws/7", headers=headers))[0]
    await closes({("/ws/{room}", "rejected"): 1})


async def test_a_request_without_a_handshake(client, outcomes):
    """For a websocket's route it is HTTP, and answered with an error."""
    assert 400 == (await read(client, "/ws/7"))[0]
    await until(outcomes, "the request")
    assert {("GET", "/ws/{room}", "400", ""): 1} == outcomes()


async def test_a_websocket_that_opted_out(measured, clients, recording):
    """It is in no family."""

    @exclude
    async def silent(request):
        return await echo(request)

    client = await clients(measured(application(silent, "/ws")))
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("hello")
        assert "hello" == await socket.receive_str()
    for name in (ACTIVE, LASTED, MESSAGES, CLOSES):
        assert [] == recording.series(name)


async def test_a_websocket_has_no_account(measured, clients, recording):
    """What it does is not the time of a request; it may live for days."""
    seen = asyncio.Queue()

    async def handler(request):
        seen.put_nowait(current.get())
        return await echo(request)

    client = await clients(measured(application(handler, "/ws")))
    async with client.ws_connect("/ws"):
        assert await seen.get() is None


async def test_uninstrument_with_an_open_websocket(measured, clients):
    """It goes on."""
    app = measured(application(echo, "/ws"))
    client = await clients(app)
    async with client.ws_connect("/ws") as socket:
        uninstrument(app)
        await socket.send_str("hello")
        assert "hello" == await socket.receive_str()


@pytest.mark.usefixtures("swallow_errors")
@pytest.mark.parametrize(
    "name", ["__init__", "_find_template", "accept", "move", "close_with", "end", "_end", "_reject"]
)
async def test_a_failing_function_of_ours(name, measured, clients, monkeypatch):
    """Client and application see nothing of it."""

    def fail(*_):
        raise RuntimeError("inside perfsdk")

    monkeypatch.setattr(f"perfsdk.frameworks.aiohttp_websocket.Connection.{name}", fail)
    client = await clients(measured(application(echo, "/ws")))
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("hello")
        assert "hello" == await socket.receive_str()
        await socket.send_str("close")
        await socket.receive()
        assert 4001 == socket.close_code
