"""aiohttp.web (3.10.11 and newer): measures the requests to the application that is served.

`RequestHandler._handle_request` runs in a task of its own for each request, from the call of
the application to the end of what it answers, whoever sends that; it is looked up for every
request, so an application that is being served already can be measured too. It is told for
which application it works by the handler that it is given. What is inside an application
through `add_subapp` or `add_domain` is measured with it, and not on its own.
https://docs.aiohttp.org/en/stable/web_advanced.html
"""

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from perfsdk import guard
from perfsdk.frameworks.aiohttp_exchange import Exchange
from perfsdk.frameworks.aiohttp_routes import RouteFinder
from perfsdk.frameworks.aiohttp_websocket import Connection, is_handshake, patch_websockets
from perfsdk.frameworks.aiohttp_writer import be_silent, tell
from perfsdk.frameworks.asgi import Around
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.request import current
from perfsdk.wrapping.patches import Patches

_MEASURED = "_perfsdk_measured"

Method = Callable[..., Awaitable[Any]]


def is_application(app: object) -> bool:
    """Whether this is an application of aiohttp.web; imports nothing."""
    module = sys.modules.get("aiohttp.web_app")
    return module is not None and isinstance(app, module.Application)


def patch_routing(patches: Patches) -> None:
    """Have the server's side of this process look whether an application is measured."""
    protocol = sys.modules["aiohttp.web_protocol"]
    files = sys.modules["aiohttp.web_fileresponse"]
    patches.replace(protocol.RequestHandler, "_handle_request", _measure_requests)
    patch_websockets(patches)
    if hasattr(files.FileResponse, "_sendfile"):  # else only the size of files is not known
        patches.replace(files.FileResponse, "_sendfile", _tell_file)


def instrument_application(app: Any, server: HttpServer, patches: Patches, around: Around) -> None:
    """Mark one application as measured, also if it serves already."""
    del around  # spans and the page are for ASGI
    # Past __setattr__, which warns of attributes that are not aiohttp's own.
    attributes = vars(app)
    attributes[_MEASURED] = Measured(server)
    patches.on_undo(lambda: attributes.pop(_MEASURED, None))


class Measured:
    """What a measured application has: where its requests are recorded, and their routes."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.finder = RouteFinder(server)


def _measure_requests(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    def _handle_request(self: Any, request: Any, *rest: Any) -> Awaitable[Any]:
        # Not a coroutine: of what is not measured, the wrapped one is all that runs.
        measured = measured_by(rest[-1]) if rest else None
        if measured is None:
            return wrapped(self, request, *rest)
        # Nothing is called before the task runs: it may be cancelled without having begun.
        return serve(measured, wrapped, self, request, *rest)

    return _handle_request


def measured_by(request_handler: Any) -> Measured | None:
    """The mark of the application whose method handles the requests of a server."""
    try:
        app = getattr(request_handler, "__self__", None)
        if app is None:  # somebody replaced the method of the application itself
            app = getattr(getattr(request_handler, "__wrapped__", None), "__self__", None)
        return None if app is None else vars(app).get(_MEASURED)
    except Exception:  # not one of aiohttp.web: low-level servers take any function
        return None


async def serve(
    measured: Measured, wrapped: Method, protocol: Any, request: Any, *rest: Any
) -> Any:
    """Have a request served, and record it."""
    exchange = None
    try:
        exchange = begin(measured, request)
    except Exception:
        guard.failed("aiohttp.begin")
    if exchange is None:
        return await wrapped(protocol, request, *rest)
    token = current.set(exchange if isinstance(exchange, Exchange) else None)
    try:
        result = await wrapped(protocol, request, *rest)
    except BaseException as error:
        try:
            exchange.failed(error)
        except Exception:
            guard.failed("aiohttp.failed")
        raise
    else:
        try:
            exchange.returned()
        except Exception:
            guard.failed("aiohttp.returned")
        return result
    finally:
        try:
            exchange.forget()
            be_silent(request.writer)
            current.reset(token)
        except ValueError:
            pass  # the loop was closed, and this is the context of who did it
        except Exception:
            guard.failed("aiohttp.forget")


def begin(measured: Measured, request: Any) -> Exchange | Connection | None:
    """What begins with a request; None when it is not to be measured."""
    server = measured.server
    if request.path in server.excluded:
        return None
    if is_handshake(request):
        return Connection(server, request)
    if server.queue_time is not None:
        headers = request.headers
        server.queue_time.observe(headers.get("X-Request-Start") or headers.get("X-Queue-Start"))
    exchange = Exchange(server, measured.finder, request)
    try:
        tell(request.writer, exchange)
    except Exception:
        exchange.forget()
        guard.failed("aiohttp.writer")
        return None
    return exchange


def _tell_file(wrapped: Method) -> Method:
    @functools.wraps(wrapped)
    async def _sendfile(self: Any, request: Any, fobj: Any, *where: Any) -> Any:
        exchange = getattr(request.writer, "perfsdk_exchange", None)
        if exchange is None or len(where) != 2:
            return await wrapped(self, request, fobj, *where)
        exchange.file_bytes = where[1]
        try:
            return await wrapped(self, request, fobj, *where)
        except BaseException as error:
            _tell_broken_file(exchange, request.writer, error, fobj, where[0])
            raise

    return _sendfile


def _tell_broken_file(
    exchange: Exchange, writer: Any, error: BaseException, fobj: Any, offset: int
) -> None:
    try:
        exchange.broke(writer, error)
        if not exchange.sent:  # the kernel sent it; the loop leaves the file where it came to
            exchange.sent += max(0, fobj.tell() - offset)
    except Exception:
        guard.failed("aiohttp.file")
