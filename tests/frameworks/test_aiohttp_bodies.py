"""Sizes of aiohttp.web's bodies are those on the wire, whichever way aiohttp sends them."""

import gzip
import io
import zlib

import pytest
from aiohttp import FormData, web
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.frameworks.aiohttp_writer import unframed
from tests.frameworks.aiohttp_driver import application, make_expect, open_clients, read
from tests.frameworks.contract.framework import until

clients = pytest.fixture(open_clients)
expect = pytest.fixture(make_expect)

RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"
FIRST_BYTE = "http_server_time_to_first_byte_seconds"
UNCOMPRESSED = "http_server_uncompressed_bytes_total"
TEXT = "some text that is sent. " * 500


@given(st.integers(min_value=1, max_value=1 << 40))
def test_a_chunk_is_found_in_its_frame(size):
    """For every size, also where the length has one digit more."""
    assert size == unframed(len(f"{size:x}\r\n") + size + len("\r\n"))


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4095, 4096, 65535, 65536])
def test_a_chunk_at_the_edge_of_a_digit(size):
    """Where a property might look past it."""
    assert size == unframed(len(f"{size:x}\r\n") + size + len("\r\n"))


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
    headers,
    status,
    sent,
    plain,
    measured,
    clients,
    recording,
    expect,
    tmp_path,
    monkeypatch,
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
