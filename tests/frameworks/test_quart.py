"""Quart: the contract of frameworks, and what is special to how it answers."""

import asyncio
import gc

from quart import Blueprint, Quart, Response, request, websocket

import perfsdk
from perfsdk.frameworks.exchange import Exchange
from tests.frameworks.contract.stage import HELLO, LARGE, Handled
from tests.frameworks.driving import part, start
from tests.frameworks.http_contract import AsgiContract

ASGI_MODULES = ("perfsdk.frameworks.asgi", "perfsdk.frameworks.exchange")
ASGI_WAY_IN = ("Middleware.__call__", "Exchange.receive", "Exchange.send")


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


def quart(**more):
    """An application that logs nothing."""
    app = Quart("shop", **more)
    app.logger.disabled = True
    return app


def answers(app, path, answer=HELLO, **options):
    """Have the application answer with this under a path."""

    async def view(**_):
        result = answer() if callable(answer) else answer
        return Response(result, content_type="text/plain") if isinstance(result, str) else result

    app.add_url_rule(path, endpoint=path, view_func=view, **options)


def tells(app, path, name):
    """Have the application answer with a parameter of the path."""

    async def view(**parameters):
        return parameters[name], {"content-type": "text/plain"}

    app.add_url_rule(path, endpoint=path.replace(".", "-"), view_func=view)


def add_work(app, stage):
    """The views whose work is the stage's."""
    for name in ("plain", "boom", "handled", "halt"):
        answers(app, f"/{name}", getattr(stage, name))
    answers(app, "/stream", lambda: (stage.chunks_async(), {"content-type": "text/plain"}))
    answers(app, "/stream-breaks", stage.breaking_chunks_async)
    answers(app, "/endless", stage.endless_chunks_async)

    @app.get("/wait")
    async def wait():
        await stage.wait_async("wait")
        return HELLO, {"content-type": "text/plain"}

    @app.get("/background")
    async def background():
        app.add_background_task(stage.background_async)
        return HELLO

    @app.get("/background-raises")
    async def background_raises():
        app.add_background_task(stage.background_raises)  # in a thread
        return HELLO


class TestQuartContract(AsgiContract):
    """Quart, with nested blueprints under prefixes."""

    modules = (*ASGI_MODULES, "perfsdk.frameworks.quart", "perfsdk.frameworks.placement")
    way_in = (*ASGI_WAY_IN, "quart._tell")
    templates = {  # noqa: RUF012 - as the contract has it
        "/items/{item_id}": "/items/<item_id>",
        "/files/{p:path}": "/files/<path:p>",
        "/v1/things/{id}": "/v1/things/<id>",
        "/v2/things/{id}": "/v2/things/<id>",
        "/opted-out/{n}": "/opted-out/<n>",
        "/static": "/static/<path:filename>",
        "/ws/{room}": "/ws/<room>",
    }
    without = {  # noqa: RUF012 - as the contract has it
        "mounts": "Quart has none",
        "mounted applications": "Quart has none",
        "mounts with parameters": "Quart has none",
    }

    def make_app(self, stage):
        app = quart(static_folder=stage.directory, static_url_path="/static")
        add_work(app, stage)
        app.errorhandler(Handled)(lambda _: ("teapot", 418))
        tells(app, "/items/<item_id>", "item_id")
        tells(app, "/files/<path:p>", "p")
        things = Blueprint("things", "things", url_prefix="/things")
        tells(things, "/<id>", "id")
        for version in ("v1", "v2"):
            parent = Blueprint(version, version, url_prefix=f"/{version}")
            parent.register_blueprint(things)
            app.register_blueprint(parent)
        answers(app, "/unavailable", lambda: ("no", 503))
        answers(app, "/empty", lambda: ("", 204))
        answers(app, "/not-modified", lambda: ("", 304))
        answers(app, "/large", LARGE)
        answers(app, "/slash/<n>/")
        answers(app, "/opted-out/<n>")
        answers(app, "/healthz")

        @app.post("/echo")
        async def echo():
            return str(len(await request.get_data()))

        @app.get("/opted-out")
        @perfsdk.exclude
        async def opted_out():
            return HELLO

        @app.websocket("/ws/<room>")
        async def echo_socket(room):
            await websocket.send(await websocket.receive())

        app.asgi_app = Denying(app.asgi_app)
        return app

    def add_middleware(self, app, middleware):
        app.asgi_app = middleware(app.asgi_app)

    def behind_a_proxy(self, prefix):
        # With the prefix taken away Quart answers 404.
        return [{"root_path": prefix}]

    async def forget_servers(self):
        await asyncio.sleep(0)  # the loop lets go of the contexts of the tasks that ended

    async def test_nothing_of_a_request_is_kept(self, app, recording):
        """Quart's own request and exception keep each other after a 404, until the collector."""
        requests = ("GET /items/1", "GET /unavailable", "GET /large")
        await self.ask(app, *requests, "GET /nope")
        gc.collect()
        gc.disable()
        try:
            before = exchanges()
            for _ in range(20):
                await self.ask(app, *requests)
            await asyncio.sleep(0)
            assert exchanges() - before <= 1
            await self.ask(app, *["GET /nope"] * 20)
            await asyncio.sleep(0)
            gc.collect()
            assert exchanges() - before <= 1
        finally:
            gc.enable()


def exchanges():
    """How many objects of ours for requests there are."""
    return sum(isinstance(one, Exchange) for one in gc.get_objects())
