"""Quart: rules of everything that is matched, errors that it answers, work beside a request."""

import asyncio
import functools
import socket
import threading
from contextlib import suppress

import pytest
import quart.app
import quart.ctx
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Blueprint, Quart, abort, request, websocket
from quart.views import MethodView
from werkzeug.exceptions import Conflict

import perfsdk
from perfsdk import uninstrument
from perfsdk.request import current
from tests.frameworks import server_driver
from tests.frameworks.contract.framework import until
from tests.frameworks.driving import ask
from tests.servers import HOST, free_port

UNRESOLVED = "perfsdk_unresolved_routes_total"
BACKGROUND = "background_task_duration_seconds"


def make(**more):
    """An application that logs nothing."""
    app = Quart("shop", **more)
    app.logger.disabled = True
    return app


def hello(app, *rules, **options):
    """Have the application answer under some rules."""

    async def view(**_):
        return "hello"

    for rule in rules:
        app.add_url_rule(rule, endpoint=rule.replace(".", "-"), view_func=view, **options)


async def ask_all(app, *requests):
    """The statuses of requests such as "GET /"."""
    asked = [await ask(app, *reversed(request.split())) for request in requests]
    return [answer.status for answer in asked]


async def test_rules_of_blueprints_views_and_methods(measured, outcomes):
    """As Quart spells them; a method that no view has counts under the rule of the path."""
    app = make()

    class Orders(MethodView):
        async def get(self, order):
            return str(order)

        async def delete(self, order):
            return ""

    app.add_url_rule("/orders/<int:order>", view_func=Orders.as_view("orders"))
    parent, child = Blueprint("p", "p", url_prefix="/p/<x>"), Blueprint("c", "c", url_prefix="/c")
    hello(child, "/<float:y>")
    parent.register_blueprint(child)
    app.register_blueprint(parent)
    hello(app, "/tree/")
    hello(app, "/only/<n>", methods=["POST"])
    measured(app)
    statuses = await ask_all(
        app,
        "GET /orders/7",
        "DELETE /orders/8",
        "PUT /orders/8",
        "OPTIONS /orders/9",
        "HEAD /orders/9",
        "GET /orders/seven",
        "GET /p/1/c/2.5",
        "GET /tree",
        "GET /only/1",
    )
    assert [200, 200, 405, 200, 200, 404, 200, 308, 405] == statuses
    assert {
        ("GET", "/orders/<int:order>", "200", ""): 1,
        ("DELETE", "/orders/<int:order>", "200", ""): 1,
        ("PUT", "/orders/<int:order>", "405", ""): 1,
        ("OPTIONS", "/orders/<int:order>", "200", ""): 1,
        ("HEAD", "/orders/<int:order>", "200", ""): 1,
        ("GET", "<unmatched>", "404", ""): 1,
        ("GET", "/p/<x>/c/<float:y>", "200", ""): 1,
        ("GET", "<redirect>", "308", ""): 1,
        ("GET", "/only/<n>", "405", ""): 1,
    } == outcomes()


async def test_exceptions_that_quart_answers_have_their_class(measured, outcomes):
    """Unhandled or answered by the application with a server error; other answers win."""
    app = make()
    errors = {
        "raised": ValueError(),
        "turned": Conflict(),
        "told": LookupError(),
        "handled": KeyError(),
    }

    @app.get("/<name>")
    async def fail(name):
        if name == "aborted":
            abort(503)
        raise errors[name]

    @app.get("/after")
    async def after():
        return ""

    @app.after_request
    async def break_it(response):
        if request.path == "/after":
            raise OSError
        return response

    app.errorhandler(LookupError)(lambda _: ("told", 501))
    app.errorhandler(KeyError)(lambda _: ("fine", 200))
    measured(app)
    names = ("raised", "turned", "told", "handled", "aborted", "after")
    statuses = await ask_all(app, *(f"GET /{name}" for name in names))
    assert [500, 409, 501, 200, 503, 500] == statuses
    assert {
        ("GET", "/<name>", "500", "ValueError"): 1,
        ("GET", "/<name>", "409", ""): 1,
        ("GET", "/<name>", "501", "LookupError"): 1,
        ("GET", "/<name>", "200", ""): 1,
        ("GET", "/<name>", "503", "ServiceUnavailable"): 1,
        ("GET", "/after", "500", "OSError"): 1,
    } == outcomes()


@pytest.mark.parametrize("testing", [False, True])
async def test_a_hook_before_the_view_answers_under_the_rule(testing, measured, outcomes):
    """It was matched; what raises there raises in the request, also where Quart shows it."""
    app = make()
    hello(app, "/one")
    app.testing = testing

    @app.before_request
    async def deny():
        if request.args.get("raise"):
            raise ValueError
        return "no", 401

    measured(app)
    assert 401 == (await ask(app, "/one")).status
    assert 500 == (await ask(app, "/one", query_string=b"raise=1")).status
    assert {("GET", "/one", "401", ""): 1, ("GET", "/one", "500", "ValueError"): 1} == outcomes()


async def test_views_that_opted_out(measured, routes):
    """The function, or the class that views are made of; all of their methods."""
    app = make()

    @app.get("/function")
    @perfsdk.exclude
    def function():
        return ""

    @perfsdk.exclude
    class Out(MethodView):
        async def get(self):
            return ""

    app.add_url_rule("/class", view_func=Out.as_view("out"))
    hello(app, "/in")
    measured(app)
    requests = [
        f"{method} {path}"
        for path in ("/function", "/class", "/in")
        for method in ("GET", "OPTIONS", "PUT")
    ]
    assert [200, 200, 405] * 3 == await ask_all(app, *requests)
    assert {"/in": 3} == routes()


async def test_a_view_in_a_thread_sees_the_account(measured, outcomes):
    """Quart copies the context; so does it for a body that is made in threads."""
    app, seen = make(), []

    @app.get("/view")
    def view():
        seen.append((current.get(), threading.current_thread() is threading.main_thread()))

        def body():
            seen.append((current.get(), threading.current_thread() is threading.main_thread()))
            yield "part"

        return body()

    measured(app)
    assert [200] == await ask_all(app, "GET /view")
    (first, main), (second, still_main) = seen
    assert first is not None
    assert first is second
    assert (False, False) == (main, still_main)
    assert {("GET", "/view", "200", ""): 1} == outcomes()


async def test_a_background_task_is_charged_to_no_request(measured, recording):
    """It has no account, runs as its kind does, and has its own time and exceptions."""
    app, seen = make(), {}

    async def in_loop(value):
        await asyncio.sleep(0.002)
        seen["loop"] = value, current.get(), threading.current_thread() is threading.main_thread()

    def in_thread(*, value):
        seen["thread"] = value, current.get(), threading.current_thread() is threading.main_thread()
        raise ValueError

    @app.get("/start/<n>")
    async def start(n):
        app.add_background_task(in_loop, n)
        app.add_background_task(in_thread, value=n)
        assert current.get() is not None
        return n

    measured(app)
    assert [200] == await ask_all(app, "GET /start/7")
    await until(lambda: 2 == recording.count(BACKGROUND), "both tasks")
    assert {"loop": ("7", None, True), "thread": ("7", None, False)} == seen
    assert 2 == recording.count(BACKGROUND, http_route="/start/<n>")
    assert 1 == recording.value("background_task_exceptions_total", http_route="/start/<n>")


async def test_a_background_task_of_no_request_is_nobody_s(measured, recording):
    """As it is started when the application serves."""
    app, done = make(), asyncio.Event()

    async def work():
        done.set()

    measured(app)
    app.add_background_task(work)
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.gather(*app.background_tasks)
    assert [] == recording.series(BACKGROUND)


async def test_a_rule_that_nobody_knows_is_unresolved(measured, routes, recording, monkeypatch):
    """Counted, and nothing raised."""
    app = make()
    hello(app, "/one")
    measured(app)
    for rule in app.url_map.iter_rules():
        monkeypatch.setattr(rule, "rule", None)
    assert [200] == await ask_all(app, "GET /one")
    assert {"<unresolved>": 1} == routes()
    assert 1 == recording.value(UNRESOLVED)


@pytest.mark.usefixtures("swallow_errors")
async def test_a_context_that_tells_nothing_is_unresolved(measured, routes, recording, monkeypatch):
    """Nobody says then that a middleware has answered."""
    context = quart.ctx._BaseRequestWebsocketContext
    matching = context.match_request
    opening = context._push

    async def push(self):
        adapter, self.url_adapter = self.url_adapter, None
        await opening(self)
        self.url_adapter = adapter
        matching(self)

    monkeypatch.setattr(context, "_push", push)
    monkeypatch.delattr(context, "match_request")
    app = make()
    hello(app, "/one")
    measured(app)
    assert [200] == await ask_all(app, "GET /one")
    assert {"<unresolved>": 1} == routes()
    assert 1 == recording.value(UNRESOLVED)


def test_the_process_is_what_it_was(measured):
    """The identical methods, of the application and of the classes."""
    owners = (quart.app.Quart, quart.ctx.RequestContext, quart.ctx.WebsocketContext)
    before = [dict(vars(owner)) for owner in owners]
    app = make()
    own = dict(vars(app))
    assert app is measured(app)
    assert own.keys() < vars(app).keys()
    uninstrument()
    assert own == vars(app)
    assert before == [dict(vars(owner)) for owner in owners]


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
        app = make()
        hello(app, "/one")
        measured(app)
        app.asgi_app = theirs = put(app.asgi_app)
        assert [200] == await ask_all(app, "GET /one")
        uninstrument(app)
        assert theirs is app.asgi_app
        assert [200] == await ask_all(app, "GET /one")
    assert 4 == len(called)
    assert {"/one": 2} == routes()


async def test_the_test_client_of_quart(measured, routes):
    """Requests and websockets through it; the request stays there to be looked at."""
    app = make()
    hello(app, "/one/<n>")

    @app.websocket("/ws/<room>")
    async def talk(room):
        await websocket.send(room + await websocket.receive())

    measured(app)
    async with app.test_client() as client:
        assert "hello" == await (await client.get("/one/1")).get_data(as_text=True)
        assert "/one/<n>" == request.url_rule.rule
    async with app.test_client().websocket("/ws/red") as connection:
        await connection.send("!")
        assert "red!" == await connection.receive()
    assert {"/one/<n>": 1} == routes()


async def test_served_by_hypercorn(measured, outcomes, active):
    """Its own server: requests, an error, an unknown path."""
    app = make()
    hello(app, "/one/<n>")

    @app.get("/fails")
    async def fails():
        raise ValueError

    measured(app)
    config, over = Config(), asyncio.Event()
    port = free_port()
    config.bind = [f"{HOST}:{port}"]
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=over.wait))
    try:
        await until(lambda: listening(port), "the server")
        paths = ("/one/1", "/one/2", "/fails", "/nope")
        replies = [await server_driver.drive(port, "GET", path) for path in paths]
    finally:
        over.set()
        await serving
    assert [200, 200, 500, 404] == [reply.status for reply in replies]
    assert {
        ("GET", "/one/<n>", "200", ""): 2,
        ("GET", "/fails", "500", "ValueError"): 1,
        ("GET", "<unmatched>", "404", ""): 1,
    } == outcomes()
    assert (0, False) == active()


def listening(port):
    """Whether somebody does."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
