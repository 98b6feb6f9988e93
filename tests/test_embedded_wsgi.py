"""A WSGI application serves the page too: exact, whichever worker is asked, outside of the rest."""

import gzip
import sqlite3
import threading
from contextlib import closing, contextmanager
from types import ModuleType
from wsgiref.validate import validator

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from perfsdk import embedded, guard, instrument, uninstrument
from perfsdk.integrations import INTEGRATIONS
from perfsdk.store.reader import find_segments
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT
from tests.e2e.running import start_exporter, start_shop
from tests.frameworks.wsgi_driver import ask
from tests.servers import http_get, wait_until
from tests.store.processes import in_child

DURATION = "http_server_request_duration_seconds"


@pytest.fixture(autouse=True)
def _undone(monkeypatch):
    """No integrations, to be quick; everything is undone at the end."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", ",".join(INTEGRATIONS))
    yield
    uninstrument()


def plain(environ, start_response):
    """An application that answers everything, with what it was asked for."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode()]


def make_flask():
    """An application with a route of its own at the path."""
    shop = Flask("shop")
    shop.add_url_rule("/", "home", lambda: "GET")
    shop.add_url_rule("/metrics", "own", lambda: "POST", methods=["GET", "POST"])
    return shop


@contextmanager
def django():
    """The handler of a site that answers every path."""
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import re_path

    from tests.frameworks.django_site import site_settings

    urls = ModuleType("urls")
    urls.urlpatterns = [re_path("", lambda request: HttpResponse(request.method))]
    with site_settings(ROOT_URLCONF=urls):
        yield get_wsgi_application()


@pytest.fixture(params=["plain", "flask", "django"])
def original(request):
    """An application, not measured yet."""
    if request.param == "django":
        with django() as app:
            yield app
    else:
        yield plain if request.param == "plain" else make_flask()


def count(page, name=f"{DURATION}_count"):
    """The sum of the samples of a name on a text page."""
    families = text_string_to_metric_families(page)
    return sum(s.value for family in families for s in family.samples if s.name == name)


def page_of(app, path="/metrics"):
    """The text of the page."""
    reply = ask(app, "GET", path)
    assert 200 == reply.status
    return reply.body.decode()


# --- which applications, which requests ---


def test_get_and_head_of_the_path_alone_are_taken(original):
    """Other paths and methods are the application's; `uninstrument` gives the path back."""
    app = instrument(original, metrics_path="/metrics")
    assert b"GET" == ask(app, "GET", "/").body
    assert b"POST" == ask(app, "POST", "/metrics").body
    assert 1 == count(page_of(app))
    head = ask(app, "HEAD", "/metrics")
    assert (200, b"") == (head.status, head.body)
    assert TEXT.content_type == dict(head.headers)["Content-Type"]
    assert 1 == count(page_of(app))
    uninstrument()
    assert ask(app, "GET", "/metrics").body in (b"GET", b"POST")


def test_patterns_that_measure_everything_leave_the_page_alone():
    """It is served, and never counted."""
    app = instrument(plain, metrics_path="/metrics", exclude=("!*",))
    ask(app, "GET", "/health")
    for _ in range(3):
        page = page_of(app)
    assert 1 == count(page)


def test_an_application_inside_of_another_one_leaves_the_path_to_it():
    """What is mounted may have a path of that name."""
    inner = instrument(make_flask(), metrics_path="/metrics")

    def outer(environ, start_response):
        return inner({**environ, "SCRIPT_NAME": "/a", "PATH_INFO": "/metrics"}, start_response)

    assert b"POST" == ask(instrument(outer), "GET", "/a/metrics").body


def test_what_servers_require_of_a_response():
    """The validator of the standard library finds nothing."""
    app = instrument(plain, metrics_path="/metrics")
    assert 200 == ask(validator(app), "GET", "/metrics").status


def test_each_worker_shows_the_totals_of_all(perfsdk_dir, tmp_path):
    """Two workers of gunicorn with Flask: both show what both did, as the sidecar shows it."""
    args = ["gunicorn", "tests.e2e.flask_shop:app", "--bind", "{host}:{port}"]
    environment = {"PERFSDK_METRICS_PATH": "/metrics", "PERFSDK_EXCLUDE": "!/metrics"}
    with start_shop(tmp_path, *args, "--workers", "2", announcements=2, env=environment) as server:
        for _ in range(20):
            http_get(f"{server.url}/products/3")
        pages = [
            wait_until(lambda: _complete(http_get(f"{server.url}/metrics"), 20)) for _ in range(10)
        ]
        with start_exporter(perfsdk_dir, tmp_path) as exporter:
            shown = http_get(f"{exporter.url}/metrics")
    assert 2 == count(shown, "perfsdk_workers")
    assert {2} == {count(page, "perfsdk_workers") for page in pages}
    assert 20 == count(shown)


def _complete(page, requests):
    return page if count(page) == requests else ""


# --- what it answers ---


def test_formats_compression_and_names():
    """As the exporter does, by the same code."""
    app = instrument(plain, metrics_path="/metrics")
    ask(app, "GET", "/")
    openmetrics = ask(
        app, "GET", "/metrics", headers=[("Accept", "application/openmetrics-text;version=1.0.0")]
    )
    assert OPENMETRICS.content_type == dict(openmetrics.headers)["Content-Type"]
    assert openmetrics.body.endswith(b"# EOF\n")
    packed = ask(app, "GET", "/metrics", headers=[("Accept-Encoding", "gzip")])
    headers = dict(packed.headers)
    assert ("gzip", "Accept, Accept-Encoding") == (headers["Content-Encoding"], headers["Vary"])
    assert str(len(packed.body)) == headers["Content-Length"]
    assert 1 == count(gzip.decompress(packed.body).decode())
    one = ask(app, "GET", "/metrics", environ={"QUERY_STRING": "name[]=perfsdk_workers"})
    (family,) = text_string_to_metric_families(one.body.decode())
    assert "perfsdk_workers" == family.name


def test_the_table_of_queries(monkeypatch):
    """At a path of its own; what a parameter means nothing by is said in one line."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", "")

    def shop(environ, start_response):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("SELECT 42 AS answer")
        return plain(environ, start_response)

    app = instrument(shop, queries_path="/-/queries", sample_interval_seconds=0.1)
    ask(app, "GET", "/")
    page = wait_until(lambda: _with_statement(page_of(app, "/-/queries")))
    assert page.startswith("<!DOCTYPE html>")
    assert b"GET" == ask(app, "GET", "/metrics").body
    wrong = ask(app, "GET", "/-/queries", environ={"QUERY_STRING": "limit=x"})
    assert (400, 1) == (wrong.status, len(wrong.body.splitlines()))


def _with_statement(page):
    return page if "SELECT ? AS answer" in page else ""


def test_a_scrape_makes_no_segment(perfsdk_dir):
    """A process that only shows is no worker."""
    page_of(instrument(plain, metrics_path="/metrics"))
    assert [] == find_segments(perfsdk_dir)


def test_a_forked_child_serves_it():
    """With files of its own, also when its parent has served the page before."""
    app = instrument(plain, metrics_path="/metrics")

    def use():
        ask(app, "GET", "/")
        return int(count(page_of(app)))

    assert 1 == use()
    assert 2 == in_child(use)


# --- what goes wrong ---


@pytest.mark.usefixtures("swallow_errors")
def test_a_page_that_cannot_be_made_is_one_line(monkeypatch, caplog):
    """It is logged, the answer is a 500, and the application goes on."""

    def broken(_):
        raise ZeroDivisionError("on purpose")

    app = instrument(plain, metrics_path="/metrics")
    with monkeypatch.context() as patch:
        patch.setattr(Collector, "collect", broken)
        reply = ask(app, "GET", "/metrics")
        assert b"GET" == ask(app, "GET", "/").body
    assert (500, 1) == (reply.status, len(reply.body.splitlines()))
    assert "on purpose" in caplog.text
    assert 1 == count(page_of(app))


def test_no_more_than_some_are_answered_at_a_time(monkeypatch):
    """Further ones get 503; each is answered by the thread that asks."""
    monkeypatch.setattr(embedded, "MAX_SCRAPES", 1)
    begun, go_on = threading.Event(), threading.Event()
    collect = Collector.collect

    def slow(self):
        begun.set()
        assert go_on.wait(30)
        return collect(self)

    monkeypatch.setattr(Collector, "collect", slow)
    app = instrument(plain, metrics_path="/metrics")
    pages = []
    thread = threading.Thread(target=lambda: pages.append(page_of(app)))
    thread.start()
    assert begun.wait(30)
    refused = ask(app, "GET", "/metrics")
    go_on.set()
    thread.join(30)
    assert 503 == refused.status
    assert 0 == count(pages[0])


# --- what nothing comes of ---


def test_settings_that_do_nothing_are_said_once(caplog):
    """With what to do instead; where they do something nothing is said."""
    import aiohttp.web

    guard.reset()
    settings = {"tracing": True, "metrics_path": "/metrics"}
    for _ in range(2):
        instrument(plain, **settings)
        instrument(aiohttp.web.Application(), **settings)
    lines = [record.getMessage() for record in caplog.records if record.name == "perfsdk"]
    assert 3 == len(lines)
    assert [line for line in lines if "WSGI" in line and "tracing=True" in line]
    assert [line for line in lines if "aiohttp.web" in line and "metrics_path" in line]
    assert [line for line in lines if "aiohttp.web" in line and "tracing=True" in line]


def test_nothing_is_said_of_applications_that_they_work_for(caplog):
    """ASGI, in whatever framework, and WSGI without spans."""
    import quart
    import starlette.applications

    settings = {"tracing": True, "metrics_path": "/metrics"}
    for app in (starlette.applications.Starlette(), quart.Quart("shop")):
        instrument(app, **settings)
    uninstrument()
    instrument(make_flask(), metrics_path="/metrics")
    with django() as app:
        instrument(app, metrics_path="/metrics")
    assert [] == [record.getMessage() for record in caplog.records if record.name == "perfsdk"]
