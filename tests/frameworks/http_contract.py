"""What every web framework's measuring promises, as tests to inherit.

A subclass, named `Test...`, derives from `AsgiContract`, `WsgiContract` or `ServerContract`
(a framework that speaks neither protocol, driven through a real server) and gives:

`make_app(stage)`: a new application with these endpoints. What they do is the same everywhere
and stands in `tests/frameworks/contract/stage.py`; a method of the stage that waits has a twin
that ends in `_async`. Texts are sent as text/plain, without compression.

    GET /plain                  stage.plain(), five characters; no other method
    GET /items/{item_id}        the id
    POST /echo                  the length of the body that was read
    GET /boom                   stage.boom() raises before the response
    GET /handled                stage.handled() raises; the application's own handler of
                                `Handled` answers 418
    GET /halt                   stage.halt() raises a BaseException (through raw drivers alone)
    GET /unavailable            answers 503 by itself
    GET /wait                   stage.wait("wait") or wait_async, then HELLO
    GET /empty                  204
    GET /not-modified           304
    GET /large                  LARGE
    GET /stream                 streams stage.chunks(), without a length
    GET /stream-breaks          streams stage.breaking_chunks()
    GET /endless                streams stage.endless_chunks()
    GET /background             HELLO, and after the response stage.background()
    GET /background-raises      HELLO, and after the response stage.background_raises()
    GET /files/{p:path}         p, of any number of segments
    GET /v1/things/{id}, /v2/.. one router, included twice; the id
    GET /sub/hello/{name}       a mount; the name. stage.mounted = the application mounted there
    GET /t/{tenant}/x/{y}       a mount with a parameter; y
    GET /slash/{n}/             HELLO; the framework redirects /slash/7 to /slash/7/
    GET /static/...             the files of stage.directory
    GET /opted-out              HELLO; the handler is decorated with @perfsdk.exclude
    GET /opted-out/{n}          HELLO
    GET /healthz                HELLO; excluded by default
    (websocket) /ws/{room}      accepts, sends back one text message, closes with 1000

A middleware outside the router answers every request that has the header `x-deny` with the
status in it. A framework without some of it says so in `without`.

`templates`: the labels that differ, as {template above: `http_route`}, `/static` among them.
`without`: {feature: reason} of what the framework has not, which skips tests: "prefixes",
    "mounts", "mounted applications", "mounts with parameters", "slash redirects",
    "routes with methods", "made-up methods", "root path", "static files", "middleware",
    "added middleware", "background", "streams", "exception handlers", "cancellation",
    "raw driver", "routes", "opting out", "websockets", "instances", "real server".
`stream_error_type`: what `error_type` is after /stream-breaks, where it is not ValueError and
    no exception reaches the server.
`add_middleware(app, middleware)`: adds `middleware(app)` of the raw protocol to an application
    that is measured already; `with_middleware(stage, middleware)` where it cannot be added later.
`instrument(app, **settings)`, `label(template)`: where they differ.
`modules`: names of the modules of perfsdk that are the framework's own: whatever function of
    theirs fails, replies stay the same. `way_in`: those functions, as "Class.method" or
    "module.function", that servers and frameworks call, so that nobody could keep their errors.
"""

import asyncio
from types import MappingProxyType

import pytest

from tests.frameworks import asgi_driver, server_driver, wsgi_driver
from tests.frameworks.contract.hostile import Hostile
from tests.frameworks.contract.labels import Labels
from tests.frameworks.contract.lifetime import Lifetime
from tests.frameworks.contract.outcomes import Outcomes
from tests.frameworks.contract.selection import Selection
from tests.frameworks.contract.servers import Servers
from tests.frameworks.contract.sizes import Sizes
from tests.frameworks.contract.times import Times
from tests.frameworks.contract.websockets import Websockets


class HttpContract(Labels, Times, Outcomes, Sizes, Hostile, Selection, Lifetime):
    """The cases that every framework can meet."""


class CopyingScope:
    """An ASGI middleware that hands on a copy of the scope, as some do."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(dict(scope), receive, send)


class AsgiContract(Servers, Websockets, HttpContract):
    """The contract of an ASGI framework."""

    copying = CopyingScope
    serving = staticmethod(server_driver.serve_asgi)

    async def drive(self, app, method="GET", path="/", **how):
        return await asgi_driver.drive(app, method, path, **how)

    def behind_a_proxy(self, prefix):
        return [{"root_path": prefix}, {"root_path": prefix, "stripped": True}]

    def unusual(self, number):
        return {"scope": {"http_version": str(number), "scheme": f"s{number}"}}

    def forbidden(self):
        return [lambda scope=scope: {"scope": scope()} for scope in FORBIDDEN_SCOPES]


FORBIDDEN_SCOPES = [
    lambda: {"headers": (pair for pair in [(b"x-request-start", b"t=1"), (b"x-deny", b"401")])},
    lambda: {"headers": [(b"\xff\xfe", b"\xff\x00\r\n")]},
    lambda: {"headers": [("not", "bytes")]},
    lambda: {"headers": [(b"alone",)]},
    lambda: {"headers": None},
    lambda: {"headers": asgi_driver.MISSING},
    lambda: {"path": asgi_driver.MISSING},
    lambda: {"method": asgi_driver.MISSING},
    lambda: {"method": "\udcff"},
    lambda: {"method": b"GET"},
]


class CopyingEnviron:
    """A WSGI middleware that hands on a copy of the environ."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        return self.app(dict(environ), start_response)


class WsgiContract(Servers, HttpContract):
    """The contract of a WSGI framework; it has no tasks that could be cancelled."""

    copying = CopyingEnviron
    serving = staticmethod(server_driver.serve_wsgi)
    protocol_without = MappingProxyType({"cancellation": "WSGI has no tasks"})

    async def drive(self, app, method="GET", path="/", **how):
        return await wsgi_driver.drive(app, method, path, **how)

    def unusual(self, number):
        return {"environ": {"SERVER_PROTOCOL": f"HTTP/{number}", "wsgi.url_scheme": f"s{number}"}}

    def forbidden(self):
        return [lambda environ=environ: {"environ": environ} for environ in FORBIDDEN_ENVIRONS]


FORBIDDEN_ENVIRONS = [
    {"PATH_INFO": wsgi_driver.MISSING},
    {"PATH_INFO": "/\udcff"},
    {"PATH_INFO": None},
    {"CONTENT_LENGTH": None},
    {"CONTENT_LENGTH": "-1"},
    {"HTTP_X_REQUEST_START": None},
    {"HTTP_X_REQUEST_START": "t=\xff"},
    {"REQUEST_METHOD": wsgi_driver.MISSING},
    {"REQUEST_METHOD": "\udcff"},
    {"wsgi.input": wsgi_driver.MISSING},
]


class ServerContract(HttpContract):
    """The contract of a framework with a server of its own, which each request goes through.

    A subclass gives `start(app)`: a coroutine that serves the application in the running loop
    and gives its port and a function that returns a coroutine to stop it.
    """

    first_byte_is_seen_at_once = False
    many = 200
    protocol_without = MappingProxyType(
        {
            "raw driver": "requests come from a real client",
            "made-up methods": "servers refuse them",
            "root path": "the server has none",
        }
    )

    async def start(self, app):
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def _servers(self):
        self._started = []
        self._starting = asyncio.Lock()
        yield
        for _, _, stop in self._started:
            await stop()

    async def drive(self, app, method="GET", path="/", **how):
        async with self._starting:
            port = next((port for known, port, _ in self._started if known is app), None)
            if port is None:
                port, stop = await self.start(app)
                self._started.append((app, port, stop))
        return await server_driver.drive(port, method, path, **how)

    async def forget_servers(self):
        for _, _, stop in self._started:
            await stop()
        self._started.clear()
