"""Routes of aiohttp.web are templates, whichever of its routers found them."""

import pytest
from aiohttp import http_parser, web, web_protocol

from perfsdk import exclude
from perfsdk.frameworks.aiohttp_routes import RouteFinder
from perfsdk.request import current
from tests.frameworks.aiohttp_driver import application, make_expect, ok, open_clients, read
from tests.frameworks.contract.framework import until

clients = pytest.fixture(open_clients)
expect = pytest.fixture(make_expect)

DURATION = "http_server_request_duration_seconds"


class Items(web.View):
    """A class of handlers."""

    async def get(self):
        """Say which item."""
        return web.Response(text=self.request.match_info["id"])


@exclude
class Hidden(Items):
    """One that opted out."""


async def test_templates(measured, clients, expect):
    """Regular expressions are no part of them, prefixes of nested applications are."""
    inner = web.Application()
    inner.router.add_get("/{name}", ok)
    outer = web.Application()
    outer.router.add_get("/", ok)
    outer.add_subapp("/inner", inner)
    app = web.Application()
    app.router.add_view(r"/items/{id:\d+}", Items)
    app.router.add_view("/hidden/{id}", Hidden)
    app.router.add_route("*", "/any", ok)
    app.add_subapp("/outer", outer)
    client = await clients(measured(app))
    for path in ("/items/7", "/any", "/outer/", "/outer/inner/me", "/hidden/7"):
        assert 200 == (await read(client, path))[0], path
    assert 404 == (await read(client, "/items/seven"))[0]
    assert 404 == (await read(client, "/outer/nope/nope"))[0]
    await expect(
        "GET /items/{id} 200",
        "GET /any 200",
        "GET /outer/ 200",
        "GET /outer/inner/{name} 200",
        "GET <unmatched> 404",
        "GET <unmatched> 404",
    )


async def test_methods_that_are_not_allowed(measured, clients, expect):
    """Under the template, also in applications inside and in class-based views."""
    inner = web.Application()
    inner.router.add_get("/{name}", ok)
    domain = web.Application()
    domain.router.add_put("/of/{domain}", ok)
    app = web.Application()
    app.router.add_get("/items/{id}", ok)
    app.router.add_post("/items/{id}", ok)
    app.router.add_view("/views/{id}", Items)
    app.add_subapp("/inner", inner)
    app.add_domain("*.example.org", domain)
    client = await clients(measured(app))
    for path in ("/items/7", "/views/7", "/inner/me"):
        assert 405 == (await read(client, path, "DELETE"))[0], path
    headers = {"Host": "a.example.org"}
    assert 405 == (await read(client, "/of/7", "DELETE", headers=headers))[0]
    assert 200 == (await read(client, "/of/7", "PUT", headers=headers))[0]
    await expect(
        "DELETE /items/{id} 405",
        "DELETE /views/{id} 405",
        "DELETE /inner/{name} 405",
        "DELETE /of/{domain} 405",
        "PUT /of/{domain} 200",
    )


async def test_what_clients_choose_makes_no_series(measured, clients, recording, monkeypatch):
    """1,000 paths, 100 methods and 100 hosts: three routes, one more method."""
    monkeypatch.setattr(web_protocol, "HttpRequestParser", http_parser.HttpRequestParserPy)
    app = application(ok, "/items/{id}")
    app.add_domain("*.example.org", application(ok, "/domain"))
    client = await clients(measured(app))
    for number in range(1000):
        assert 404 == (await read(client, f"/{number}/x"))[0]
    for number in range(100):
        assert 200 == (await read(client, f"/items/{number}", f"MADE-UP-{number}"))[0]
        headers = {"Host": f"h{number}.example.org"}
        assert 200 == (await read(client, "/domain", headers=headers))[0]
    await until(lambda: 1200 == recording.count(DURATION), "all requests")
    assert 3 == len(recording.series(DURATION))
    routes = {labels["http_route"] for labels in recording.series(DURATION)}
    assert {"<unmatched>", "/items/{id}", "/domain"} == routes
    assert 100 == recording.count(DURATION, http_request_method="_OTHER")


async def test_a_middleware_that_hands_on_a_clone(measured, clients, expect):
    """Template, sizes and account are those of the request."""
    seen = []

    @web.middleware
    async def cloning(request, handler):
        return await handler(request.clone(headers={"Host": "b"}))

    async def handler(request):
        seen.append(current.get())
        return web.Response(text="ok")

    app = application(handler, "/{x}", middlewares=[cloning])
    client = await clients(measured(app))
    assert 200 == (await read(client, "/a"))[0]
    await expect("GET /{x} 200")
    assert [None] != seen


@pytest.mark.parametrize(
    ("owner", "name", "route"),
    [
        (web.PlainResource, "canonical", "<unresolved>"),
        (web.UrlMappingMatchInfo, "route", "<unresolved>"),
        (web.Request, "match_info", "<unrouted>"),
    ],
)
async def test_an_unknown_structure_of_routes(
    owner, name, route, measured, clients, outcomes, recording, monkeypatch
):
    """The request is counted, as one whose route cannot be told."""
    client = await clients(measured(application(ok, "/a")))
    find = RouteFinder.find

    def find_without(self, request, status):
        with monkeypatch.context() as hidden:
            hidden.setattr(owner, name, None)
            return find(self, request, status)

    monkeypatch.setattr(RouteFinder, "find", find_without)
    assert 200 == (await read(client, "/a"))[0]
    await until(outcomes, "the request")
    assert {("GET", route, "200", ""): 1} == outcomes()
    unresolved = recording.value("perfsdk_unresolved_routes_total", framework="aiohttp")
    assert unresolved == (route == "<unresolved>")
