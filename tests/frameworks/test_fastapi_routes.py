"""The label is the whole template through every kind of inclusion that FastAPI knows."""

import asyncio

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.frameworks.driving import ask, body_messages, http_scope
from tests.frameworks.versions import since

DURATION = "http_server_request_duration_seconds"


def items():
    """A router with a prefix of its own."""
    router = APIRouter(prefix="/items")

    @router.get("/{item_id}")
    async def item(item_id: int):
        return item_id

    @router.post("")
    def make():
        return "made"

    return router


async def test_inclusions_three_deep(measured, outcomes):
    """Prefixes with parameters join; methods that are not there count under the template."""
    middle, outer, app = APIRouter(prefix="/m"), APIRouter(), FastAPI()
    middle.include_router(items(), prefix="/{owner}")
    outer.include_router(middle, prefix="/o")
    app.include_router(outer, prefix="/api")
    measured(app)
    for method, path in (
        ("GET", "/api/o/m/me/items/7"),
        ("POST", "/api/o/m/me/items"),
        ("DELETE", "/api/o/m/me/items"),
        ("GET", "/api/o/m/me/items/not-a-number"),
    ):
        await ask(app, path, method)
    template = "/api/o/m/{owner}/items"
    assert {
        ("GET", f"{template}/{{item_id}}", "200", ""): 1,
        ("POST", template, "200", ""): 1,
        ("DELETE", template, "405", ""): 1,
        ("GET", f"{template}/{{item_id}}", "422", ""): 1,
    } == outcomes()


async def test_a_router_included_before_its_routes_are_made(measured, routes):
    """Whether or not this version of FastAPI takes them up, what it serves has its template."""
    app, router = FastAPI(), APIRouter(prefix="/late")
    app.include_router(router, prefix="/v1")
    measured(app)

    @router.get("/{x}")
    async def late(x):
        return x

    found = (await ask(app, "/v1/late/1")).status == 200
    assert {"/v1/late/{x}" if found else "<unmatched>": 1} == routes()


async def test_sub_applications(measured, routes):
    """FastAPI in FastAPI, instrumented or not, below a mount with a parameter."""
    sub = FastAPI()
    sub.include_router(items(), prefix="/v1")
    app = FastAPI()
    app.mount("/sub", sub)
    app.mount("/t/{tenant}", sub)
    measured(app)
    measured(sub)
    for number in range(10):
        assert 200 == (await ask(app, f"/t/{number}/v1/items/{number}")).status
    for path in ("/sub/v1/items/1", "/sub/openapi.json", "/sub/nope", "/openapi.json"):
        await ask(app, path)
    assert {
        "/t/{tenant}/v1/items/{item_id}": 10,
        "/sub/v1/items/{item_id}": 1,
        "/sub/openapi.json": 1,
        "<unmatched>": 1,
        "/openapi.json": 1,
    } == routes()


async def test_routes_of_starlette_in_an_included_router(measured, routes, tmp_path):
    """Plain routes, mounts and files keep the prefix of the inclusion where FastAPI has it."""
    (tmp_path / "a.txt").write_text("a")

    async def plain(request):
        return PlainTextResponse("plain")

    app, router = FastAPI(), APIRouter()
    router.add_route("/plain/{x}", plain)
    app.include_router(router, prefix="/v1")
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.router.routes.append(Mount("/mounted", routes=[Route("/{x}", plain)]))
    measured(app)
    for path in ("/v1/plain/1", "/static/a.txt", "/static/b.txt", "/mounted/1"):
        await ask(app, path)
    assert {"/v1/plain/{x}": 1, "/static": 2, "/mounted/{x}": 1} == routes()


@since("starlette", "0.33", "a path may begin with the root path")
@pytest.mark.parametrize("root_path", ["", "/pfx"])
async def test_the_root_path_is_no_part_of_the_label(root_path, measured, routes):
    """FastAPI's own setting, with a path that has it and one that has not."""
    app = FastAPI(root_path=root_path)
    app.include_router(items(), prefix="/v1")
    measured(app)
    for path in ("/v1/items/1", f"{root_path}/v1/items/1"):
        assert 200 == (await ask(app, path)).status
    assert {"/v1/items/{item_id}": 2} == routes()


class Gone(Exception):  # noqa: N818 - an application's own name
    """An error for which the application has a handler."""


async def test_outcomes_of_errors(measured, outcomes):
    """Handlers decide the status; below 500 there is no error type, above it the class."""
    app = FastAPI()

    @app.exception_handler(Gone)
    async def gone(request, error):
        return JSONResponse({}, 410)

    @app.exception_handler(LookupError)
    async def lookup(request, error):
        return JSONResponse({}, 502)

    raised = {
        "value": ValueError(),
        "gone": Gone(),
        "lookup": KeyError(),
        "404": HTTPException(404),
        "503": HTTPException(503),
    }

    @app.get("/{name}")
    async def fail(name: str):
        if name == "returned":
            return JSONResponse({}, 503)
        raise raised[name]

    measured(app)
    answer = await ask(app, "/value")
    assert raised["value"] is answer.error
    assert 500 == answer.status
    for name in ("gone", "lookup", "404", "503", "returned"):
        assert (await ask(app, f"/{name}")).error is None
    assert {
        ("GET", "/{name}", "500", "ValueError"): 1,
        ("GET", "/{name}", "410", ""): 1,
        ("GET", "/{name}", "502", "KeyError"): 1,
        ("GET", "/{name}", "404", ""): 1,
        ("GET", "/{name}", "503", "HTTPException"): 1,
        ("GET", "/{name}", "503", "503"): 1,
    } == outcomes()


@pytest.mark.parametrize("debug", [False, True])
async def test_a_handler_of_everything_decides_the_status(debug, measured, outcomes):
    """Also when it answers with a client error: 4xx wins, and the error goes on."""
    app = FastAPI(debug=debug)
    error = ValueError()

    @app.get("/")
    async def fail():
        raise error

    measured(app)

    @app.exception_handler(Exception)
    async def handle(request, error):
        return JSONResponse({}, 418)

    answer = await ask(app)
    assert error is answer.error
    expected = ("500", "ValueError") if debug else ("418", "")
    assert {("GET", "/", *expected): 1} == outcomes()


async def test_a_stream_that_is_left_is_a_disconnect(measured, outcomes):
    """By each of the two ways in which Starlette learns of it."""
    app = FastAPI()

    async def parts():
        while True:
            yield b"part"
            await asyncio.sleep(0)

    @app.get("/")
    async def stream():
        return StreamingResponse(parts())

    measured(app)
    incoming = [*body_messages(b""), {"type": "http.disconnect"}]
    await ask(app, incoming=incoming)
    sends = []

    async def sending(message):
        sends.append(message)
        if len(sends) == 3:
            raise BrokenPipeError

    asgi = {"version": "3.0", "spec_version": "2.4"}
    await ask(app, scope=http_scope() | {"asgi": asgi}, send=sending)
    assert {("GET", "/", "200", "client_disconnect"): 2} == outcomes()


async def test_an_upload_that_is_broken_off_is_a_disconnect(measured, outcomes):
    """The endpoint fails to read the body of a client that has gone: no server error."""
    app = FastAPI()

    @app.post("/")
    async def upload(request: Request):
        return len(await request.body())

    measured(app)
    part = {"type": "http.request", "body": b"part", "more_body": True}
    await ask(app, method="POST", incoming=[part, {"type": "http.disconnect"}])
    assert {("POST", "/", "499", "client_disconnect"): 1} == outcomes()


async def test_dependencies_that_answer_are_the_routes_outcome(measured, outcomes):
    """A refusal by a dependency happens after routing."""

    async def refuse():
        raise HTTPException(401)

    app = FastAPI()

    @app.get("/x/{y}", dependencies=[Depends(refuse)])
    async def endpoint(y):
        return y

    measured(app)
    await ask(app, "/x/1")
    assert {("GET", "/x/{y}", "401", ""): 1} == outcomes()


class OddRoute(APIRoute):
    """Leaves in the scope what a version of FastAPI to come may leave there."""

    def matches(self, scope):
        match = super().matches(scope)
        scope["fastapi"] = 7
        return match


@pytest.mark.usefixtures("swallow_errors")
async def test_a_scope_that_we_do_not_know_changes_nothing(measured, routes, monkeypatch):
    """Another shape of FastAPI's own entry: served, and counted under the route's own path."""

    async def handle(self, scope, receive, send):
        await PlainTextResponse("served")(scope, receive, send)

    monkeypatch.setattr(APIRoute, "handle", handle)
    app = FastAPI()
    app.router.add_api_route("/x/{y}", items, route_class_override=OddRoute)
    measured(app)
    answer = await ask(app, "/x/1")
    assert (200, b"served", None) == (answer.status, answer.body, answer.error)
    assert {"/x/{y}": 1} == routes()


def test_frontends_have_bounded_labels(measured, tmp_path, routes):
    """Files that FastAPI serves at low priority are no template that we know."""
    app = FastAPI()
    if not hasattr(app.router, "frontend"):
        pytest.skip("this version of FastAPI serves no frontend")
    (tmp_path / "index.html").write_text("<p>")
    app.router.frontend("/", directory=tmp_path)
    measured(app)
    for path in ("/", "/index.html", "/nope/1", "/nope/2"):
        asyncio.run(ask(app, path))
    assert {"<unresolved>", "<unmatched>"} >= set(routes())
    assert 4 == sum(routes().values())
