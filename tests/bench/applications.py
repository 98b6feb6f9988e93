"""The applications that every library measures, and a server's request without a network."""

import time

FRAMEWORKS = ("starlette", "fastapi")

HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"bench/1.0"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]
DIFFERENT_PATHS = 100


def make(framework, routes=1):
    """An application with `routes` routes that answer JSON; the one in the middle is asked."""
    templates = ["/items/{id}", *(f"/items{n}/{{id}}" for n in range(1, routes))]
    # The first route and the middle one change places.
    middle = routes // 2
    templates[0], templates[middle] = templates[middle], templates[0]
    return _MAKERS[framework](templates)


def _make_starlette(templates):
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def item(request):
        number = int(request.path_params["id"])
        return JSONResponse({"id": number, "name": "widget", "price": 9.99})

    return Starlette(routes=[Route(template, item) for template in templates])


def _make_fastapi(templates):
    from fastapi import FastAPI

    app = FastAPI()

    async def item(id: int):  # noqa: A002 - named by the template
        return {"id": id, "name": "widget", "price": 9.99}

    for template in templates:
        app.get(template)(item)
    return app


_MAKERS = {"starlette": _make_starlette, "fastapi": _make_fastapi}


def scope_of(path):
    """The scope of a GET as uvicorn makes it: 13 keys, 5 headers."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(HEADERS),
        "state": {},
    }


class Client:
    """Asks an application again and again, as one connection after another would.

    `calls` is how many requests were made. Nothing here waits: processor time is the time it
    takes, and the clock on the wall would add what others on the machine take.
    """

    def __init__(self, app):
        self._app = app
        self._statuses = set()
        self.calls = 0

    def microseconds(self, loop, requests):
        """Processor time of one of so many requests."""
        started = time.process_time()
        loop.run_until_complete(self._ask(requests))
        return (time.process_time() - started) / requests * 1e6

    def check(self):
        """Refuse figures of an application that did not answer.

        Raises:
            RuntimeError: a response was no 200.
        """
        if self._statuses != {200}:
            raise RuntimeError(f"answers with status {sorted(self._statuses)}")

    async def _ask(self, requests):
        for number in range(requests):
            scope = scope_of(f"/items/{number % DIFFERENT_PATHS}")
            await self._app(scope, self._receive, self._send)
        self.calls += requests

    async def _receive(self):
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self._statuses.add(message["status"])
