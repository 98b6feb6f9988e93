"""aiohttp.web keeps the contract of frameworks, and what only it has is right too."""

from aiohttp import web, web_app
from aiohttp.web_middlewares import normalize_path_middleware

import perfsdk
from tests.frameworks.contract.stage import HELLO, LARGE, Handled
from tests.frameworks.http_contract import ServerContract
from tests.servers import HOST


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
    templates = {
        "/files/{p:path}": "/files/{p}",
        "<unrouted>": "/plain",  # aiohttp finds the route before it asks the middleware
    }
    without = {
        "mounts with parameters": "the prefix of a sub-application is a constant",
        "added middleware": "the list is frozen when the application is served",
    }

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
