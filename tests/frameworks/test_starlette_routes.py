"""The label is the whole template of the route, for every way to build a Starlette application."""

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute

from perfsdk.request import current
from tests.frameworks.driving import answering, ask, http_scope, part, start
from tests.frameworks.versions import since

DURATION = "http_server_request_duration_seconds"


async def hello(request):
    """An endpoint."""
    return PlainTextResponse("hello")


def paths(*templates):
    """A route for each template."""
    return [Route(template, hello) for template in templates]


async def test_templates_and_path_convertors(measured, routes):
    """The template as it was written, never the path."""
    templates = [
        "/",
        "/users/{user_id}",
        "/users/{user_id:int}/posts",
        "/files/{path:path}",
        "/uuid/{id:uuid}",
        "/f/{x:float}",
    ]
    app = measured(Starlette(routes=paths(*templates)))
    asked = [
        "/",
        "/users/7",
        "/users/7/posts",
        "/files/a/b/c",
        "/uuid/12345678-1234-5678-1234-567812345678",
        "/f/1.5",
    ]
    for path in asked:
        answer = await ask(app, path)
        assert (200, b"hello") == (answer.status, answer.body)
    assert dict.fromkeys(templates, 1) == routes()


async def test_mounts_join_their_templates(measured, routes):
    """Three deep; at the root; with an empty path inside."""
    inner = [Mount("/three", routes=paths("/x/{y}", "/"))]
    app = Starlette(
        routes=[
            Mount("/one", routes=[Mount("/two/", routes=inner)]),
            Mount("/", routes=paths("/r")),
        ]
    )
    measured(app)
    for path in ("/one/two/three/x/7", "/one/two/three/", "/r"):
        assert 200 == (await ask(app, path)).status
    assert {"/one/two/three/x/{y}": 1, "/one/two/three/": 1, "/r": 1} == routes()


async def test_a_mounted_application_is_counted_once(measured, routes):
    """Also when it is instrumented itself, in either order."""
    for first in (True, False):
        sub = Starlette(routes=paths("/hello/{name}"))
        app = Starlette(routes=[Mount("/sub", sub)])
        for each in (app, sub) if first else (sub, app):
            measured(each)
        assert 200 == (await ask(app, "/sub/hello/me")).status
        await ask(sub, "/hello/me")
    assert {"/sub/hello/{name}": 2, "/hello/{name}": 2} == routes()


async def test_an_application_mounted_twice_has_two_templates(measured, routes):
    """One route object, two ways to it."""
    sub = Starlette(routes=paths("/x"))
    app = measured(Starlette(routes=[Mount("/a", sub), Mount("/b", sub)]))
    for path in ("/a/x", "/b/x", "/a/x"):
        await ask(app, path)
    assert {"/a/x": 2, "/b/x": 1} == routes()


async def test_unknown_paths_below_a_mount_are_unmatched(measured, outcomes):
    """Like those beside it."""
    app = Starlette(routes=[*paths("/x"), Mount("/m", routes=paths("/x"))])
    measured(app)
    for number in range(10):
        await ask(app, f"/nope/{number}")
        await ask(app, f"/m/nope/{number}")
    assert {("GET", "<unmatched>", "404", ""): 20} == outcomes()


async def test_slash_redirects_are_one_series(measured, routes):
    """The router's own, at the root and below a mount; an endpoint's own redirect is its route."""

    async def away(request):
        return RedirectResponse("/elsewhere")

    app = Starlette(
        routes=[
            *paths("/plain/{n}"),
            Mount("/m", routes=paths("/x/{n}/")),
            Route("/away", away),
        ]
    )
    measured(app)
    for number in range(100):
        assert 307 == (await ask(app, f"/plain/{number}/")).status
        assert 307 == (await ask(app, f"/m/x/{number}")).status
    assert 307 == (await ask(app, "/away")).status
    assert {"<redirect>": 200, "/away": 1} == routes()


async def test_methods_of_a_route(measured, outcomes):
    """405, HEAD and OPTIONS count under the template with their own method."""

    class Endpoint(HTTPEndpoint):
        async def options(self, request):
            return PlainTextResponse("GET")

    app = Starlette(
        routes=[
            Route("/get", hello),
            Route("/options", Endpoint),
            Route("/post", hello, methods=["POST"]),
        ]
    )
    measured(app)
    for method, path in [
        ("POST", "/get"),
        ("HEAD", "/get"),
        ("OPTIONS", "/options"),
        ("DELETE", "/options"),
        ("POST", "/post"),
        ("PURGE", "/get"),
    ]:
        await ask(app, path, method)
    assert {
        ("POST", "/get", "405", ""): 1,
        ("HEAD", "/get", "200", ""): 1,
        ("OPTIONS", "/options", "200", ""): 1,
        ("DELETE", "/options", "405", ""): 1,
        ("POST", "/post", "200", ""): 1,
        ("_OTHER", "/get", "405", ""): 1,
    } == outcomes()


@since("starlette", "0.33", "a path may begin with the root path")
@pytest.mark.parametrize("root_path", ["", "/pfx", "/t/acme"])
async def test_the_root_path_is_no_part_of_the_label(root_path, measured, routes):
    """Whether or not a proxy strips the prefix from the path."""
    app = measured(Starlette(routes=[*paths("/x/{y}"), Mount("/m", routes=paths("/z"))]))
    for path in ("/x/7", root_path + "/x/7", root_path + "/m/z"):
        assert 200 == (await ask(app, path, root_path=root_path)).status
    assert {"/x/{y}": 2, "/m/z": 1} == routes()


async def test_a_plain_application_in_a_mount_is_the_path_of_the_mount(measured, routes):
    """Whatever it answers, since it has no routes."""
    routes_ = [Mount(f"/{n}", answering(start(n), part())) for n in (200, 404, 307)]
    app = measured(Starlette(routes=routes_))
    for status in (200, 404, 307):
        await ask(app, f"/{status}/x/y")
    assert {"/200": 1, "/404": 1, "/307": 1} == routes()


def to_host(host):
    """Headers for a host."""
    return [(b"host", host.encode())]


async def test_hosts_are_no_part_of_the_label(measured, outcomes):
    """A route of a host has its template; a 404 and a redirect there are such."""
    app = Starlette(
        routes=[
            Host("{tenant}.example.org", Router(paths("/x/{y}", "/slash/"))),
            Host("plain.example.com", answering(start(), part())),
        ]
    )
    measured(app)
    for number in range(20):
        for path in ("/x/7", "/nope", "/slash"):
            scope = http_scope(path) | {"headers": to_host(f"{number}.example.org")}
            await ask(app, scope=scope)
        await ask(app, scope=http_scope("/p") | {"headers": to_host("plain.example.com")})
    assert {
        ("GET", "/x/{y}", "200", ""): 20,
        ("GET", "<unmatched>", "404", ""): 20,
        ("GET", "<redirect>", "307", ""): 20,
        ("GET", "/", "200", ""): 20,
    } == outcomes()


async def test_a_preflight_is_unrouted(measured, outcomes):
    """The middleware answered it; the routes were not looked at."""
    app = Starlette(
        routes=paths("/x"), middleware=[Middleware(CORSMiddleware, allow_origins=["*"])]
    )
    measured(app)
    headers = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"GET")]
    answer = await ask(app, "/x", "OPTIONS", headers=[*headers])
    assert 200 == answer.status
    await ask(app, "/x", headers=headers[:1])
    assert {
        ("OPTIONS", "<unrouted>", "200", ""): 1,
        ("GET", "/x", "200", ""): 1,
    } == outcomes()


class Refusing:
    """Answers some paths itself with the status that they name."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        status = int(scope["path"].rpartition("/")[2])
        if status == 200:
            await self.app(scope, receive, send)
            return
        await PlainTextResponse("no", status)(scope, receive, send)


@pytest.mark.parametrize("added", ["in the list", "before", "after"])
async def test_a_middleware_that_answers_is_counted(added, measured, outcomes):
    """401, 429, 503: with its status, whenever the middleware was added."""
    listed = [Middleware(Refusing)] if added == "in the list" else []
    app = Starlette(routes=paths("/x/{n}"), middleware=listed)
    if added == "before":
        app.add_middleware(Refusing)
    measured(app)
    if added == "after":
        app.add_middleware(Refusing)
    for status in (200, 401, 429, 503):
        await ask(app, f"/x/{status}")
    assert {
        ("GET", "/x/{n}", "200", ""): 1,
        ("GET", "<unrouted>", "401", ""): 1,
        ("GET", "<unrouted>", "429", ""): 1,
        ("GET", "<unrouted>", "503", "503"): 1,
    } == outcomes()


class Copying:
    """Passes a copy of the scope on, as some do."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(dict(scope), receive, send)


class Dispatching(BaseHTTPMiddleware):
    """Changes nothing, through Starlette's own class, which starts a task."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


@pytest.mark.parametrize("middleware", [Copying, Dispatching])
@pytest.mark.parametrize("times", [1, 2])
async def test_middleware_between_us_and_the_router(middleware, times, measured, outcomes):
    """Labels stay, the account is the same, and each request is one sample."""
    seen = []

    async def endpoint(request):
        seen.append(current.get())
        return PlainTextResponse("hello")

    app = Starlette(
        routes=[Route("/x/{y}", endpoint), Mount("/m", routes=[Route("/z", endpoint)])],
        middleware=[Middleware(middleware)] * times,
    )
    measured(app)
    for path, status in (("/x/7", 200), ("/m/z", 200), ("/nope", 404), ("/m/nope", 404)):
        assert status == (await ask(app, path)).status
    assert 2 == len(seen)
    assert None not in seen
    assert {
        ("GET", "/x/{y}", "200", ""): 1,
        ("GET", "/m/z", "200", ""): 1,
        ("GET", "<unmatched>", "404", ""): 2,
    } == outcomes()


class NoTemplate(BaseRoute):
    """A route of the application's own that says nothing about its path."""

    def __init__(self, path):
        self.at = path

    def matches(self, scope):
        return (Match.FULL if scope["path"].startswith(self.at) else Match.NONE), {}

    async def handle(self, scope, receive, send):
        await PlainTextResponse("own", scope.get("answers", 200))(scope, receive, send)


class WithTemplate(NoTemplate):
    """The same, but it has the attribute that Starlette's routes have."""

    path = "/own/{anything}"


class Silent(NoTemplate):
    """The same on versions of Starlette that do not leave the route in the scope."""

    async def handle(self, scope, receive, send):
        scope.pop("route", None)
        await super().handle(scope, receive, send)


@pytest.mark.parametrize("kind", [NoTemplate, Silent])
async def test_routes_that_tell_no_template_are_unresolved(kind, measured, routes, recording):
    """One value for all of them, counted and said once; other requests keep their labels."""
    app = measured(Starlette(routes=[kind("/own"), *paths("/x")], middleware=[Middleware(Skip)]))
    for path in ("/own/1", "/own/2", "/x", "/nope", "/skip", "/own/3"):
        await ask(app, path)
    assert {"<unresolved>": 3, "/x": 1, "<unmatched>": 1, "<unrouted>": 1} == routes()
    name = "perfsdk_unresolved_routes_total"
    assert 3 == recording.value(name, framework="starlette")


class Skip:
    """Answers /skip itself."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/skip":
            await PlainTextResponse("skipped")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def leaves_route():
    """Whether this version of Starlette leaves what it chose in the scope."""
    scope = http_scope("/own")
    await ask(Router([NoTemplate("/own")]), scope=scope)
    return "route" in scope


async def test_a_route_class_with_a_template_has_it(measured, routes):
    """And what it chose is not taken for the choice of another request."""
    if not await leaves_route():
        pytest.skip("this version of Starlette tells nobody")
    app = Starlette(
        routes=[
            WithTemplate("/own"),
            Mount("/m", routes=[WithTemplate("/m/own")]),
            *paths("/x"),
        ],
        middleware=[Middleware(Skip)],
    )
    measured(app)
    for path in ("/own/1", "/own/2", "/m/own/3", "/x", "/nope", "/skip", "/own/2"):
        await ask(app, path)
    assert {
        "/own/{anything}": 3,
        "/m/own/{anything}": 1,
        "/x": 1,
        "<unmatched>": 1,
        "<unrouted>": 1,
    } == routes()


async def test_an_outcome_of_a_custom_route_is_not_a_miss(measured, outcomes):
    """A 404 of a route with a template is that route's."""
    if not await leaves_route():
        pytest.skip("this version of Starlette tells nobody")
    app = measured(Starlette(routes=[WithTemplate("/own")]))
    await ask(app, "/own/1", answers=404)
    assert {("GET", "/own/{anything}", "404", ""): 1} == outcomes()


class Pathless(Mount):
    """A mount that never called its parent's __init__."""

    def __init__(self, app):
        self.app = app

    def matches(self, scope):
        return Match.FULL, {}


@pytest.mark.usefixtures("swallow_errors")
async def test_a_mount_without_a_path_is_served(measured, active):
    """What we expect of a mount may be missing: the application does not notice."""
    app = measured(Starlette(routes=[Pathless(answering(start(201), part(b"here")))]))
    answer = await ask(app)
    assert (201, b"here", None) == (answer.status, answer.body, answer.error)
    assert (0, False) == active()


async def test_websockets_and_lifespan_pass_through(measured, recording):
    """They are in no family of HTTP."""

    async def echo(websocket):
        await websocket.accept()
        await websocket.close()

    app = measured(Starlette(routes=[WebSocketRoute("/ws", echo), *paths("/ws/http")]))
    incoming = [{"type": "websocket.connect"}]
    scope = http_scope("/ws") | {"type": "websocket", "subprotocols": []}
    answer = await ask(app, scope=scope, incoming=incoming)
    assert ["websocket.accept", "websocket.close"] == [m["type"] for m in answer.messages]
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    answer = await ask(app, scope={"type": "lifespan", "state": {}}, incoming=incoming)
    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [
        message["type"] for message in answer.messages
    ]
    unknown = http_scope("/nope") | {"type": "websocket", "subprotocols": []}
    await ask(app, scope=unknown, incoming=[{"type": "websocket.connect"}])
    assert [] == recording.series(DURATION)


async def test_routes_added_later_have_their_templates(measured, routes):
    """Also after the first request, and replaced ones are not taken for those before."""
    app = measured(Starlette(routes=paths("/a")))
    await ask(app, "/a")
    for number in range(50):
        app.router.routes[:] = paths(f"/new/{number}")
        await ask(app, f"/new/{number}")
    assert {"/a": 1} | {f"/new/{number}": 1 for number in range(50)} == routes()


async def test_what_is_remembered_of_routes_is_bounded(measured, monkeypatch):
    """An application that makes a route for every request does not grow."""
    monkeypatch.setattr("perfsdk.frameworks.route.MAX_REMEMBERED", 10)
    app = measured(Starlette(routes=paths("/a")))
    await ask(app, "/a")
    finder = app.middleware_stack.find_route.__self__
    for _ in range(100):
        app.router.routes[:] = paths("/a/{x}")
        await ask(app, "/a/1")
        assert len(finder._remembered) <= 10
