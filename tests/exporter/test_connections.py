"""Slow, many and senseless clients are cut off; the others do not notice."""

import asyncio
import socket

import pytest

from perfsdk_exporter.families import Family
from perfsdk_exporter.web.connections import Limits
from perfsdk_exporter.web.protection import Protection
from tests.exporter.certificates import Authority
from tests.exporter.served import Double, ended, refusals, served, until

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"


async def connect(port):
    """A connection with a small buffer for what comes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=client, limit=4096)


async def drip(writer, data):
    """Send a byte at a time, for as long as the connection lasts."""
    try:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)
    except ConnectionError:
        pass


@pytest.mark.parametrize("sent", [b"", b"GET / HT", REQUEST + b"GET / HT"])
async def test_a_request_that_never_ends(collector, sent):
    """The client that sends nothing, or half, or half of a second request, is cut."""
    async with served(collector, limits=Limits(request_seconds=0.2, idle_seconds=0.2)) as port:
        reader, writer = await connect(port)
        writer.write(sent)
        received = await ended(reader)
        assert (REQUEST in sent) == received.startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_a_request_byte_by_byte(collector):
    """A few bytes now and then buy no more time, for the first request or a further one."""
    endless = b"GET / HTTP/1.1\r\nX: " + b"x" * 5000
    async with served(collector, limits=Limits(request_seconds=0.5)) as port:
        for first in (b"", REQUEST):
            reader, writer = await connect(port)
            writer.write(first)
            if first:
                await reader.readuntil(b"healthy.\n")
            dripping = asyncio.create_task(drip(writer, endless))
            assert await ended(reader) == b""
            await dripping
            writer.close()
        assert await refusals(port) == {"slow_client": 2.0}


async def test_a_response_that_nobody_reads():
    """The client that does not read its page is cut, and its place is free again."""
    # More than kernels keep for a client.
    values = {(f"{number:0>10000}",): 1.0 for number in range(3000)}
    large = Family(name="large", kind="gauge", unit="", help="", labels=("x",), values=values)
    limits = Limits(send_seconds=0.3)
    async with served(Double(large), limits=limits, max_requests=1) as port:
        _, writer = await connect(port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

        async def cut():
            return (await refusals(port)).get("slow_client")

        assert await until(cut) == 1.0
        writer.close()


async def test_an_idle_connection(collector):
    """It is closed after its time, and counts as nothing wrong."""
    async with served(collector, limits=Limits(idle_seconds=0.2)) as port:
        reader, writer = await connect(port)
        writer.write(REQUEST)
        received = await ended(reader)
        assert received.endswith(b"healthy.\n")
        assert await refusals(port) == {}
        writer.close()


async def test_a_handshake_that_never_comes(collector, tmp_path):
    """A client that connects for TLS and says nothing is cut."""
    Authority(tmp_path).issue("server", "127.0.0.1")
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    limits = Limits(handshake_seconds=0.2)
    async with served(collector, limits=limits, protection=Protection(path)) as port:
        reader, writer = await connect(port)
        assert await ended(reader) == b""
        writer.close()


async def test_too_many_connections(collector):
    """The one that waits longest makes room for a new one, so idle ones keep nobody out."""
    async with served(collector, limits=Limits(connections=3)) as port:
        idle = [await connect(port) for _ in range(3)]
        for reader, writer in idle:
            writer.write(REQUEST)
            await reader.readuntil(b"healthy.\n")
        new = await connect(port)
        new[1].write(REQUEST)
        await new[0].readuntil(b"healthy.\n")
        assert await ended(idle[0][0]) == b""
        idle[1][1].write(REQUEST)
        await idle[1][0].readuntil(b"healthy.\n")
        for _, writer in [*idle, new]:
            writer.close()


async def test_too_many_that_all_wait_for_us():
    """Whoever waits for a page is not cut for a new one; that one is closed."""
    collector = Double()
    collector.go.clear()
    async with served(collector, limits=Limits(connections=1)) as port:
        reader, writer = await connect(port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST)
        await asyncio.to_thread(collector.started.wait)
        other_reader, other_writer = await connect(port)
        assert await ended(other_reader) == b""
        collector.go.set()
        await reader.readuntil(b"healthy.\n")
        writer.close()
        other_writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SSH-2.0-client\r\n\r\n",
    ],
)
async def test_what_is_too_large_or_no_request(sent, collector, caplog):
    """A line with 400, and nothing in the log that anybody could fill."""
    async with served(collector) as port:
        reader, writer = await connect(port)
        writer.write(sent)
        received = await ended(reader)
        assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert received.endswith(b"\r\n\r\nThis is no request that is understood here.\n")
        assert await refusals(port) == {"bad_request": 1.0}
        writer.close()
    assert not caplog.records


@pytest.mark.parametrize(
    ("method", "header"),
    [(b"GET", b"Content-Length: 1000000000"), (b"POST", b"Transfer-Encoding: chunked")],
)
async def test_a_body(method, header, collector):
    """It is refused unread, and the connection is closed."""
    async with served(collector) as port:
        reader, writer = await connect(port)
        writer.write(method + b" /metrics HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
        received = await ended(reader)
        assert received.startswith(b"HTTP/1.1 413 ")
        assert received.endswith(b"\r\n\r\nRequests have no body here.\n")
        assert await refusals(port) == {"body": 1.0}
        writer.close()
