"""What is special to Flask: where rules come from, and what becomes of exceptions."""

import gc
import sys
import weakref
from types import SimpleNamespace

import flask.ctx
import pytest
from flask import Blueprint, Flask, abort, got_request_exception, redirect, request
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import perfsdk
from perfsdk import uninstrument
from perfsdk.frameworks.wsgi_exchange import WsgiExchange
from tests.frameworks.wsgi_driver import MISSING, ask, make_environ

HELLO = "hello"


@pytest.fixture
def app(measured):
    """A measured application with two rules."""
    app = Flask("app")
    app.logger.disabled = True
    app.add_url_rule("/plain", "plain", lambda: HELLO)
    app.add_url_rule("/items/<int:number>", "item", lambda number: f"{number}")
    return measured(app)


def counted(outcomes):
    """Route, status and error type of all requests."""
    return {" ".join(labels[1:]).strip(): count for labels, count in outcomes().items()}


def test_nested_blueprints(app, outcomes):
    """The whole rule, with the prefixes of all."""
    inner, outer = Blueprint("inner", "app"), Blueprint("outer", "app", url_prefix="/a/<x>")
    inner.add_url_rule("/b/<y>", "b", lambda x, y: x + y)
    outer.register_blueprint(inner, url_prefix="/in")
    app.register_blueprint(outer)
    assert b"12" == ask(app, path="/a/1/in/b/2").body
    assert {"/a/<x>/in/b/<y> 200": 1} == counted(outcomes)


def test_subdomains_and_hosts_are_no_part_of_the_rule(measured, outcomes):
    """Clients choose them."""
    app = Flask("app", subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    app.add_url_rule("/plain", "plain", lambda tenant: tenant, subdomain="<tenant>")
    measured(app)
    for number in range(20):
        headers = [("Host", f"t{number}.example.org")]
        assert f"t{number}" == ask(app, path="/plain", headers=headers).body.decode()
    assert {"/plain 200": 20} == counted(outcomes)


def test_applications_that_a_dispatcher_mounts(measured, outcomes):
    """Each measured, the dispatcher around all of them: once, below the path of the mount."""
    apps = [Flask("a"), Flask("b"), Flask("c")]
    for app in apps:
        app.add_url_rule("/plain", "plain", lambda: HELLO)
        measured(app)
    inner = DispatcherMiddleware(apps[1], {"/in": apps[2]})
    site = DispatcherMiddleware(apps[0], {"/b": inner})
    for path in ("/plain", "/b/plain", "/b/in/plain"):
        assert 200 == ask(site, path=path, root_path="/from/the/server").status
    assert {"/plain 200": 1, "/b/plain 200": 1, "/b/in/plain 200": 1} == counted(outcomes)


def test_what_is_mounted_and_no_flask(app, outcomes):
    """It is one route, its mount."""

    def page(environ, start_response):
        start_response("200 OK", [])
        return [b"page"]

    app.wsgi_app.app = DispatcherMiddleware(app.wsgi_app.app, {"/page": page})
    for path in ("/page", "/page/1", "/page/2", "/plain"):
        assert 200 == ask(app, path=path).status
    assert {"/page 200": 3, "/plain 200": 1} == counted(outcomes)


def test_a_hook_that_answers_for_a_view(app, outcomes):
    """It ran for the rule that was matched."""
    app.before_request(lambda: ("no", 401))
    assert 401 == ask(app, path="/items/7").status
    assert {"/items/<int:number> 401": 1} == counted(outcomes)


def test_a_redirect_of_a_view_is_its_own(app, outcomes):
    """Other than those of the router."""
    app.add_url_rule("/away", "away", lambda: redirect("/plain"))
    assert 302 == ask(app, path="/away").status
    assert {"/away 302": 1} == counted(outcomes)


def test_what_converters_refuse_is_not_matched(app, outcomes):
    """404 of the router."""
    assert 404 == ask(app, path="/items/x").status
    assert {"<unmatched> 404": 1} == counted(outcomes)


def test_a_view_that_finds_nothing_keeps_its_rule(app, outcomes):
    """404 of a view."""
    app.add_url_rule("/gone", "gone", lambda: abort(404))
    assert 404 == ask(app, path="/gone").status
    assert {"/gone 404": 1} == counted(outcomes)


def raises():
    """A view that fails."""
    raise LookupError("on purpose")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (raises, "500 LookupError"),
        (lambda: abort(503), "503 ServiceUnavailable"),
        (lambda: ("no", 502), "502 502"),
        (lambda: None, "500 TypeError"),
    ],
)
def test_the_class_of_what_became_a_server_error(view, expected, app, outcomes):
    """Flask answers exceptions itself, so none reaches the server."""
    app.add_url_rule("/view", "view", view)
    assert ask(app, path="/view").error is None
    assert {f"/view {expected}": 1} == counted(outcomes)


@pytest.mark.parametrize(
    ("status", "expected"), [(500, "500 LookupError"), (503, "503 LookupError"), (409, "409")]
)
def test_a_handler_of_the_application_decides_the_status(status, expected, app, outcomes):
    """An error is one where the status says so."""
    app.add_url_rule("/view", "view", raises)
    app.register_error_handler(LookupError, lambda _: ("handled", status))
    assert status == ask(app, path="/view").status
    assert {f"/view {expected}": 1} == counted(outcomes)


def test_an_error_after_the_view(app, outcomes):
    """In a hook that sees the response."""
    app.after_request(lambda _: raises())
    assert 500 == ask(app, path="/plain").status
    assert {"/plain 500 LookupError": 1} == counted(outcomes)


def test_an_extension_that_turns_errors_into_responses(app, outcomes):
    """It replaces the application's own handling, and sends the signal, as they do."""

    def handle(error):
        got_request_exception.send(app, exception=error)
        return "by the extension", 500

    app.handle_user_exception = handle
    app.add_url_rule("/view", "view", raises)
    assert b"by the extension" == ask(app, path="/view").body
    assert {"/view 500 LookupError": 1} == counted(outcomes)


def test_exceptions_that_propagate(app, outcomes):
    """As in tests and in debug mode: the same object arrives."""
    app.testing = True
    error = LookupError()

    @app.route("/view")
    def view():
        raise error

    assert error is ask(app, path="/view").error
    assert {"/view 500 LookupError": 1} == counted(outcomes)


def test_an_upload_that_breaks_off(app, outcomes):
    """Werkzeug raises what becomes 400: the client left."""
    app.add_url_rule("/up", "up", lambda: str(len(request.get_data())), methods=["POST"])
    assert 400 == ask(app, "POST", "/up", body=b"x", environ={"CONTENT_LENGTH": "9"}).status
    assert {"/up 400 client_disconnect": 1} == counted(outcomes)


def test_async_views(app, outcomes):
    """Flask runs them in a loop of their own."""
    seen = []

    @app.route("/async")
    async def view():
        seen.append(perfsdk.request.current.get())
        return HELLO

    assert b"hello" == ask(app, path="/async").body
    assert isinstance(seen[0], WsgiExchange)
    assert {"/async 200": 1} == counted(outcomes)


def test_views_made_of_a_class(app, outcomes):
    """Decorated or not."""

    class View(MethodView):
        def get(self):
            return HELLO

    @perfsdk.exclude
    class Excluded(View):
        pass

    app.add_url_rule("/view", view_func=View.as_view("view"))
    app.add_url_rule("/excluded", view_func=Excluded.as_view("excluded"))
    for path in ("/view", "/excluded"):
        assert 200 == ask(app, path=path).status
    assert {"/view 200": 1} == counted(outcomes)


def test_the_test_client_of_flask(app, outcomes):
    """Requests are counted when their responses are closed or read."""
    with app.test_client() as client:
        assert HELLO == client.get("/plain").text
        with client.get("/nope") as response:
            assert 404 == response.status_code
        assert "/nope" == request.path
    assert {"/plain 200": 1, "<unmatched> 404": 1} == counted(outcomes)


def test_middleware_put_around_it_later_stays(app, outcomes):
    """Undone, we let everything through, and what others put around us is still there."""
    app.wsgi_app = ProxyFix(app.wsgi_app)
    headers = [("X-Forwarded-For", "10.1.2.3")]
    app.add_url_rule("/whoami", "whoami", lambda: request.remote_addr)
    assert b"10.1.2.3" == ask(app, path="/whoami", headers=headers).body
    uninstrument(app)
    assert isinstance(app.wsgi_app, ProxyFix)
    assert b"10.1.2.3" == ask(app, path="/whoami", headers=headers).body
    assert {"/whoami 200": 1} == counted(outcomes)


def test_everything_of_flask_is_restored(measured):
    """The identical objects."""
    owners = [flask.ctx.RequestContext, flask.Flask, DispatcherMiddleware]
    before = [dict(vars(owner)) for owner in owners]
    receivers = dict(got_request_exception.receivers)
    for _ in range(3):
        measured(Flask("app"))
    assert before != [dict(vars(owner)) for owner in owners]
    assert len(receivers) + 1 == len(got_request_exception.receivers)
    uninstrument()
    assert before == [dict(vars(owner)) for owner in owners]
    assert receivers == dict(got_request_exception.receivers)


def test_a_structure_that_we_do_not_know(app, outcomes, recording, monkeypatch):
    """Rules without their text: requests are counted, and that they are not resolved."""
    rule = SimpleNamespace(endpoint="plain", methods=None)

    monkeypatch.setattr(app, "request_context", lambda environ: Context(app, environ))

    class Context(flask.ctx.RequestContext):
        def match_request(self):
            self.request.url_rule, self.request.view_args = rule, {}
            self.request.environ["perfsdk.exchange"].matched = rule

    assert b"hello" == ask(app, path="/plain").body
    assert {"<unresolved> 200": 1} == counted(outcomes)
    assert 1 == recording.value("perfsdk_unresolved_routes_total", framework="flask")


def test_contexts_that_match_in_another_way(app, outcomes, recording, monkeypatch):
    """Nobody can tell then who answered."""
    monkeypatch.delattr(flask.ctx.RequestContext, "match_request")
    monkeypatch.setattr(flask.ctx.RequestContext, "push", lambda _: raises())
    monkeypatch.setattr(flask.ctx.RequestContext, "pop", lambda *_: None)
    monkeypatch.setattr(app, "handle_exception", lambda _: flask.Response("no", 500))
    assert 500 == ask(app, path="/plain").status
    assert {"<unresolved> 500 500": 1} == counted(outcomes)
    assert 1 == recording.value("perfsdk_unresolved_routes_total", framework="flask")


def test_what_routes_match_is_freed_at_once(app):
    """Without the garbage collector: a request leaves nothing in a cycle."""
    requests = []
    app.after_request(lambda response: requests.append(weakref.ref(_request())) or response)
    gc.collect()
    gc.disable()
    try:
        for path in ("/plain", "/items/1", "/items/2"):
            ask(app, path=path)
        assert [None] * 3 == [request() for request in requests]
        assert [] == [one for one in gc.get_objects() if isinstance(one, WsgiExchange)]
    finally:
        gc.enable()


def _request():
    return request._get_current_object()


def calls_of_ours(app, path):
    """How many functions of ours a request calls."""
    calls = []

    def trace(frame, event, _):
        if event == "call" and "/perfsdk/" in frame.f_code.co_filename:
            calls.append(frame.f_code.co_name)

    environ = make_environ("GET", path)
    sys.setprofile(trace)
    try:
        body = app(environ, lambda *_: None)
        list(body)
        body.close()
    finally:
        sys.setprofile(None)
    return calls


def test_the_number_of_rules_does_not_matter(measured):
    """A request calls the same functions of ours with one rule and with a thousand."""
    seen = []
    for number in (1, 1000):
        app = Flask("app")
        for rule in range(number):
            app.add_url_rule(f"/r{rule}/<x>", f"r{rule}", lambda x: x)
        measured(app)
        calls_of_ours(app, f"/r{number // 2}/1")  # the first request of a rule remembers it
        seen.append(calls_of_ours(app, f"/r{number // 2}/2"))
    assert seen[0] == seen[1] != []


@pytest.mark.usefixtures("swallow_errors")
def test_a_request_without_a_method_is_flask_s_to_refuse(app, outcomes):
    """We cannot count what has no method."""
    assert isinstance(ask(app, environ={"REQUEST_METHOD": MISSING}).error, KeyError)
    assert {} == outcomes()
