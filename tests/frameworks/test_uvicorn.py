"""Through a real server and real connections: what clients get and what is recorded of it."""

import asyncio
import gc
import http.client
import logging
import threading

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from perfsdk import instrumentation
from perfsdk.frameworks.exchange import Exchange
from tests.servers import HOST, free_port, wait_until

DURATION = "http_server_request_duration_seconds"
RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"


async def hello(request):
    """A short answer."""
    return PlainTextResponse("hello")


async def echo(request):
    """The length of the body."""
    return PlainTextResponse(str(len(await request.body())))


async def stream(request):
    """Five parts without a length."""

    async def parts():
        for _ in range(5):
            yield b"part!"

    return StreamingResponse(parts())


async def endless(request):
    """Parts until the client leaves."""

    async def parts():
        while True:
            yield b"x" * 10_000
            await asyncio.sleep(0.001)

    return StreamingResponse(parts())


async def fail(request):
    """An error."""
    raise ValueError


def make():
    """An application with all of that."""
    return Starlette(
        routes=[
            Route("/hello/{name}", hello),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/endless", endless),
            Route("/fail", fail),
        ]
    )


@pytest.fixture(params=["h11", "httptools"])
def connect(request, measured, caplog):
    """Opens connections to a server of the instrumented application."""
    caplog.set_level(logging.CRITICAL, "uvicorn")
    port = free_port()
    config = uvicorn.Config(
        measured(make()), host=HOST, port=port, http=request.param, log_config=None, loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    connections = []

    def open_connection():
        connections.append(http.client.HTTPConnection(HOST, port, timeout=10))
        return connections[-1]

    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield open_connection
    finally:
        for connection in connections:
            connection.close()
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def ask(connection, path, method="GET", body=None):
    """Status and body of an answer."""
    connection.request(method, path, body=body)
    response = connection.getresponse()
    return response.status, response.read()


def wait_for(outcomes, expected):
    """The outcomes as soon as they are these; the client has its answer a moment earlier."""
    wait_until(lambda: sum(outcomes().values()) >= sum(expected.values()))
    assert expected == outcomes()


def test_everything_on_one_connection(connect, outcomes, recording, active):
    """Kept alive: short, long, streamed and failing answers, HEAD, 404, 405 and a large body."""
    connection = connect()
    body = b"x" * 1_000_000
    assert (200, b"hello") == ask(connection, "/hello/me")
    assert (200, b"") == ask(connection, "/hello/me", "HEAD")
    assert (200, b"1000000") == ask(connection, "/echo", "POST", body)
    assert (200, b"part!" * 5) == ask(connection, "/stream")
    assert 404 == ask(connection, "/nope")[0]
    assert 405 == ask(connection, "/echo")[0]
    assert 307 == ask(connection, "/hello/me/")[0]
    assert (200, b"hello") == ask(connection, "/hello/you")
    assert (500, b"Internal Server Error") == ask(connection, "/fail")
    expected = {
        ("GET", "/hello/{name}", "200", ""): 2,
        ("HEAD", "/hello/{name}", "200", ""): 1,
        ("POST", "/echo", "200", ""): 1,
        ("GET", "/stream", "200", ""): 1,
        ("GET", "<unmatched>", "404", ""): 1,
        ("GET", "/echo", "405", ""): 1,
        ("GET", "<redirect>", "307", ""): 1,
        ("GET", "/fail", "500", "ValueError"): 1,
    }
    wait_for(outcomes, expected)
    assert 1_000_000 == recording.sum(RECEIVED, http_route="/echo")
    assert 25 == recording.sum(SENT, http_route="/stream")
    assert 0 == recording.sum(SENT, http_request_method="HEAD")
    assert 10 == recording.sum(SENT, http_route="/hello/{name}")
    assert (0, False) == active()


def test_a_client_that_leaves_a_stream(connect, outcomes, active):
    """The connection is closed in the middle: status as sent, no server error."""
    connection = connect()
    connection.request("GET", "/endless")
    response = connection.getresponse()
    assert 10_000 == len(response.read(10_000))
    assert (1, True) == active()
    response.close()
    connection.close()
    wait_for(outcomes, {("GET", "/endless", "200", "client_disconnect"): 1})
    assert (0, False) == active()


def test_a_client_that_breaks_off_an_upload(connect, outcomes, active):
    """Half a body: no server error."""
    connection = connect()
    connection.putrequest("POST", "/echo")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b"x" * 500)
    wait_until(lambda: active() == (1, True))
    connection.close()
    wait_for(outcomes, {("POST", "/echo", "499", "client_disconnect"): 1})
    assert (0, False) == active()


def test_many_connections_at_once(connect, outcomes, active, recording):
    """Every request of every client is counted once."""

    def client():
        connection = connect()
        for number in range(50):
            assert (200, b"hello") == ask(connection, f"/hello/{number}")
            assert (200, b"3") == ask(connection, "/echo", "POST", b"abc")

    clients = [threading.Thread(target=client) for _ in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(30)
    expected = {
        ("GET", "/hello/{name}", "200", ""): 300,
        ("POST", "/echo", "200", ""): 300,
    }
    wait_for(outcomes, expected)
    assert 900 == recording.sum(RECEIVED)
    assert (0, False) == active()


def test_the_server_keeps_nothing_of_a_request(connect):
    """When a request has ended it is freed, without the garbage collector."""

    def kept():
        return sum(isinstance(one, Exchange) for one in gc.get_objects())

    connection = connect()
    gc.collect()
    gc.disable()
    try:
        before = kept()
        for _ in range(50):
            ask(connection, "/hello/me")
            ask(connection, "/stream")
        # The last one may still be in the hands of the server's connection.
        wait_until(lambda: kept() <= before + 1, 5)
    finally:
        gc.enable()
    assert {} == instrumentation._running.http_server._serving
