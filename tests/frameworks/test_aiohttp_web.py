"""aiohttp.web keeps the contract of frameworks; its neighbours in the process are left alone."""

import asyncio
import subprocess
import sys
from functools import wraps
from pathlib import Path
from types import MappingProxyType

import pytest
from aiohttp import ClientSession, web, web_app, web_protocol
from aiohttp.http_writer import StreamWriter
from aiohttp.web_middlewares import normalize_path_middleware

import perfsdk
from perfsdk import instrument, uninstrument
from perfsdk.request import current
from tests.frameworks.aiohttp_driver import application, make_expect, ok, open_clients, read
from tests.frameworks.contract.framework import until
from tests.frameworks.contract.stage import HELLO, LARGE, Handled
from tests.frameworks.http_contract import ServerContract
from tests.servers import HOST

clients = pytest.fixture(open_clients)
expect = pytest.fixture(make_expect)

DURATION = "http_server_request_duration_seconds"


async def serve(app, **options):
    """Serve an application in the running loop: its port, and what stops it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **options)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    return site._server.sockets[0].getsockname()[1], runner.cleanup


@web.middleware
async def deny(request, handler):
    """Answers with the status in the header `x-deny`."""
    status = request.headers.get("x-deny")
    return web.Response(text="no", status=int(status)) if status else await handler(request)


@web.middleware
async def answer_handled(request, handler):
    """The application's own handler."""
    try:
        return await handler(request)
    except Handled:
        return web.Response(text="teapot", status=418)


def answer(text, status=200):
    """A handler that always gives this answer."""

    async def handler(request):
        return web.Response(text=text, status=status)

    return handler


def parameter(name):
    """A handler that answers with one of the parameters in the path."""

    async def handler(request):
        return web.Response(text=request.match_info[name])

    return handler


def streaming(chunks):
    """A handler that streams what `chunks()` yields."""

    async def handler(request):
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in chunks():
            await response.write(chunk)
        return response

    return handler


def then(work):
    """A handler that sends its response by itself, and goes on."""

    async def handler(request):
        response = web.Response(text=HELLO)
        await response.prepare(request)
        await response.write_eof()
        await work()
        return response

    return handler


async def echo(request):
    """The length of the body."""
    return web.Response(text=str(len(await request.read())))


async def empty(request):
    """Nothing, by its status."""
    return web.Response(status=204)


async def not_modified(request):
    """The same."""
    return web.Response(status=304)


@perfsdk.exclude
async def opted_out(request):
    """Not to be measured."""
    return web.Response(text=HELLO)


async def echo_socket(request):
    """Sends one message back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(await socket.receive_str())
    await socket.close()
    return socket


def including(**handlers):
    """An application with these GET routes, written with `_` for what is no name."""
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    return app


def stage_routes(stage):
    """The routes whose work is the stage's."""

    async def plain(request):
        return web.Response(text=stage.plain())

    async def boom(request):
        stage.boom()

    async def handled(request):
        stage.handled()

    async def wait(request):
        await stage.wait_async("wait")
        return web.Response(text=HELLO)

    return [
        web.get("/plain", plain),
        web.get("/boom", boom),
        web.get("/handled", handled),
        web.get("/wait", wait),
        web.get("/stream", streaming(stage.chunks_async)),
        web.get("/stream-breaks", streaming(stage.breaking_chunks_async)),
        web.get("/endless", streaming(stage.endless_chunks_async)),
        web.get("/background", then(stage.background_async)),
        web.get("/background-raises", then(stage.background_raises_async)),
    ]


class TestAiohttpContract(ServerContract):
    """aiohttp.web through its own server, with sub-applications for what is mounted."""

    modules = (
        "perfsdk.frameworks.aiohttp_web",
        "perfsdk.frameworks.aiohttp_exchange",
        "perfsdk.frameworks.aiohttp_routes",
    )
    way_in = (
        "aiohttp_web.serve",
        "aiohttp_web.measured_by",
        "Exchange.begin_response",
        "Exchange.count_headers",
        "Exchange.count",
        "Exchange.broke",
    )
    templates = MappingProxyType(
        {
            "/files/{p:path}": "/files/{p}",
            "<unrouted>": "/plain",  # aiohttp finds the route before it asks the middleware
        }
    )
    without = MappingProxyType(
        {
            "mounts with parameters": "the prefix of a sub-application is a constant",
            "added middleware": "the list is frozen when the application is served",
        }
    )

    async def start(self, app):
        return await serve(app, handler_cancellation=True)

    async def forget_servers(self):
        await super().forget_servers()
        web_app._cached_build_middleware.cache_clear()  # aiohttp's own: it holds applications

    def make_app(self, stage):
        app = web.Application(
            middlewares=[deny, answer_handled, normalize_path_middleware(merge_slashes=False)]
        )
        app.add_routes(
            [
                *stage_routes(stage),
                web.get("/items/{item_id}", parameter("item_id")),
                web.post("/echo", echo),
                web.get("/unavailable", answer("no", 503)),
                web.get("/empty", empty),
                web.get("/not-modified", not_modified),
                web.get("/large", answer(LARGE)),
                web.get("/files/{p:.*}", parameter("p")),
                web.get("/slash/{n}/", answer(HELLO)),
                web.static("/static", stage.directory),
                web.get("/opted-out", opted_out),
                web.get("/opted-out/{n}", answer(HELLO)),
                web.get("/healthz", answer(HELLO)),
                web.get("/ws/{room}", echo_socket),
            ]
        )
        stage.mounted = including(**{"/hello/{name}": parameter("name")})
        app.add_subapp("/sub", stage.mounted)
        for prefix in ("/v1", "/v2"):
            app.add_subapp(prefix, including(**{"/things/{id}": parameter("id")}))
        return app


async def test_neighbours_are_not_measured(measured, clients, expect):
    """Other applications, low-level servers and clients of the same process."""
    ours, other = application(ok), application(ok, "/other")

    async def low_level(request):
        return web.Response(text=str(current.get()))

    client = await clients(measured(ours))
    neighbour = await clients(other)
    assert 200 == (await read(neighbour, "/other"))[0]
    server = web.Server(low_level)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}") as response:
        assert "None" == await response.text()
    await runner.cleanup()
    assert 200 == (await read(client))[0]
    await expect("GET / 200")


async def test_bad_requests_reach_no_application(measured, clients, expect, outcomes):
    """What is no HTTP is answered by aiohttp alone."""
    client = await clients(measured(application(ok)))
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"this is no HTTP\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.0 400")
    writer.close()
    assert {} == outcomes()
    assert 200 == (await read(client))[0]
    await expect("GET / 200")


async def test_requests_of_one_connection(measured, clients, recording):
    """Each has an account of its own, also when they are sent at once."""
    accounts = []

    async def handler(request):
        accounts.append(current.get())
        return web.Response(text="ok")

    client = await clients(measured(application(handler)))
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
    for _ in range(10):
        await reader.readuntil(b"ok")
    writer.close()
    await until(lambda: 10 == recording.count(DURATION), "ten requests")
    assert 10 == len(set(map(id, accounts)))
    assert None not in accounts


async def test_an_application_that_is_served_already(measured, clients, expect):
    """The next request is measured; after `uninstrument` none is."""
    app = application(ok)
    client = await clients(app)
    await read(client)
    assert app is measured(app)
    await read(client)
    await expect("GET / 200")
    assert app is uninstrument(app)
    await read(client)
    await expect("GET / 200")


async def test_uninstrument_in_the_middle_of_a_request(measured, clients):
    """It is answered all the same."""
    app = application(ok)
    release = asyncio.Event()

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"before ")
        uninstrument(app)
        release.set()
        await response.write(b"after")
        return response

    app.router.add_get("/this", handler)
    client = await clients(measured(app))
    assert (200, b"before after") == await read(client, "/this")
    assert release.is_set()


def test_uninstrument_restores_the_classes(measured):
    """Each has the identical attributes again."""
    kinds = (web_protocol.RequestHandler, web.FileResponse, web.WebSocketResponse, web.Response)
    before = [dict(vars(kind)) for kind in kinds]
    app = measured(application(ok))
    assert before != [dict(vars(kind)) for kind in kinds]
    uninstrument(app)
    for kind, attributes in zip(kinds, before, strict=True):
        assert attributes.keys() == vars(kind).keys()
        assert all(vars(kind)[name] is value for name, value in attributes.items())


async def test_the_writer_is_one_of_its_class(measured, clients):
    """While a request is served, and the very same object again after it."""
    seen = []

    async def handler(request):
        seen.append((request.writer, type(request.writer).__name__))
        return web.Response()

    client = await clients(measured(application(handler)))
    await read(client)
    ((writer, name),) = seen
    await until(lambda: type(writer).__name__ == name, "the end")
    assert isinstance(writer, StreamWriter)
    await until(lambda: type(writer) is StreamWriter, "the class itself")
    assert StreamWriter.__name__ == name


async def test_a_replaced_method_of_the_application(measured, clients, expect):
    """Somebody wraps `_handle` of the instance: it is still that application."""
    app = measured(application(ok))
    inner = app._handle

    @wraps(inner)
    async def outer(request):
        return await inner(request)

    vars(app)["_handle"] = outer
    client = await clients(app)
    assert 200 == (await read(client))[0]
    await expect("GET / 200")


def test_no_warning_of_foreign_attributes(tmp_path):
    """In the development mode of Python aiohttp warns of attributes that are not its own."""
    program = """
from aiohttp import web
import perfsdk
app = perfsdk.instrument(web.Application())
perfsdk.uninstrument()
"""
    subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::DeprecationWarning:aiohttp", "-c", program],
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PERFSDK_DIR": str(tmp_path), "PATH": ""},
    )


def test_instrument_imports_no_framework(measured):
    """What is no application of aiohttp.web is told without it."""
    with pytest.raises(TypeError):
        instrument(web.Application)
