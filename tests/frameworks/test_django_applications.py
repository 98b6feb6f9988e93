"""Django's handlers: which ones are measured, static files, and undoing it all."""

import gc
import sqlite3

import pytest
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import got_request_exception
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.client import ClientHandler
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Mount

from perfsdk import instrument, uninstrument
from perfsdk.frameworks import django as ours
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.integrations import INTEGRATIONS
from perfsdk.wrapping.patches import Patches
from tests.frameworks import asgi_driver
from tests.frameworks.django_site import site_settings
from tests.frameworks.django_site.serving import DRIVE, MAKE, Site

MIDDLEWARE = "tests.frameworks.django_site.middleware"
CALLS = "http_server_request_db_calls"


@pytest.fixture(params=["asgi", "wsgi"])
def site(request, measured):
    """A project behind each protocol."""
    with Site(request.param) as site:
        yield site


def view(request, **_):
    """Answers."""
    return HttpResponse("here")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_calls_of_a_view_are_charged_to_its_request(
    kind, monkeypatch, perfsdk_dir, recording
):
    """Also of a view that Django runs in a thread."""
    others = ",".join(name for name in INTEGRATIONS if name != "sqlite3")
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", others)

    def query(request):
        database = sqlite3.connect(":memory:")
        try:
            return HttpResponse(str(database.execute("SELECT 7").fetchone()[0]))
        finally:
            database.close()

    async def query_async(request):
        return query(request)

    for protocol in DRIVE:
        with Site(protocol) as site:
            site.serve([path("q", query if kind == "sync" else query_async)])
            assert b"7" == (await site.get("/q")).body
            uninstrument()
    seconds = recording.value("http_server_request_component_seconds_total", component="db")
    assert 2 == recording.sum(CALLS, http_route="/q")
    assert seconds > 0


async def test_applications_do_not_know_each_other(site, outcomes):
    """One is measured, the other one is not; then both, then none."""
    first = site.serve([path("x", view)])
    second = MAKE[site.protocol]()
    drive = DRIVE[site.protocol]
    for app in (first, second):
        assert 200 == (await drive(app, "GET", "/x")).status
    assert {("GET", "/x", "200", ""): 1} == outcomes()


async def test_what_was_patched_is_restored(site, outcomes):
    """Django's classes hold the identical objects again, its signal the same receivers."""
    owners = (BaseHandler, ASGIHandler, WSGIHandler, StaticFilesHandler, ASGIStaticFilesHandler)
    before = [dict(vars(owner)) for owner in owners]
    receivers = list(got_request_exception.receivers)
    app = site.serve([path("x", view)])
    again = site.serve([path("x", view)])
    await site.get("/x")
    assert before != [dict(vars(owner)) for owner in owners]
    uninstrument()
    for owner, held in zip(owners, before, strict=True):
        assert held.keys() == vars(owner).keys()
        assert [] == [name for name in held if held[name] is not vars(owner)[name]]
    assert receivers == got_request_exception.receivers
    assert [] == [name for each in (app, again) for name in vars(each) if "perfsdk" in name]


async def test_a_request_is_freed_with_django_s_own_objects(site):
    """What Django keeps of a request until the next collection is all that there is."""

    def exchanges():
        gc.collect()
        names = {"Exchange", "WsgiExchange"}
        return {id(one): one for one in gc.get_objects() if type(one).__name__ in names}

    site.serve([path("x", view)])
    before = exchanges()  # of other tests, held by the exceptions that they keep
    for _ in range(3):
        await site.get("/x")
    assert {} == {key: one for key, one in exchanges().items() if key not in before}


@pytest.mark.parametrize("inside", [True, False])
async def test_static_files_of_the_development_server(inside, site, outcomes, tmp_path):
    """Their handler is around the application, whichever of the two was instrumented."""
    (tmp_path / "here.txt").write_text("here")
    static = {"STATICFILES_DIRS": [tmp_path], "STATIC_URL": "/assets/"}
    app = site.serve([path("x", view)], measured=inside, **static)
    around = {"asgi": ASGIStaticFilesHandler, "wsgi": StaticFilesHandler}[site.protocol](app)
    if not inside:
        assert around is instrument(around)
    site.application = around
    reply = await site.get("/assets/here.txt")
    assert (200, b"here") == (reply.status, reply.body)
    for number in range(10):
        assert 404 == (await site.get(f"/assets/{number}.txt")).status
    assert 200 == (await site.get("/x")).status
    assert {
        ("GET", "/assets/", "200", ""): 1,
        ("GET", "/assets/", "404", ""): 10,
        ("GET", "/x", "200", ""): 1,
    } == outcomes()
    uninstrument(app if inside else around)
    for url in ("/x", "/assets/here.txt"):
        assert 200 == (await site.get(url)).status
    assert 12 == sum(outcomes().values())


async def test_what_is_around_the_measuring_knows_the_template(recording):
    """Spans take their name from it; without a route there is none."""
    seen, patches, routing = [], Patches(), Patches()

    def around(app, find_template):
        async def layer(scope, receive, send):
            async def tell(message):
                if message["type"] == "http.response.start":
                    seen.append(find_template(scope))
                await send(message)

            await app(scope, receive, tell)

        return layer

    with Site("asgi") as site:
        app = site.serve([path("x/<int:pk>", lambda _, pk: HttpResponse())], measured=False)
        ours.patch_routing(routing)
        ours.instrument_application(app, HttpServer(recording.recorder), patches, around)
        try:
            for url in ("/x/7", "/nope"):
                await site.get(url)
        finally:
            patches.undo()
            routing.undo()
    assert ["/x/<int:pk>", None] == seen


def test_what_is_an_application():
    """Handlers, those derived from them, and handlers of static files around one."""

    class Derived(WSGIHandler):
        """As some projects have it."""

    with site_settings():
        for app in (WSGIHandler(), ASGIHandler(), Derived()):
            assert ours.is_application(app)
        assert ours.is_application(StaticFilesHandler(StaticFilesHandler(Derived())))
        assert not ours.is_application(StaticFilesHandler(lambda *_: []))
        for other in (None, lambda *_: [], BaseHandler(), ClientHandler(), WSGIHandler):
            assert not ours.is_application(other)


async def test_test_clients_are_not_measured(site, outcomes):
    """Neither by themselves nor within a request, whose route they do not change."""

    def asks(request):
        return HttpResponse(Client().get("/items/7/").content)

    async def asks_async(request):
        return HttpResponse((await AsyncClient().get("/items/7/")).content)

    site.serve([path("items/<int:pk>/", view), path("asks", asks), path("asks-async", asks_async)])
    assert b"here" == (await AsyncClient().get("/items/7/")).content
    assert {} == outcomes()
    for url in ("/asks", "/asks-async"):
        assert b"here" == (await site.get(url)).body
    assert {("GET", "/asks", "200", ""): 1, ("GET", "/asks-async", "200", ""): 1} == outcomes()


async def test_routes_of_a_django_in_another_framework(measured, outcomes):
    """Mounted in Starlette, its templates are below that of the mount."""
    with Site("asgi") as site:
        django = site.serve([path("items/<int:pk>/", view)], measured=False)
        app = measured(Starlette(routes=[Mount("/dj/{tenant}", django)]))
        for url, status in (("/dj/a/items/7/", 200), ("/dj/b/items/8/", 200), ("/dj/b/no", 404)):
            assert status == (await asgi_driver.drive(app, "GET", url)).status
    assert {
        ("GET", "/dj/{tenant}/items/<int:pk>/", "200", ""): 2,
        ("GET", "<unmatched>", "404", ""): 1,
    } == outcomes()
