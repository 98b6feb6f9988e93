"""Litestar: the contract of frameworks, and what is special to its router."""

from litestar import Litestar, Request, Response, Router, WebSocket, asgi, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.enums import MediaType
from litestar.response import Stream
from litestar.static_files import create_static_files_router

import perfsdk
from tests.frameworks.contract.stage import HELLO, LARGE, Handled
from tests.frameworks.driving import part, start
from tests.frameworks.http_contract import AsgiContract

ASGI_MODULES = ("perfsdk.frameworks.asgi", "perfsdk.frameworks.exchange")
ASGI_WAY_IN = ("Middleware.__call__", "Exchange.receive", "Exchange.send")


class Application(Litestar):
    """As users derive their own; Litestar's has neither a `__dict__` nor weak references."""


class Denying:
    """Answers with the status in the header `x-deny`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        status = scope["type"] == "http" and dict(scope["headers"]).get(b"x-deny")
        if not status:
            await self.app(scope, receive, send)
            return
        await send(start(int(status)))
        await send(part(b"no"))


def text(path, answer=HELLO, **more):
    """A handler that always gives this text."""

    @get(path, media_type=MediaType.TEXT, sync_to_thread=False, **more)
    def handler() -> str:
        return answer() if callable(answer) else answer

    return handler


def parameter(path, name):
    """A handler that answers with a parameter of the path."""

    @get(path, media_type=MediaType.TEXT)
    async def handler(request: Request) -> str:
        return str(request.path_params[name])

    return handler


def responding(path, make):
    """A handler that answers with a response of its own."""

    @get(path)
    async def handler() -> Response:
        return make()

    return handler


def plain(content=HELLO, status_code=200, **more):
    """A response of text."""
    return Response(content, status_code=status_code, media_type=MediaType.TEXT, **more)


def own_handlers():
    """Handlers of one application: one that was made once would keep the last one alive."""

    @post("/echo", media_type=MediaType.TEXT, status_code=200)
    async def echo(request: Request) -> str:
        return str(len(await request.body()))

    @websocket("/ws/{room:str}")
    async def echo_socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    @get("/opted-out", media_type=MediaType.TEXT)
    @perfsdk.exclude
    async def opted_out() -> str:
        return HELLO

    return [echo, echo_socket, opted_out]


def mounted(path, app, **more):
    """A handler that calls another application below a path."""

    @asgi(path, is_mount=True, copy_scope=True, **more)
    async def handler(scope: dict, receive: object, send: object) -> None:
        await app(scope, receive, send)

    return handler


def bare(handlers, **more):
    """An application without what is not needed."""
    settings = {"openapi_config": None, "logging_config": None} | more
    return Application(handlers, **settings)


def stage_handlers(stage):
    """The handlers whose work is the stage's."""

    @get("/wait", media_type=MediaType.TEXT)
    async def wait() -> str:
        await stage.wait_async("wait")
        return HELLO

    def streaming(path, chunks):
        return responding(path, lambda: Stream(chunks(), media_type=MediaType.TEXT))

    def task(path, function):
        return responding(path, lambda: plain(background=BackgroundTask(function)))

    return [
        wait,
        text("/plain", stage.plain),
        text("/boom", stage.boom),
        text("/handled", stage.handled),
        text("/halt", stage.halt),
        streaming("/stream", stage.chunks_async),
        streaming("/stream-breaks", stage.breaking_chunks_async),
        streaming("/endless", stage.endless_chunks_async),
        task("/background", stage.background_async),
        task("/background-raises", stage.background_raises_async),
    ]


class TestLitestarContract(AsgiContract):
    """Litestar, with routers under prefixes and an application in a mount."""

    modules = (*ASGI_MODULES, "perfsdk.frameworks.litestar", "perfsdk.frameworks.placement")
    way_in = ASGI_WAY_IN
    templates = {"/files/{p:path}": "/files/{p}", "/static": "/static/{file_path}"}  # noqa: RUF012 - as the contract has it
    without = {"slash redirects": "paths with and without one are the same"}  # noqa: RUF012 - as the contract has it
    stream_error_type = "LitestarException"

    def make_app(self, stage):
        stage.mounted = bare([parameter("/hello/{name:str}", "name")])
        things = parameter("/things/{id:str}", "id")
        app = bare(
            [
                *stage_handlers(stage),
                *own_handlers(),
                parameter("/items/{item_id:str}", "item_id"),
                parameter("/files/{p:path}", "p"),
                responding("/unavailable", lambda: plain("no", 503)),
                responding("/empty", lambda: Response(None, status_code=204)),
                responding("/not-modified", lambda: Response(None, status_code=304)),
                text("/large", LARGE),
                text("/opted-out/{n:int}"),
                text("/healthz"),
                Router("/v1", route_handlers=[things]),
                Router("/v2", route_handlers=[things]),
                mounted("/sub", stage.mounted),
                Router("/t/{tenant:str}", route_handlers=[parameter("/x/{y:str}", "y")]),
                create_static_files_router("/static", [stage.directory]),
            ],
            exception_handlers={Handled: lambda *_: plain("teapot", 418)},
        )
        app.asgi_handler = Denying(app.asgi_handler)
        return app

    def add_middleware(self, app, middleware):
        app.asgi_handler = middleware(app.asgi_handler)
