"""Real servers of one application in this process, and requests to them over a connection."""

import asyncio
import http.client
import socket
import threading
import wsgiref.simple_server
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from urllib.parse import quote

import uvicorn

from tests.frameworks.contract.framework import Reply
from tests.servers import HOST, free_port, wait_until

TIMEOUT_SECONDS = 10


async def drive(
    port, method="GET", path="/", *, headers=(), body=b"", on_chunk=None, leave_after=None
):
    """The reply of the server to one request on a connection of its own; status 0: it hung up.

    `on_chunk(bytes)` is called with what was read at a time. The client leaves after
    `leave_after` of that, and when the task is cancelled.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)
    asking = asyncio.get_running_loop().run_in_executor(
        None, lambda: _ask(connection, method, path, dict(headers), body, on_chunk, leave_after)
    )
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        await asyncio.wait([asking])
        raise
    finally:
        connection.close()


def _ask(connection, method, path, headers, body, on_chunk, leave_after):
    path, mark, query = path.partition("?")
    chunks = []
    try:
        connection.request(method, quote(path) + mark + query, body or None, headers)
        response = connection.getresponse()
    except (http.client.HTTPException, OSError):
        return Reply(0, [], b"")
    with response, suppress(http.client.HTTPException, OSError):
        while leave_after is None or len(chunks) < leave_after:
            chunk = response.read1(65536)
            if not chunk:
                break
            chunks.append(chunk)
            if on_chunk is not None:
                on_chunk(chunk)
    return Reply(response.status, response.getheaders(), b"".join(chunks))


@contextmanager
def serve_asgi(app):
    """The port of a uvicorn that serves the application in a thread."""
    port = free_port()
    config = uvicorn.Config(
        app, host=HOST, port=port, log_config=None, loop="asyncio", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield port
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = False

    def handle_error(self, request, client_address):
        """A client that left is no news."""


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        """Nobody reads it."""


@contextmanager
def serve_wsgi(app):
    """The port of a server of the standard library that serves each request in a thread."""
    server = wsgiref.simple_server.make_server(HOST, 0, app, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(TIMEOUT_SECONDS)
        server.server_close()
    assert not thread.is_alive()
