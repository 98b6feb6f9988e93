"""Starlette, FastAPI and a plain ASGI callable keep the contract of frameworks."""

import asyncio

from fastapi import APIRouter, BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import perfsdk
from tests.frameworks.contract.framework import PlainCallable
from tests.frameworks.contract.stage import HELLO, LARGE, Handled
from tests.frameworks.driving import part, start
from tests.frameworks.http_contract import AsgiContract
from tests.frameworks.versions import is_since, since

UNTIL_STARLETTE_033 = {"root path": "until Starlette 0.33 no path begins with the root path"}
ASGI_MODULES = (
    "perfsdk.frameworks.asgi",
    "perfsdk.frameworks.exchange",
    "perfsdk.frameworks.starlette",
)
ASGI_WAY_IN = ("Middleware.__call__", "Exchange.receive", "Exchange.send")


class Denying:
    """Answers with the status in the header `x-deny`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        status = scope["type"] == "http" and dict(scope["headers"]).get(b"x-deny")
        app = PlainTextResponse("no", int(status)) if status else self.app
        await app(scope, receive, send)


async def answer_handled(request, error):
    """The application's own handler."""
    return PlainTextResponse("teapot", 418)


def answer(text, status=200, **more):
    """An endpoint that always gives this answer."""

    async def endpoint(request):
        return PlainTextResponse(text, status, **more)

    return endpoint


def parameter(name):
    """An endpoint that answers with one of the parameters in the path."""

    async def endpoint(request):
        return PlainTextResponse(request.path_params[name])

    return endpoint


async def echo(request):
    """The length of the body."""
    return PlainTextResponse(str(len(await request.body())))


async def echo_socket(websocket: WebSocket):
    """Sends one message back."""
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def stage_routes(stage):
    """The routes whose work is the stage's."""

    async def plain(request):
        return PlainTextResponse(stage.plain())

    async def boom(request):
        stage.boom()

    async def handled(request):
        stage.handled()

    async def halt(request):
        stage.halt()

    async def wait(request):
        await stage.wait_async("wait")
        return PlainTextResponse(HELLO)

    def streaming(chunks):
        async def endpoint(request):
            return StreamingResponse(chunks(), media_type="text/plain")

        return endpoint

    def task(function):
        return answer(HELLO, background=BackgroundTask(function))

    return [
        Route("/plain", plain),
        Route("/boom", boom),
        Route("/handled", handled),
        Route("/halt", halt),
        Route("/wait", wait),
        Route("/stream", streaming(stage.chunks_async)),
        Route("/stream-breaks", streaming(stage.breaking_chunks_async)),
        Route("/endless", streaming(stage.endless_chunks_async)),
        Route("/background", task(stage.background_async)),
        Route("/background-raises", task(stage.background_raises_async)),
    ]


async def empty(request):
    """Nothing, by its status."""
    return Response(status_code=204)


async def not_modified(request):
    """The same."""
    return Response(status_code=304)


@perfsdk.exclude
async def opted_out(request):
    """Not to be measured."""
    return PlainTextResponse(HELLO)


class TestStarletteContract(AsgiContract):
    """Starlette, with Mount for what is included."""

    modules = ASGI_MODULES
    way_in = ASGI_WAY_IN
    without = {} if is_since("starlette", "0.33") else UNTIL_STARLETTE_033

    def make_app(self, stage):
        stage.mounted = Starlette(routes=[Route("/hello/{name}", parameter("name"))])
        things = [Route("/things/{id}", parameter("id"))]
        return Starlette(
            routes=[
                *stage_routes(stage),
                Route("/items/{item_id}", parameter("item_id")),
                Route("/echo", echo, methods=["POST"]),
                Route("/unavailable", answer("no", 503)),
                Route("/empty", empty),
                Route("/not-modified", not_modified),
                Route("/large", answer(LARGE)),
                Route("/files/{p:path}", parameter("p")),
                Mount("/v1", routes=things),
                Mount("/v2", routes=things),
                Mount("/sub", stage.mounted),
                Mount("/t/{tenant}", Router([Route("/x/{y}", parameter("y"))])),
                Route("/slash/{n}/", answer(HELLO)),
                Mount("/static", StaticFiles(directory=stage.directory)),
                Route("/opted-out", opted_out),
                Route("/opted-out/{n}", answer(HELLO)),
                Route("/healthz", answer(HELLO)),
                WebSocketRoute("/ws/{room}", echo_socket),
            ],
            middleware=[Middleware(Denying)],
            exception_handlers={Handled: answer_handled},
        )


class TestFastApiContract(AsgiContract):
    """FastAPI, with routers that are included under prefixes."""

    modules = (*ASGI_MODULES, "perfsdk.frameworks.fastapi")
    way_in = ASGI_WAY_IN
    without = {} if is_since("starlette", "0.33") else UNTIL_STARLETTE_033

    def make_app(self, stage):
        app = FastAPI()
        app.add_middleware(Denying)
        app.add_exception_handler(Handled, answer_handled)
        _add_endpoints(app, stage)
        things = APIRouter(prefix="/things")
        things.get("/{id}", response_class=PlainTextResponse)(_the("id"))
        app.include_router(things, prefix="/v1")
        app.include_router(things, prefix="/v2")
        stage.mounted = FastAPI()
        stage.mounted.get("/hello/{name}", response_class=PlainTextResponse)(_the("name"))
        app.mount("/sub", stage.mounted)
        tenant = FastAPI()
        tenant.get("/x/{y}", response_class=PlainTextResponse)(_the("y"))
        app.mount("/t/{tenant}", tenant)
        app.mount("/static", StaticFiles(directory=stage.directory))
        app.websocket("/ws/{room}")(echo_socket)
        return app

    @since(
        "fastapi",
        "0.106",
        "a middleware of its own keeps the exception of a 404, and with it frames",
    )
    async def test_nothing_of_a_request_is_kept(self, app, recording):
        """When it has ended, its account is freed, without the garbage collector."""
        await super().test_nothing_of_a_request_is_kept(app, recording)


def _the(name):
    def endpoint(request: Request):
        return request.path_params[name]

    return endpoint


def _add_endpoints(app, stage):  # each as FastAPI's users write it
    def get(path, **more):
        return app.get(path, response_class=PlainTextResponse, **more)

    get("/plain")(stage.plain)
    get("/items/{item_id}")(_the("item_id"))
    get("/files/{p:path}")(_the("p"))
    get("/boom")(stage.boom)
    get("/handled")(stage.handled)
    get("/halt")(stage.halt)
    get("/unavailable")(lambda: PlainTextResponse("no", 503))
    get("/empty")(lambda: Response(status_code=204))
    get("/not-modified")(lambda: Response(status_code=304))
    get("/large")(lambda: LARGE)
    get("/slash/{n}/")(lambda: HELLO)
    get("/opted-out")(perfsdk.exclude(lambda: HELLO))
    get("/opted-out/{n}")(lambda: HELLO)
    get("/healthz")(lambda: HELLO)
    get("/stream")(lambda: StreamingResponse(stage.chunks_async(), media_type="text/plain"))
    get("/stream-breaks")(lambda: StreamingResponse(stage.breaking_chunks_async()))
    get("/endless")(lambda: StreamingResponse(stage.endless_chunks()))  # in a thread

    @app.post("/echo", response_class=PlainTextResponse)
    async def echo(request: Request):
        return str(len(await request.body()))

    @get("/wait")
    async def wait():
        await stage.wait_async("wait")
        return HELLO

    @get("/background")
    def background(tasks: BackgroundTasks):
        tasks.add_task(stage.background)  # in a thread
        return HELLO

    @get("/background-raises")
    async def background_raises(tasks: BackgroundTasks):
        tasks.add_task(stage.background_raises_async)
        return HELLO


class TestPlainAsgiContract(PlainCallable, AsgiContract):
    """A callable that nobody knows: it has one route for everything."""

    modules = ASGI_MODULES[:2]
    way_in = ASGI_WAY_IN
    without = dict.fromkeys(
        (
            "prefixes",
            "mounts",
            "routes",
            "routes with methods",
            "opting out",
            "slash redirects",
            "static files",
            "exception handlers",
            "added middleware",
        ),
        "a plain callable has none",
    )

    def make_app(self, stage):
        return plain_app(stage)

    def with_middleware(self, stage, middleware):
        return middleware(plain_app(stage))


def plain_app(stage):
    """The endpoints, told apart by hand."""

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await echo_text(scope["path"], receive, send)
            return
        path = scope["path"].removeprefix(scope["root_path"])
        denied = dict(scope.get("headers") or ()).get(b"x-deny")
        if denied:
            await answer_with(send, "no", int(denied))
        elif path.startswith(("/items/", "/files/")):
            await answer_with(send, path.split("/", 2)[2])
        elif path == "/echo":
            await answer_with(send, str(await body_length(receive)))
        elif path in chunks:
            await stream(receive, send, chunks[path]())
        elif path in tasks:
            await answer_with(send, HELLO)
            await tasks[path]()
        elif path in fixed:
            await answer_with(send, *fixed[path])
        elif path == "/wait":
            await stage.wait_async("wait")
            await answer_with(send, HELLO)
        elif path in raising:
            await answer_with(send, raising[path]())
        else:
            await answer_with(send, "", 404)

    chunks = {
        "/stream": stage.chunks_async,
        "/stream-breaks": stage.breaking_chunks_async,
        "/endless": stage.endless_chunks_async,
    }
    tasks = {
        "/background": stage.background_async,
        "/background-raises": stage.background_raises_async,
    }
    fixed = {
        "/large": (LARGE,),
        "/healthz": (HELLO,),
        "/unavailable": ("no", 503),
        "/empty": ("", 204),
        "/not-modified": ("", 304),
    }
    raising = {"/plain": stage.plain, "/boom": stage.boom, "/halt": stage.halt}
    return app


async def echo_text(path, receive, send):
    """A WebSocket that sends one message back, where the path is one of those."""
    await receive()
    if path.startswith("/ws/"):
        await send({"type": "websocket.accept"})
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})
    await send({"type": "websocket.close"})


async def answer_with(send, text, status=200):
    """An answer in one piece."""
    await send(start(status))
    await send(part(text.encode()))


async def stream(receive, send, chunks):
    """An answer in parts, as long as the client is there."""
    left = asyncio.create_task(departure(receive))
    await send(start())
    async for chunk in chunks:
        if left.done():
            break
        await send(part(chunk, more=True))
    else:
        await send(part())
    left.cancel()


async def body_length(receive):
    """How long the body of a request is."""
    length = 0
    while (message := await receive())["type"] == "http.request":
        length += len(message["body"])
        if not message["more_body"]:
            break
    return length


async def departure(receive):
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
