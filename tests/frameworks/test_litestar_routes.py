"""Litestar: templates of everything that its router knows, and how applications are changed."""

import functools

import litestar.testing
import pytest
from litestar import Controller, Litestar, Router, asgi, get, post, websocket
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import perfsdk
from perfsdk import uninstrument
from tests.frameworks.driving import ask

UNRESOLVED = "perfsdk_unresolved_routes_total"


def make(*handlers, **more):
    """An application of Litestar's own class, without what is not needed."""
    return Litestar(handlers, **{"openapi_config": None, "logging_config": None} | more)


def hello(*paths):
    """A handler under some paths."""

    @get(list(paths))
    async def handler() -> str:
        return "hello"

    return handler


def failing(path, error):
    """A handler that raises."""

    @get(path)
    async def handler() -> str:
        raise error

    return handler


def mounted(path, app):
    """A handler that calls another application below a path."""

    @asgi(path, is_mount=True, copy_scope=True)
    async def handler(scope: dict, receive: object, send: object) -> None:
        await app(scope, receive, send)

    return handler


async def ask_all(app, *requests):
    """The statuses of requests such as "GET /"."""
    asked = [await ask(app, *reversed(request.split())) for request in requests]
    return [answer.status for answer in asked]


async def test_templates_of_controllers_and_of_handlers_with_several_paths(measured, outcomes):
    """As the router spells them; a method that none has counts under the path's."""

    class Orders(Controller):
        path = "/orders/{order:int}"

        @get("/lines/{rest:path}")
        async def lines(self) -> str:
            return ""

        @post("/lines")
        async def add(self) -> str:
            return ""

    app = measured(make(Orders, hello("/one", "/two/{n:int}"), hello("/")))
    statuses = await ask_all(
        app,
        "GET /orders/7/lines/a/b",
        "POST /orders/7/lines",
        "GET /orders/7/lines",
        "GET /one",
        "GET /one/",
        "GET /two/2",
        "DELETE /two/2",
        "OPTIONS /two/2",
        "GET /two/text",
        "GET /",
    )
    assert [200, 201, 405, 200, 200, 200, 405, 204, 404, 200] == statuses
    assert {
        ("GET", "/orders/{order}/lines/{rest}", "200", ""): 1,
        ("POST", "/orders/{order}/lines", "201", ""): 1,
        ("GET", "/orders/{order}/lines", "405", ""): 1,
        ("GET", "/one", "200", ""): 2,
        ("GET", "/two/{n}", "200", ""): 1,
        ("DELETE", "/two/{n}", "405", ""): 1,
        ("OPTIONS", "/two/{n}", "204", ""): 1,
        ("GET", "<unmatched>", "404", ""): 1,
        ("GET", "/", "200", ""): 1,
    } == outcomes()


async def test_an_application_in_a_mount_of_an_application(measured, outcomes):
    """Their templates are joined, in every depth; the routers' 404 and 405 are told apart."""
    inner = make(hello("/"), hello("/h/{name:str}"))
    app = measured(
        make(mounted("/a", make(mounted("/b", inner), hello("/c"))), hello("/h/{x:str}"))
    )
    statuses = await ask_all(
        app, "GET /a/b/h/me", "GET /a/b", "GET /a/c", "GET /a/b/no", "POST /a/b/h/me", "GET /h/1"
    )
    assert [200, 200, 200, 404, 405, 200] == statuses
    assert {
        ("GET", "/a/b/h/{name}", "200", ""): 1,
        ("GET", "/a/b", "200", ""): 1,
        ("GET", "/a/c", "200", ""): 1,
        ("GET", "<unmatched>", "404", ""): 1,
        ("POST", "/a/b/h/{name}", "405", ""): 1,
        ("GET", "/h/{x}", "200", ""): 1,
    } == outcomes()


async def test_an_application_of_another_framework_in_a_mount(measured, routes):
    """Its own templates below that of the mount; a plain callable is the mount."""

    async def greet(request):
        return PlainTextResponse("hi")

    async def plain(scope, receive, send):
        await PlainTextResponse("plain")(scope, receive, send)

    # Litestar adds a slash to what is below a mount.
    star = Starlette(routes=[Route("/hello/{name}/", greet)])
    app = measured(make(mounted("/star", star), mounted("/moon", star), mounted("/plain", plain)))
    for path in ("/star/hello/me", "/moon/hello/you", "/plain/1", "/plain/2/3", "/plain"):
        assert 200 == (await ask(app, path)).status
    assert {"/star/hello/{name}/": 1, "/moon/hello/{name}/": 1, "/plain": 3} == routes()


async def test_the_schema_is_a_route_like_any_other(measured, routes):
    """Litestar's own handlers have templates of their own."""
    app = measured(Litestar([hello("/")], logging_config=None))
    assert [200, 200] == await ask_all(app, "GET /schema", "GET /schema/openapi.json")
    assert {"/schema": 1, "/schema/openapi.json": 1} == routes()


async def test_whatever_raises_counts_under_the_template(measured, outcomes):
    """Guards, dependencies, middleware of the handler; the application's handlers have a say."""

    def guard(connection, handler):
        raise NotAuthorizedException

    async def depend() -> int:
        raise KeyError("dependency")

    class Raising:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            raise OSError("middleware")

    @get("/dependent/{n:int}", dependencies={"value": Provide(depend)})
    async def dependent(value: int) -> str:
        return ""

    raising = Router(
        "/inside", route_handlers=[hello("/it")], middleware=[DefineMiddleware(Raising)]
    )
    app = measured(
        make(
            get("/guarded/{n:int}", guards=[guard])(hello("/").fn),
            dependent,
            raising,
            failing("/missing/{n:int}", NotFoundException()),
            failing("/turned", LookupError()),
            exception_handlers={LookupError: lambda *_: litestar.Response("", status_code=409)},
        )
    )
    statuses = await ask_all(
        app, "GET /guarded/1", "GET /dependent/1", "GET /inside/it", "GET /missing/1", "GET /turned"
    )
    assert [401, 409, 500, 404, 409] == statuses
    assert {
        ("GET", "/guarded/{n}", "401", ""): 1,
        ("GET", "/dependent/{n}", "409", ""): 1,
        ("GET", "/inside/it", "500", "OSError"): 1,
        ("GET", "/missing/{n}", "404", ""): 1,
        ("GET", "/turned", "409", ""): 1,
    } == outcomes()


async def test_handlers_that_opted_out(measured, routes):
    """The function or the handler that was made of it, in a thread or not; all of its methods."""

    @get("/function", sync_to_thread=True)
    @perfsdk.exclude
    def function() -> str:
        return ""

    @perfsdk.exclude
    @get("/handler")
    async def handler() -> str:
        return ""

    class Some(Controller):
        path = "/some"

        @get()
        @perfsdk.exclude
        async def out(self) -> str:
            return ""

        @get("/in")
        async def inside(self) -> str:
            return ""

    app = measured(make(function, handler, Some))
    requests = [
        f"{method} {path}"
        for path in ("/function", "/handler", "/some", "/some/in")
        for method in ("GET", "OPTIONS", "HEAD")
    ]
    assert [200, 204, 405] * 4 == await ask_all(app, *requests)
    assert {"/some/in": 3} == routes()


async def test_a_scope_without_a_template_is_told_by_the_routes(measured, routes, monkeypatch):
    """As in the first versions: handlers of one path and of several."""
    hide_template(monkeypatch)
    app = measured(make(hello("/one", "/two/{n:int}"), hello("/h/{name:str}")))
    assert [200] * 4 == await ask_all(app, "GET /one", "GET /two/7", "GET /h/a", "GET /h/b")
    assert {"/one": 1, "/two/{n}": 1, "/h/{name}": 2} == routes()


async def test_a_structure_that_nobody_knows_is_unresolved(
    measured, routes, recording, monkeypatch
):
    """Neither template nor routes: counted, and nothing raised."""
    hide_template(monkeypatch)
    app = measured(make(hello("/one")))
    monkeypatch.setattr(app, "routes", [])
    assert [200] == await ask_all(app, "GET /one")
    assert {"<unresolved>": 1} == routes()
    assert 1 == recording.value(UNRESOLVED)


@pytest.mark.usefixtures("swallow_errors")
async def test_a_router_of_another_name_is_unresolved(measured, routes, recording, monkeypatch):
    """Where it cannot tell, nobody says that a middleware has answered."""
    router = litestar._asgi.asgi_router
    monkeypatch.setattr(router, "Router", router.ASGIRouter, raising=False)
    monkeypatch.delattr(router, "ASGIRouter")
    app = measured(make(hello("/one")))
    assert [200] == await ask_all(app, "GET /one")
    assert {"<unresolved>": 1} == routes()
    assert 1 == recording.value(UNRESOLVED)


def hide_template(monkeypatch):
    """Have the router leave no template in the scope."""
    router = litestar._asgi.asgi_router.ASGIRouter
    wrapped = router.__call__

    async def call(self, scope, receive, send):
        class Hiding(dict):
            def __setitem__(self, key, value):
                if key != "path_template":
                    super().__setitem__(key, value)

        inner = Hiding(scope)
        exchange = inner.get("perfsdk.exchange")
        if exchange is not None:
            entered, _, before, path = exchange.matched
            exchange.matched = entered, inner, before, path
        await wrapped(self, inner, receive, send)

    monkeypatch.setattr(router, "__call__", call)


async def test_it_is_undone_exactly(measured, routes):
    """The handler of the application and the router's method are the identical objects."""
    router = type(make().asgi_router)
    method, app = vars(router)["__call__"], make(hello("/one"))
    handler = app.asgi_handler
    assert app is measured(app)
    assert handler is not app.asgi_handler
    assert app is uninstrument(app)
    uninstrument()
    assert handler is app.asgi_handler
    assert method is vars(router)["__call__"]
    assert [200] == await ask_all(app, "GET /one")
    assert {} == routes()


async def test_what_others_put_around_it_later_stays(measured, routes):
    """As an object that says what is inside of it, and as one that does not."""
    called = []

    class Around:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            called.append(self)
            await self.app(scope, receive, send)

    async def closed(inside, *connection):
        called.append(inside)
        await inside(*connection)

    for put in (Around, lambda inside: functools.partial(closed, inside)):
        app = make(hello("/one"))
        measured(app)
        app.asgi_handler = theirs = put(app.asgi_handler)
        assert [200] == await ask_all(app, "GET /one")
        uninstrument(app)
        assert theirs is app.asgi_handler
        assert [200] == await ask_all(app, "GET /one")
    assert 4 == len(called)
    assert {"/one": 2} == routes()


async def test_the_scope_is_clean_afterwards(measured):
    """Nothing of ours is left in it; what Litestar leaves, is."""
    scopes = []

    async def look(scope, receive, send):
        await inside(scope, receive, send)
        scopes.append(set(scope))

    app = make(hello("/one"))
    inside = app.asgi_handler
    for instrument in (lambda _: None, measured):
        instrument(app)
        inside, app.asgi_handler = app.asgi_handler, look
        await ask_all(app, "GET /one")
        app.asgi_handler = inside
    assert scopes[0] == scopes[1]


def test_the_test_client_of_litestar(measured, routes):
    """Requests and websockets through it, with the lifespan."""

    @websocket("/ws/{room:str}")
    async def talk(socket: litestar.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    started = []
    app = measured(make(hello("/one"), talk, on_startup=[lambda: started.append(1)]))
    with litestar.testing.TestClient(app) as client:
        assert "hello" == client.get("/one").text
        with client.websocket_connect("/ws/red") as connection:
            connection.send_text("hi")
            assert "hi" == connection.receive_text()
    assert [1] == started
    assert {"/one": 1} == routes()
