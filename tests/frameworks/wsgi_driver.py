"""Makes one request to a WSGI application, as a server does: in a thread, and it calls close()."""

import asyncio
import io
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.frameworks.contract.framework import Reply

MISSING = object()
"""The value of an entry of the environ that is not there."""

_threads = ThreadPoolExecutor(16, "wsgi-server")


async def drive(app, method="GET", path="/", **how):
    """The reply of the application, which runs in a thread of its own; see `ask`."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: ask(app, method, path, **how))


def ask(
    app,
    method="GET",
    path="/",
    *,
    headers=(),
    body=b"",
    on_chunk=None,
    leave_after=None,
    root_path="",
    environ=None,
):
    """The reply of the application.

    `headers` are pairs of str. `on_chunk(bytes)` is called with each part of the body that is
    not empty. The client leaves after `leave_after` of them: the server asks for no more and
    calls `close()`. `root_path` is in SCRIPT_NAME alone. `environ` replaces entries.
    """
    environ = make_environ(method, path, headers, body, root_path) | (environ or {})
    environ = {name: value for name, value in environ.items() if value is not MISSING}
    started, chunks = [], []

    def write(part):
        if part:
            chunks.append(part)
            if on_chunk is not None:
                on_chunk(part)

    def start_response(status, headers, exc_info=None):
        if exc_info is not None and chunks:
            raise exc_info[1].with_traceback(exc_info[2])
        if started and exc_info is None:
            raise AssertionError("start_response was called twice")
        started[:] = [(int(status.split(" ", 1)[0]), list(headers))]
        return write

    error = None
    iterable = ()
    try:
        iterable = app(environ, start_response)
        for part in iterable:
            write(part)
            if leave_after is not None and len(chunks) >= leave_after:
                break
    except BaseException as raised:
        error = raised
    try:
        if hasattr(iterable, "close"):
            iterable.close()
    except BaseException as raised:
        error = error or raised
    status, answered = started[0] if started else (0, [])
    return Reply(status, answered, b"".join(chunks), error)


def make_environ(method, path, headers=(), body=b"", root_path=""):
    """The environ of a request as wsgiref makes it."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": root_path,
        "PATH_INFO": path.encode("utf-8", "surrogatepass").decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "CONTENT_TYPE": "text/plain",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "example.org",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"] = value
    return environ
