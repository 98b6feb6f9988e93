"""What only aiohttp.web has is right too: its responses, its routes, and how its clients leave."""

import asyncio
import gzip
import io
import zlib
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, FormData, http_parser, web, web_protocol
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from perfsdk import exclude, instrument, uninstrument
from perfsdk.frameworks.aiohttp_routes import RouteFinder
from perfsdk.frameworks.aiohttp_writer import unframed
from perfsdk.request import current
from tests.frameworks.contract.framework import until

DURATION = "http_server_request_duration_seconds"
RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"
FIRST_BYTE = "http_server_time_to_first_byte_seconds"
UNCOMPRESSED = "http_server_uncompressed_bytes_total"
TEXT = "some text that is sent. " * 500


@pytest.fixture
async def clients():
    """`clients(app)`: a client of aiohttp's own for an application, or a server, that it serves."""
    opened = []

    async def open_client(app, **options):
        server = app if isinstance(app, TestServer) else TestServer(app, **options)
        client = TestClient(server, auto_decompress=False)
        opened.append(client)
        await client.start_server()
        return client

    yield open_client
    for client in opened:
        await client.close()


@pytest.fixture
def expect(outcomes):
    """`await expect("GET / 200", ...)`: these were recorded, each once or as often as it is there."""

    async def check(*requests):
        expected = {}
        for request in requests:
            method, route, status, *error_type = request.split(" ")
            key = (method, route, status, "".join(error_type))
            expected[key] = expected.get(key, 0) + 1
        await until(lambda: sum(outcomes().values()) >= len(requests), "requests recorded")
        assert expected == outcomes()

    return check


def application(handler, path="/", method="*", **options):
    """An application with one route."""
    app = web.Application(**options)
    app.router.add_route(method, path, handler)
    return app


async def read(client, path="/", method="GET", **options):
    """The status and the body of one request."""
    async with client.request(method, path, **options) as response:
        return response.status, await response.read()


@given(st.integers(min_value=1, max_value=1 << 40))
def test_a_chunk_is_found_in_its_frame(size):
    """For every size, also where the length has one digit more."""
    assert size == unframed(len(f"{size:x}\r\n") + size + len("\r\n"))


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4095, 4096, 65535, 65536])
def test_a_chunk_at_the_edge_of_a_digit(size):
    """Where a property might look past it."""
    assert size == unframed(len(f"{size:x}\r\n") + size + len("\r\n"))


# Bodies: what they send is what the client of the connection reads.


async def compressed(request):
    """A body that is compressed as a whole."""
    response = web.Response(text=TEXT)
    response.enable_compression()
    return response


async def compressed_stream(request):
    """Parts that are compressed as they are sent."""
    response = web.StreamResponse()
    response.enable_compression(web.ContentCoding.gzip)
    await response.prepare(request)
    for _ in range(20):
        await response.write(TEXT.encode())
    await response.write_eof()
    return response


async def sized_stream(request):
    """Parts of a body whose length is said before."""
    response = web.StreamResponse(headers={"Content-Length": "20"})
    await response.prepare(request)
    await response.write(b"x" * 5)
    await response.write(memoryview(b"y" * 5))
    await response.write_eof(b"z" * 10)
    return response


async def chunks(request):
    """Parts whose lengths take different numbers of digits, the last one with the end."""
    response = web.StreamResponse()
    await response.prepare(request)
    for size in (1, 15, 16, 17, 255, 256, 4096, 70_000):
        await response.write(b"x" * size)
    await response.write_eof(b"end")
    return response


async def file_object(request):
    """A body that aiohttp reads in parts."""
    return web.Response(body=io.BytesIO(TEXT.encode() * 40))


async def generated(request):
    """A body that a generator gives."""

    async def parts():
        for _ in range(3):
            yield b"part"

    return web.Response(body=parts())


async def compressed_file_object(request):
    """Read in parts, compressed, the headers sent with the first part."""
    response = web.Response(body=io.BytesIO(TEXT.encode() * 40))
    response.enable_compression(web.ContentCoding.deflate)
    return response


async def own_payload(request):
    """Text that is given as a body: one part with a length."""
    return web.Response(body=TEXT)


BODIES = [
    compressed,
    compressed_stream,
    sized_stream,
    chunks,
    file_object,
    generated,
    compressed_file_object,
    own_payload,
]


@pytest.mark.parametrize("handler", BODIES, ids=lambda handler: handler.__name__)
async def test_bytes_sent_are_those_of_the_body(handler, measured, clients, recording, expect):
    """Without headers and framing; compressed ones where they were compressed."""
    client = await clients(measured(application(handler)))
    status, body = await read(client, headers={"Accept-Encoding": "gzip, deflate"})
    assert 200 == status
    assert len(body) > 0
    await expect("GET / 200")
    assert len(body) == recording.sum(SENT)


@pytest.mark.parametrize("handler", BODIES, ids=lambda handler: handler.__name__)
async def test_a_measured_body_is_the_body(handler, measured, clients):
    """What the client reads is what it reads of the application alone."""
    bodies = []
    for app in (application(handler), measured(application(handler))):
        client = await clients(app)
        _, body = await read(client, headers={"Accept-Encoding": "gzip, deflate"})
        bodies.append(body)
    assert bodies[0] == bodies[1]


async def test_only_what_could_be_compressed_is_uncompressed(measured, clients, recording, expect):
    """A body that was compressed is not counted, however large it is."""
    client = await clients(measured(application(compressed_stream)))
    _, body = await read(client)
    assert TEXT.encode() * 20 == gzip.decompress(body)
    await expect("GET / 200")
    assert 0 == recording.value(UNCOMPRESSED)


@pytest.mark.parametrize(
    ("headers", "status", "sent"),
    [
        ({}, 200, 100_000),
        ({"Range": "bytes=10-19"}, 206, 10),
        ({"Range": "bytes=900000-"}, 416, 0),
        ({"If-None-Match": "*"}, 304, 0),
        ({"Accept-Encoding": "gzip"}, 200, 7),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
async def test_files(
    headers, status, sent, plain, measured, clients, recording, expect, tmp_path, monkeypatch
):
    """The bytes of a file count whether the kernel sends them or aiohttp does."""
    if plain:
        monkeypatch.setattr("aiohttp.web_fileresponse.NOSENDFILE", True)
    (tmp_path / "large.txt").write_bytes(b"x" * 100_000)
    (tmp_path / "large.txt.gz").write_bytes(b"zip" + b"ped!")
    app = web.Application()
    app.router.add_static("/files", tmp_path)
    client = await clients(measured(app))
    headers = {"Accept-Encoding": "identity", **headers}
    answered, body = await read(client, "/files/large.txt", headers=headers)
    assert (status, sent) == (answered, len(body))
    await expect(f"GET /files {status}")
    assert sent == recording.sum(SENT)


async def test_the_head_of_a_file(measured, clients, recording, expect, tmp_path):
    """Nothing of it is sent; a folder is forbidden, a file of nothing has no bytes."""
    (tmp_path / "empty.txt").touch()
    (tmp_path / "large.txt").write_bytes(b"x" * 100_000)
    app = web.Application()
    app.router.add_static("/", tmp_path)
    client = await clients(measured(app))
    assert (200, b"") == await read(client, "/large.txt", "HEAD")
    assert (200, b"") == await read(client, "/empty.txt")
    assert 403 == (await read(client, "/"))[0]
    await expect("HEAD / 200", "GET / 200", "GET / 403")
    assert len(b"403: Forbidden") == recording.sum(SENT)


async def test_a_request_body_that_is_not_read(measured, clients, recording, expect):
    """What came of it counts; what was read of a form too."""

    async def handler(request):
        if request.content_type == "multipart/form-data":
            form = await request.post()
            return web.Response(text=form["file"].filename)
        return web.Response()

    client = await clients(measured(application(handler)))
    assert 200 == (await read(client, method="POST", data=b"x" * 3000))[0]
    await expect("POST / 200")
    assert recording.sum(RECEIVED) <= 3000
    form = FormData()
    form.add_field("file", b"y" * 5000, filename="a.txt")
    before = recording.sum(RECEIVED)
    assert (200, b"a.txt") == await read(client, method="POST", data=form)
    await expect("POST / 200", "POST / 200")
    assert recording.sum(RECEIVED) - before > 5000


async def test_a_compressed_upload_has_the_bytes_that_came(measured, clients, recording, expect):
    """Not those after decompression, where aiohttp tells the difference."""
    body = zlib.compress(TEXT.encode())

    async def handler(request):
        await request.read()
        tells = hasattr(request.content, "total_raw_bytes")
        return web.Response(text=str(len(body) if tells else len(TEXT)))

    client = await clients(measured(application(handler)))
    status, told = await read(
        client, method="POST", data=body, headers={"Content-Encoding": "deflate"}
    )
    assert 200 == status
    await expect("POST / 200")
    assert int(told) == recording.sum(RECEIVED)


async def test_an_expectation_is_no_response(measured, clients, recording, expect):
    """`100 Continue` goes before it: the status and the bytes are those of the answer."""

    async def handler(request):
        return web.Response(text=str(len(await request.read())))

    client = await clients(measured(application(handler)))
    assert (200, b"5000") == await read(client, method="POST", data=b"x" * 5000, expect100=True)
    headers = {"Expect": "the unexpected"}
    assert 417 == (await read(client, headers=headers))[0]
    await expect("POST / 200", "GET / 417")
    assert 4 == recording.sum(SENT, http_request_method="POST")


@pytest.mark.parametrize(
    ("handler", "streamed"),
    [(chunks, True), (generated, True), (sized_stream, True), (own_payload, False)],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_streams_have_a_first_byte(handler, streamed, measured, clients, recording, expect):
    """A body that is sent in one piece is none."""
    client = await clients(measured(application(handler)))
    await read(client)
    await expect("GET / 200")
    await until(lambda: recording.count(FIRST_BYTE) == streamed, "the first byte")


# Outcomes.


def raising(error):
    """A handler that raises."""

    async def handler(request):
        raise error() if isinstance(error, type) else error

    return handler


@pytest.mark.parametrize(
    ("error", "recorded"),
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
async def test_what_handlers_raise(error, recorded, measured, clients, expect, caplog):
    """An exception that is a response is one; others are server errors, which aiohttp logs."""
    client = await clients(measured(application(raising(error), "/{x}")))
    status, _ = await read(client, "/a")
    assert status == int(recorded[:3])
    await expect(f"GET /{{x}} {recorded}")
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
    except OSError:  # before 3.10 aiohttp closes the connection
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
    with pytest.raises(OSError):
        await read(client)
    await expect("GET / 500 LookupError")
    assert "Unhandled exception" in caplog.text


async def test_a_body_that_fails_on_the_way(measured, clients, expect, active):
    """The status as it was sent, with the class of the error."""

    async def parts():
        yield b"part"
        raise LookupError

    async def handler(request):
        return web.Response(body=parts())

    client = await clients(measured(application(handler)))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whichever aiohttp's client raises
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

    client = await clients(measured(application(handler, "/{x}")))
    for path in ("/a", "/boom"):
        with pytest.raises(asyncio.TimeoutError):
            await read(client, path, timeout=ClientTimeout(total=0.05))
        transport = await waiting.get()
        await until(transport.is_closing, "the connection is lost")
    release.set()
    await expect("GET /{x} 200 client_disconnect", "GET /{x} 499 client_disconnect")
    await until(lambda: active() == (0, False), "no active request")


async def test_a_client_that_left_during_its_upload(measured, clients, expect, active):
    """The read that fails for it is no failure of the application."""
    reading = asyncio.Event()

    async def handler(request):
        reading.set()
        await request.read()
        return web.Response()

    client = await clients(measured(application(handler)))
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
    await reading.wait()
    writer.close()
    await expect("POST / 499 client_disconnect")
    await until(lambda: active() == (0, False), "no active request")
    del reader


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


# Routes.


class Items(web.View):
    """A class of handlers."""

    async def get(self):
        """Say which item."""
        return web.Response(text=self.request.match_info["id"])


@exclude
class Hidden(Items):
    """One that opted out."""


async def ok(request):
    """A handler."""
    return web.Response(text="ok")


async def test_templates(measured, clients, expect):
    """Regular expressions are no part of them, prefixes of nested applications are."""
    inner = web.Application()
    inner.router.add_get("/{name}", ok)
    outer = web.Application()
    outer.router.add_get("/", ok)
    outer.add_subapp("/inner", inner)
    app = web.Application()
    app.router.add_view(r"/items/{id:\d+}", Items)
    app.router.add_view("/hidden/{id}", Hidden)
    app.router.add_route("*", "/any", ok)
    app.add_subapp("/outer", outer)
    client = await clients(measured(app))
    for path in ("/items/7", "/any", "/outer/", "/outer/inner/me", "/hidden/7"):
        assert 200 == (await read(client, path))[0], path
    assert 404 == (await read(client, "/items/seven"))[0]
    assert 404 == (await read(client, "/outer/nope/nope"))[0]
    await expect(
        "GET /items/{id} 200",
        "GET /any 200",
        "GET /outer/ 200",
        "GET /outer/inner/{name} 200",
        "GET <unmatched> 404",
        "GET <unmatched> 404",
    )


async def test_methods_that_are_not_allowed(measured, clients, expect):
    """Under the template, also in applications inside and in class-based views."""
    inner = web.Application()
    inner.router.add_get("/{name}", ok)
    domain = web.Application()
    domain.router.add_put("/of/{domain}", ok)
    app = web.Application()
    app.router.add_get("/items/{id}", ok)
    app.router.add_post("/items/{id}", ok)
    app.router.add_view("/views/{id}", Items)
    app.add_subapp("/inner", inner)
    app.add_domain("*.example.org", domain)
    client = await clients(measured(app))
    for path in ("/items/7", "/views/7", "/inner/me"):
        assert 405 == (await read(client, path, "DELETE"))[0], path
    headers = {"Host": "a.example.org"}
    assert 405 == (await read(client, "/of/7", "DELETE", headers=headers))[0]
    assert 200 == (await read(client, "/of/7", "PUT", headers=headers))[0]
    await expect(
        "DELETE /items/{id} 405",
        "DELETE /views/{id} 405",
        "DELETE /inner/{name} 405",
        "DELETE /of/{domain} 405",
        "PUT /of/{domain} 200",
    )


async def test_what_clients_choose_makes_no_series(measured, clients, recording, monkeypatch):
    """1,000 paths, 100 methods and 100 hosts: three routes, one more method."""
    monkeypatch.setattr(web_protocol, "HttpRequestParser", http_parser.HttpRequestParserPy)
    app = application(ok, "/items/{id}")
    app.add_domain("*.example.org", application(ok, "/domain"))
    client = await clients(measured(app))
    for number in range(1000):
        assert 404 == (await read(client, f"/{number}/x"))[0]
    for number in range(100):
        assert 200 == (await read(client, f"/items/{number}", f"MADE-UP-{number}"))[0]
        headers = {"Host": f"h{number}.example.org"}
        assert 200 == (await read(client, "/domain", headers=headers))[0]
    await until(lambda: 1200 == recording.count(DURATION), "all requests")
    assert 3 == len(recording.series(DURATION))
    routes = {labels["http_route"] for labels in recording.series(DURATION)}
    assert {"<unmatched>", "/items/{id}", "/domain"} == routes
    assert 100 == recording.count(DURATION, http_request_method="_OTHER")


async def test_a_middleware_that_hands_on_a_clone(measured, clients, expect):
    """Template, sizes and account are those of the request."""
    seen = []

    @web.middleware
    async def cloning(request, handler):
        return await handler(request.clone(headers={"Host": "b"}))

    async def handler(request):
        seen.append(current.get())
        return web.Response(text="ok")

    app = application(handler, "/{x}", middlewares=[cloning])
    client = await clients(measured(app))
    assert 200 == (await read(client, "/a"))[0]
    await expect("GET /{x} 200")
    assert [None] != seen


@pytest.mark.parametrize(
    ("owner", "name", "route"),
    [
        (web.PlainResource, "canonical", "<unresolved>"),
        (web.UrlMappingMatchInfo, "route", "<unresolved>"),
        (web.Request, "match_info", "<unrouted>"),
    ],
)
async def test_an_unknown_structure_of_routes(
    owner, name, route, measured, clients, outcomes, recording, monkeypatch
):
    """The request is counted, as one whose route cannot be told."""
    client = await clients(measured(application(ok, "/a")))
    find = RouteFinder.find

    def find_without(self, request, status):
        with monkeypatch.context() as hidden:
            hidden.setattr(owner, name, None)
            return find(self, request, status)

    monkeypatch.setattr(RouteFinder, "find", find_without)
    assert 200 == (await read(client, "/a"))[0]
    await until(outcomes, "the request")
    assert {("GET", route, "200", ""): 1} == outcomes()
    unresolved = recording.value("perfsdk_unresolved_routes_total", framework="aiohttp")
    assert unresolved == (route == "<unresolved>")


# What is measured, and what is not.


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
    app = application(chunks)
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
    from aiohttp.http_writer import StreamWriter

    assert isinstance(writer, StreamWriter)
    await until(lambda: type(writer) is StreamWriter, "the class itself")
    assert StreamWriter.__name__ == name


async def test_a_replaced_method_of_the_application(measured, clients, expect):
    """Somebody wraps `_handle` of the instance: it is still that application."""
    from functools import wraps

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
    import subprocess
    import sys

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
