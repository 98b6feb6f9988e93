"""How requests of aiohttp.web end: what handlers raise, and how clients leave."""

import asyncio

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer

from tests.frameworks.aiohttp_driver import (
    PatientServer,
    application,
    make_expect,
    open_clients,
    read,
)
from tests.frameworks.contract.framework import until

clients = pytest.fixture(open_clients)
expect = pytest.fixture(make_expect)

SENT = "http_server_response_body_size_bytes"


def raising(error):
    """A handler that raises."""

    async def handler(request):
        raise error() if isinstance(error, type) else error

    return handler


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (web.HTTPNotFound, "404"),
        (web.HTTPForbidden, "403"),
        (web.HTTPNoContent, "204"),
        (web.HTTPServiceUnavailable, "503 HTTPServiceUnavailable"),
        (ZeroDivisionError, "500 ZeroDivisionError"),
        (asyncio.TimeoutError, "504 TimeoutError"),
        (ConnectionRefusedError, "500 ConnectionRefusedError"),
    ],
)
async def test_what_handlers_raise(error, answered, measured, clients, expect, caplog):
    """An exception that is a response is one; others are server errors, which aiohttp logs."""
    client = await clients(measured(application(raising(error), "/{x}")))
    status, _ = await read(client, "/a")
    assert status == int(answered[:3])
    await expect(f"GET /{{x}} {answered}")
    logged = [r for r in caplog.records if r.exc_info and r.exc_info[0] is error]
    assert len(logged) == (error in {ZeroDivisionError, ConnectionRefusedError})


async def test_a_redirect_of_the_application_has_its_template(measured, clients, expect):
    """It is an answer like others."""
    client = await clients(measured(application(raising(web.HTTPFound("/b")), "/{x}")))
    assert 302 == (await read(client, "/a", allow_redirects=False))[0]
    await expect("GET /{x} 302")


async def test_a_handler_that_returns_nothing(measured, clients, outcomes):
    """aiohttp answers a server error, or nothing."""

    async def handler(request):
        return None

    client = await clients(measured(application(handler)))
    try:
        assert 500 == (await read(client))[0]
        error_type = "500"
    except ClientError:  # before 3.10 aiohttp closes the connection
        error_type = "RuntimeError"
    await until(outcomes, "the request")
    assert {("GET", "/", "500", error_type): 1} == outcomes()


async def test_a_response_that_cannot_be_prepared(measured, clients, expect, caplog):
    """The client gets nothing: a server error of this class."""

    async def handler(request):
        return web.Response()

    async def prepare(request, response):
        raise LookupError

    app = application(handler)
    app.on_response_prepare.append(prepare)
    client = await clients(measured(app))
    with pytest.raises(ClientError):
        await read(client, method="POST")  # clients make a GET again
    await expect("POST / 500 LookupError")
    assert "Unhandled exception" in caplog.text


async def test_a_body_that_fails_on_the_way(measured, clients, expect, active):
    """The status as it was sent, with the class of the error."""

    async def parts():
        yield b"part"
        raise LookupError

    async def handler(request):
        return web.Response(body=parts())

    client = await clients(measured(application(handler)))
    with pytest.raises(ClientError):
        await read(client)
    await expect("GET / 200 LookupError")
    await until(lambda: active() == (0, False), "no active request")


async def test_a_client_that_left_before_the_answer(measured, clients, expect, active):
    """aiohttp goes on by default: what it then cannot send is no server error."""
    release = asyncio.Event()
    waiting = asyncio.Queue()

    async def handler(request):
        waiting.put_nowait(request.transport)
        await release.wait()
        if request.path == "/boom":
            raise ValueError
        return web.Response()

    client = await clients(PatientServer(measured(application(handler, "/{x}"))))
    for path in ("/a", "/boom"):
        with pytest.raises(asyncio.TimeoutError):
            await read(client, path, timeout=ClientTimeout(total=0.05))
        transport = await waiting.get()
        await until(transport.is_closing, "the connection is lost")
    release.set()
    await expect("GET /{x} 200 client_disconnect", "GET /{x} 499 client_disconnect")
    await until(lambda: active() == (0, False), "no active request")


@pytest.mark.parametrize("server", [TestServer, PatientServer])
async def test_a_client_that_left_during_its_upload(server, measured, clients, expect, active):
    """The read that fails for it is no failure of the application."""
    reading = asyncio.Event()

    async def handler(request):
        reading.set()
        await request.read()
        return web.Response()

    client = await clients(server(measured(application(handler))))
    _, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
    await reading.wait()
    writer.close()
    await expect("POST / 499 client_disconnect")
    await until(lambda: active() == (0, False), "no active request")


async def test_a_client_that_leaves_a_file(measured, clients, outcomes, recording, tmp_path):
    """Status as sent, and the bytes that the kernel took."""
    (tmp_path / "large").write_bytes(b"x" * 50_000_000)
    app = web.Application()
    app.router.add_static("/files", tmp_path)
    client = await clients(measured(app))
    reader, writer = await asyncio.open_connection(client.host, client.port, limit=4096)
    writer.write(b"GET /files/large HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readline()
    writer.transport.abort()
    await until(outcomes, "the request")
    assert {("GET", "/files", "200", "client_disconnect"): 1} == outcomes()
    assert 0 < recording.sum(SENT) < 50_000_000


async def test_a_server_that_is_stopped_in_a_request(measured, expect, active):
    """The handler is cancelled: one sample, nothing left in service."""
    started = asyncio.Event()

    async def handler(request):
        started.set()
        await asyncio.sleep(60)

    server = TestServer(measured(application(handler)))
    await server.start_server(shutdown_timeout=0.01)
    async with ClientSession() as session:
        asking = asyncio.create_task(session.get(server.make_url("/")))
        await started.wait()
        await server.close()
        await asyncio.gather(asking, return_exceptions=True)
    await expect("GET / 499 client_disconnect")
    assert (0, False) == active()
