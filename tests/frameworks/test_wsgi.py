"""A plain WSGI callable keeps the contract of frameworks."""

from http import HTTPStatus

from tests.frameworks.contract.framework import PlainCallable
from tests.frameworks.contract.stage import HELLO, LARGE
from tests.frameworks.http_contract import WsgiContract
from tests.frameworks.wsgi_modules import WSGI_MODULES, WSGI_WAY_IN


class TestPlainWsgiContract(PlainCallable, WsgiContract):
    """A callable that nobody knows: it has one route for everything."""

    modules = WSGI_MODULES
    way_in = WSGI_WAY_IN
    without = dict.fromkeys(
        (
            "prefixes",
            "mounts",
            "routes",
            "routes with methods",
            "opting out",
            "slash redirects",
            "static files",
            "exception handlers",
            "added middleware",
        ),
        "a plain callable has none",
    )

    def make_app(self, stage):
        return plain_app(stage)

    def with_middleware(self, stage, middleware):
        return middleware(plain_app(stage))


def plain_app(stage):
    """The endpoints, told apart by hand."""

    def app(environ, start_response):
        def answer(text, status=200):
            start_response(f"{status} {HTTPStatus(status).phrase}", [TEXT])
            return [text.encode()]

        path = environ["PATH_INFO"]
        if "HTTP_X_DENY" in environ:
            return answer("no", int(environ["HTTP_X_DENY"]))
        if path.startswith(("/items/", "/files/")):
            return answer(path.split("/", 2)[2])
        if path == "/echo":
            length = environ["CONTENT_LENGTH"]
            return answer(str(len(environ["wsgi.input"].read(int(length)))) if length else "0")
        if path in streams:
            start_response("200 OK", [TEXT])
            return streams[path]()
        if path in tasks:
            start_response("200 OK", [TEXT, ("Content-Length", str(len(HELLO)))])
            return Followed(tasks[path])
        if path in fixed:
            return answer(*fixed[path])
        if path == "/wait":
            stage.wait("wait")
            return answer(HELLO)
        if path in raising:
            return answer(raising[path]())
        return answer("", 404)

    streams = {
        "/stream": stage.chunks,
        "/stream-breaks": stage.breaking_chunks,
        "/endless": stage.endless_chunks,
    }
    tasks = {"/background": stage.background, "/background-raises": stage.background_raises}
    fixed = {
        "/large": (LARGE,),
        "/healthz": (HELLO,),
        "/unavailable": ("no", 503),
        "/empty": ("", 204),
        "/not-modified": ("", 304),
    }
    raising = {"/plain": stage.plain, "/boom": stage.boom, "/halt": stage.halt}
    return app


TEXT = ("Content-Type", "text/plain")


class Followed:
    """A body of one part; when the server closes it, some work follows."""

    def __init__(self, function):
        self.close = function

    def __iter__(self):
        yield HELLO.encode()
