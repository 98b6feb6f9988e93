"""The label of Django's routes: the template, however it is written and joined."""

import functools

import django
import pytest
from django.core.handlers.base import BaseHandler
from django.http import Http404, HttpResponse
from django.urls import URLResolver, include, path, re_path
from django.utils.functional import lazy
from django.utils.translation import get_language
from django.views import View

import perfsdk
from perfsdk.frameworks.django_routes import label
from tests.frameworks.django_site.serving import Site

COMMON = "django.middleware.common.CommonMiddleware"
LOCALE = "django.middleware.locale.LocaleMiddleware"


@pytest.fixture(params=["asgi", "wsgi"])
def site(request, measured):
    """A project behind each protocol."""
    with Site(request.param) as site:
        yield site


def view(request, *_, **__):
    """Answers."""
    return HttpResponse("here")


def missing(request, *_, **__):
    """Finds nothing."""
    raise Http404


class ClassBased(View):
    """Answers to GET."""

    def get(self, request):
        return HttpResponse("here")


@perfsdk.exclude
class OptedOut(ClassBased):
    """Not to be measured."""


def decorated(function):
    """What decorators of views do."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", "/"),
        ("^$", "/"),
        ("items/<int:pk>/", "/items/<int:pk>/"),
        (r"^a/(?P<pk>[0-9]+)/$", "/a/(?P<pk>[0-9]+)/"),
        (r"^a/([0-9]+)/\Z", "/a/([0-9]+)/"),
        (r"^a/([0-9]+)/\z", "/a/([0-9]+)/"),
        (r"^price\$", r"/price\$"),
        (r"^slash\\$", r"/slash\\"),
        (r"^a$|^b$", "/a$|^b"),
        ("/slash", "//slash"),
    ],
)
def test_labels_of_routes(route, expected):
    """A slash at the begin, no anchors around it, and everything else as it is written."""
    assert expected == label(route)


URLS = [
    path("", view),
    path("items/<int:pk>/", view),
    path("files/<path:rest>", view),
    path("missing/<int:pk>", missing),
    re_path(r"^named/(?P<year>[0-9]{4})/$", view),
    re_path(r"^unnamed/([0-9]{4})/(\w+)$", view),
    re_path(r"^optional/(?:page-(?P<page>\d+)/)?$", view),
    re_path(r"open/(?P<rest>.*)", view),
    path(
        "api/<slug:tenant>/",
        include(
            [path("users/", include([path("<int:pk>/edit", view), re_path(r"^x/(\d+)$", view)]))]
        ),
    ),
    re_path(r"^old/(?P<tenant>\w+)/", include([re_path(r"^y/(?P<pk>\d+)$", view)])),
    path("admin/", include(([path("<path:object_id>/change/", view, name="change")], "admin"))),
    path("admin2/", include(([path("", view, name="index")], "admin"), namespace="other")),
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/items/7/", "/items/<int:pk>/"),
        ("/items/8/", "/items/<int:pk>/"),
        ("/files/a/b/c", "/files/<path:rest>"),
        ("/named/2024/", "/named/(?P<year>[0-9]{4})/"),
        ("/unnamed/2024/x", r"/unnamed/([0-9]{4})/(\w+)"),
        ("/optional/", r"/optional/(?:page-(?P<page>\d+)/)?"),
        ("/optional/page-3/", r"/optional/(?:page-(?P<page>\d+)/)?"),
        ("/open/a/b", "/open/(?P<rest>.*)"),
        ("/api/acme/users/7/edit", "/api/<slug:tenant>/users/<int:pk>/edit"),
        ("/api/acme/users/x/7", r"/api/<slug:tenant>/users/x/(\d+)"),
        ("/old/acme/y/7", r"/old/(?P<tenant>\w+)/y/(?P<pk>\d+)"),
        ("/admin/1/2/change/", "/admin/<path:object_id>/change/"),
        ("/admin2/", "/admin2/"),
    ],
)
async def test_routes_are_templates(path, expected, site, outcomes):
    """Through `include()`, nested or not, of both kinds of routes and with namespaces."""
    site.serve(URLS)
    assert 200 == (await site.get(path)).status
    assert {("GET", expected, "200", ""): 1} == outcomes()


async def test_what_a_view_does_not_find_is_its_own(site, outcomes):
    """A 404 of the view counts under its template, not as unmatched."""
    site.serve(URLS)
    for number in range(10):
        assert 404 == (await site.get(f"/missing/{number}")).status
    assert {("GET", "/missing/<int:pk>", "404", ""): 10} == outcomes()


@pytest.mark.parametrize("prefix", ["/pfx", "/t/acme"])
async def test_a_forced_script_name_is_no_part_of_the_label(prefix, site, outcomes):
    """Whatever Django takes for the script's name."""
    site.serve(URLS, FORCE_SCRIPT_NAME=prefix)
    # Until 5.0 Django took no prefix from the path of a scope that did not name it.
    prefixed = site.protocol == "asgi" and django.VERSION >= (5, 0)
    full = prefix + "/items/7/" if prefixed else "/items/7/"
    assert 200 == (await site.get(full)).status
    assert {("GET", "/items/<int:pk>/", "200", ""): 1} == outcomes()


async def test_languages_are_as_many_as_the_settings_have(site, outcomes):
    """Prefixes and translated routes: one series for each language, whatever clients ask for."""
    from django.conf.urls.i18n import i18n_patterns

    translated = lazy(lambda: {"de": "neues/"}.get(get_language(), "news/"), str)()
    site.serve(i18n_patterns(path(translated, view)), MIDDLEWARE=(LOCALE,))
    for found in ("/en/news/", "/de/neues/"):
        assert 200 == (await site.get(found)).status
    for number in range(100):
        for asked in (f"/l{number}/news/", "/neues/"):
            headers = [("Accept-Language", f"de-l{number}")]
            assert (await site.get(asked, headers=headers)).status in {302, 404}
    assert {
        ("GET", "/en/news/", "200", ""): 1,
        ("GET", "/de/neues/", "200", ""): 1,
        ("GET", "<unmatched>", "404", ""): 100,
        ("GET", "<redirect>", "302", ""): 100,
    } == outcomes()


async def test_slashes_that_are_appended(site, outcomes):
    """Redirects of what nothing matched are one series; in DEBUG a body cannot be redirected."""
    site.serve(URLS, MIDDLEWARE=(COMMON,), DEBUG=True)
    for number in range(10):
        assert 301 == (await site.get(f"/items/{number}")).status
    assert 500 == (await site.ask("POST", "/items/7", body=b"x")).status
    assert {
        ("GET", "<redirect>", "301", ""): 10,
        ("POST", "<unmatched>", "500", "RuntimeError"): 1,
    } == outcomes()


async def test_urls_of_a_request(site, outcomes):
    """A middleware may choose other URLs for it; the same route there is another view."""
    site.serve(
        [path("x", perfsdk.exclude(lambda _: HttpResponse("out")))],
        MIDDLEWARE=("tests.frameworks.django_site.middleware.choose_urls",),
    )
    headers = [("x-urls", "tests.frameworks.django_site.other_urls")]
    assert b"out" == (await site.get("/x")).body
    assert b"other" == (await site.get("/x", headers=headers)).body
    assert b"out" == (await site.get("/x")).body
    assert {("GET", "/x", "200", ""): 1} == outcomes()


async def test_views_that_opted_out(site, outcomes):
    """A function, also below decorators and as a partial, and a class."""
    out = perfsdk.exclude(lambda _: HttpResponse("out"))
    as_rest_framework = decorated(lambda _: HttpResponse("out"))
    as_rest_framework.cls = OptedOut
    views = [out, decorated(out), functools.partial(out), OptedOut.as_view(), as_rest_framework]
    urls = [path(f"{number}", one) for number, one in enumerate(views)]
    site.serve([*urls, path("in", ClassBased.as_view())])
    for url in [*range(len(views)), "in"]:
        assert 200 == (await site.get(f"/{url}")).status
    assert {("GET", "/in", "200", ""): 1} == outcomes()


@pytest.mark.usefixtures("swallow_errors")  # what is missing is reported, once, at the start
async def test_without_the_place_where_routes_are_told(site, outcomes, recording, monkeypatch):
    """A Django that has no `resolve_request`: counted, unresolved, and said."""
    resolve = BaseHandler.resolve_request
    monkeypatch.delattr(BaseHandler, "resolve_request")
    application = site.serve(URLS)
    type(application).resolve_request = resolve
    try:
        assert 200 == (await site.get("/items/7/")).status
    finally:
        del type(application).resolve_request
    assert {("GET", "<unresolved>", "200", ""): 1} == outcomes()
    assert 1 == recording.value("perfsdk_unresolved_routes_total", framework="django")


async def test_without_the_route_of_a_match(site, outcomes, recording, monkeypatch):
    """A match that does not tell its route: counted, unresolved, and said."""
    monkeypatch.setattr(URLResolver, "_join_route", staticmethod(lambda *_: None))
    site.serve(URLS)
    assert 200 == (await site.get("/items/7/")).status
    assert {("GET", "<unresolved>", "200", ""): 1} == outcomes()
    labels = {"framework": "django", "route": "ResolverMatch"}
    assert 1 == recording.value("perfsdk_unresolved_routes_total", **labels)
