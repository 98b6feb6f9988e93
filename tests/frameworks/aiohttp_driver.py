"""Serves an application of aiohttp.web, and asks it as aiohttp's own client does."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.frameworks.contract.framework import until


class PatientServer(TestServer):
    """One that lets handlers go on when the client has left, as servers do by default."""

    async def _make_runner(self, **options):
        return await super()._make_runner(**options | {"handler_cancellation": False})


async def open_clients():
    """A fixture: `clients(app)` serves an application, or starts a server, and is its client."""
    opened = []

    async def open_client(app, **options):
        server = app if isinstance(app, TestServer) else TestServer(app, **options)
        client = TestClient(server, auto_decompress=False)
        opened.append(client)
        await client.start_server()
        return client

    yield open_client
    for client in opened:
        await client.close()


def make_expect(outcomes):
    """A fixture: `await expect("GET / 200", ...)`: these were recorded, as often as given."""

    async def check(*requests):
        expected = {}
        for request in requests:
            method, route, status, *error_type = request.split(" ")
            key = (method, route, status, "".join(error_type))
            expected[key] = expected.get(key, 0) + 1
        await until(lambda: sum(outcomes().values()) >= len(requests), "requests recorded")
        assert expected == outcomes()

    return check


def application(handler, path="/", method="*", **options):
    """An application with one route."""
    app = web.Application(**options)
    app.router.add_route(method, path, handler)
    return app


async def read(client, path="/", method="GET", **options):
    """The status and the body of one request."""
    async with client.request(method, path, **options) as response:
        return response.status, await response.read()


async def ok(request):
    """A handler."""
    return web.Response(text="ok")
