"""The route of a WebSocket is its whole template, however the application is put together."""

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, WebSocket, WebSocketException
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute

from perfsdk import exclude
from perfsdk.frameworks.labels import UNMATCHED, UNRESOLVED, UNROUTED
from tests.frameworks.asgi_driver import drive
from tests.frameworks.websocket_driver import (
    ACTIVE,
    CLOSE,
    LASTED,
    MESSAGES,
    connected,
    converse,
    disconnect,
    read_closes,
    sending,
    text,
)


async def echo_once(websocket: WebSocket):
    """Sends one message back."""
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


class Echo(WebSocketEndpoint):
    """The same, as a class."""

    encoding = "text"

    async def on_receive(self, websocket, data):
        await websocket.send_text(data)
        await websocket.close()


@exclude
async def opted_out(websocket):
    """Not to be measured."""
    await echo_once(websocket)


class Copying:
    """A middleware that passes on a copy of the scope."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(dict(scope), receive, send)


class Denying:
    """A middleware that turns away some clients before they are routed."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        app = sending(CLOSE) if scope["path"].startswith("/denied/") else self.app
        await app(scope, receive, send)


class Unknown(BaseRoute):
    """A route of which nothing can be told."""

    def matches(self, scope):
        return (Match.FULL if scope["path"].startswith("/unknown/") else Match.NONE), {}

    async def handle(self, scope, receive, send):
        await echo_once(WebSocket(scope, receive, send))


def starlette(*middleware):
    """A Starlette application with routes of every kind."""
    rooms = Router([WebSocketRoute("/ws/{room}", echo_once)])
    return Starlette(
        routes=[
            WebSocketRoute("/ws/{room}", echo_once),
            WebSocketRoute("/class/{room:int}", Echo),
            WebSocketRoute("/files/{p:path}", echo_once),
            WebSocketRoute("/out/{room}", opted_out),
            Mount("/t/{tenant}", rooms),
            Mount("/outer/{a}", Router([Mount("/inner/{b}", rooms)])),
            Mount("/sub", Starlette(routes=[WebSocketRoute("/ws/{room}", echo_once)])),
            Mount("/plain", sending(CLOSE)),
            Host("{tenant}.example.com", rooms),
            Route("/http", lambda request: PlainTextResponse("")),
        ],
        middleware=[Middleware(each) for each in (Denying, *middleware)],
    )


ROUTES = {
    "/ws/7": ("/ws/{room}", "1000"),
    "/class/7": ("/class/{room:int}", "1000"),
    "/files/a/b": ("/files/{p:path}", "1000"),
    "/t/acme/ws/7": ("/t/{tenant}/ws/{room}", "1000"),
    "/outer/1/inner/2/ws/7": ("/outer/{a}/inner/{b}/ws/{room}", "1000"),
    "/sub/ws/7": ("/sub/ws/{room}", "1000"),
    "/plain/7": ("/plain", "rejected"),
    "/t/acme/nope": (UNMATCHED, "rejected"),
    "/nope": (UNMATCHED, "rejected"),
    "/http": (UNMATCHED, "rejected"),
    "/denied/7": (UNROUTED, "rejected"),
}


@pytest.mark.parametrize("middleware", [(), (Copying,)], ids=["plain", "copied scope"])
@pytest.mark.parametrize("path", ROUTES)
async def test_starlette(path, middleware, measured, recording):
    """With mounts in mounts and classes, and when a middleware copied the scope."""
    bare = await converse(starlette(*middleware), text(), path=path)
    app = measured(starlette(*middleware))
    for _ in range(2):
        assert bare == await converse(app, text(), path=path)
    assert {ROUTES[path]: 2} == read_closes(recording)
    opened = 2 * (ROUTES[path][1] == "1000")
    assert opened == recording.count(LASTED)
    assert opened == recording.value(MESSAGES, direction="sent")
    assert 0 == recording.value(ACTIVE)


async def test_many_rooms_of_many_tenants(measured, recording):
    """They are one series."""
    app = measured(starlette())
    for number in range(100):
        await converse(app, text(), path=f"/t/{number}/ws/{number}")
    assert {("/t/{tenant}/ws/{room}", "1000"): 100} == read_closes(recording)


async def test_a_handler_that_opted_out(measured, recording):
    """It is served, and not seen."""
    sent, _ = await converse(measured(starlette()), text(), path="/out/7")
    assert 3 == len(sent)
    assert {} == read_closes(recording)
    assert [] == recording.series(ACTIVE)


async def test_a_route_that_tells_no_template(measured, recording, caplog):
    """Counted as unresolved, and logged."""
    app = measured(Starlette(routes=[Unknown()]))
    await converse(app, text(), path="/unknown/7")
    assert {(UNRESOLVED, "1000"): 1} == read_closes(recording)
    assert "tell no template" in caplog.text


async def test_a_mounted_application_that_is_measured_too(measured, recording):
    """The connection is counted once, under the whole template."""
    inner = measured(Starlette(routes=[WebSocketRoute("/ws/{room}", echo_once)]))
    app = measured(Starlette(routes=[Mount("/sub", inner)]))
    await converse(app, text(), path="/sub/ws/7")
    assert {("/sub/ws/{room}", "1000"): 1} == read_closes(recording)


async def test_requests_and_connections_side_by_side(measured, recording, routes):
    """A request during a connection is a request of its own, and the other way round."""
    app = measured(starlette())
    async with connected(app, "/ws/7") as (_, says, _):
        assert 200 == (await drive(app, path="/http")).status
        assert {"/http": 1} == routes()
        assert 1 == recording.value(ACTIVE, http_route="/ws/{room}")
        says.put_nowait(disconnect())


def fastapi():
    """A FastAPI application with routers under prefixes, and dependencies that refuse."""

    def refuse():
        raise WebSocketException(code=1008)

    async def accept_and_refuse(websocket: WebSocket):
        await websocket.accept()
        refuse()

    app = FastAPI()
    app.websocket("/ws/{room}")(echo_once)
    app.websocket("/refused")(accept_and_refuse)
    app.websocket("/dependency", dependencies=[Depends(refuse)])(echo_once)

    @app.websocket("/validated/{number}")
    async def validated(websocket: WebSocket, number: int, token: str = Query()):
        await echo_once(websocket)

    rooms = APIRouter(prefix="/rooms")
    rooms.websocket("/{room}/ws")(echo_once)
    outer = APIRouter(prefix="/outer/{a}")
    outer.include_router(rooms, prefix="/inner")
    app.include_router(rooms, prefix="/v1")
    app.include_router(rooms, prefix="/v2")
    app.include_router(outer)
    tenant = FastAPI()
    tenant.include_router(rooms, prefix="/v3")
    app.mount("/t/{tenant}", tenant)
    return app


FASTAPI_ROUTES = {
    "/ws/7": ("/ws/{room}", "1000"),
    "/v1/rooms/7/ws": ("/v1/rooms/{room}/ws", "1000"),
    "/v2/rooms/7/ws": ("/v2/rooms/{room}/ws", "1000"),
    "/outer/1/inner/rooms/7/ws": ("/outer/{a}/inner/rooms/{room}/ws", "1000"),
    "/t/acme/v3/rooms/7/ws": ("/t/{tenant}/v3/rooms/{room}/ws", "1000"),
    "/refused": ("/refused", "1008"),
    "/dependency": ("/dependency", "rejected"),
    "/validated/what": ("/validated/{number}", "rejected"),
    "/nope": (UNMATCHED, "rejected"),
    "/v1/rooms/7": (UNMATCHED, "rejected"),
}


@pytest.mark.parametrize("path", FASTAPI_ROUTES)
async def test_fastapi(path, measured, recording):
    """With prefixes in prefixes; the code of a WebSocketException, rejected before accept."""
    bare = await converse(fastapi(), text(), path=path)
    app = measured(fastapi())
    for _ in range(2):
        assert bare == await converse(app, text(), path=path)
    assert {FASTAPI_ROUTES[path]: 2} == read_closes(recording)
    assert 0 == recording.value(ACTIVE)


async def test_all_inclusions_of_a_router_in_one_application(measured, recording):
    """Each has its own series, in whatever order."""
    app = measured(fastapi())
    for path in (*FASTAPI_ROUTES, *reversed(FASTAPI_ROUTES)):
        await converse(app, text(), path=path)
    expected = dict.fromkeys(FASTAPI_ROUTES.values(), 2)
    expected[UNMATCHED, "rejected"] = 4
    assert expected == read_closes(recording)
