"""A plain callable around an application of a framework, both measured: once, with its route."""

from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.frameworks import wsgi_driver
from tests.frameworks.driving import ask


async def test_asgi(measured, outcomes):
    """The framework inside knows the route, also where the middleware copies the scope."""

    async def item(request):
        return PlainTextResponse("item")

    inside = measured(Starlette(routes=[Route("/items/{id}", item)]))

    async def outside(scope, receive, send):
        await inside(dict(scope), receive, send)

    app = measured(outside)
    await ask(app, "/items/7")
    await ask(app, "/nowhere")
    expected = {("GET", "/items/{id}", "200", ""): 1, ("GET", "<unmatched>", "404", ""): 1}
    assert expected == outcomes()


def test_wsgi(measured, outcomes):
    """The same for WSGI."""
    inside = Flask("shop")
    inside.get("/items/<number>")(lambda number: "item")
    measured(inside)
    app = measured(lambda environ, start_response: inside(dict(environ), start_response))
    wsgi_driver.ask(app, "GET", "/items/7")
    wsgi_driver.ask(app, "GET", "/nowhere")
    expected = {("GET", "/items/<number>", "200", ""): 1, ("GET", "<unmatched>", "404", ""): 1}
    assert expected == outcomes()
