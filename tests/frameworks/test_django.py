"""Django, ASGI and WSGI, keeps the contract of frameworks."""

from types import MappingProxyType

import django
import pytest
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

from tests.frameworks.django_site import site_settings
from tests.frameworks.django_site.stage_urls import make_urls
from tests.frameworks.http_contract import AsgiContract, WsgiContract

MIDDLEWARE = (
    "tests.frameworks.django_site.middleware.deny",
    "django.middleware.common.CommonMiddleware",
    "tests.frameworks.django_site.middleware.AnswerHandled",
)


class DjangoContract:
    """What Django has, through whichever protocol."""

    templates = MappingProxyType(
        {
            "/items/{item_id}": "/items/<item_id>",
            "/v1/things/{id}": "/v1/things/<id>",
            "/v2/things/{id}": "/v2/things/<id>",
            "/sub/hello/{name}": "/sub/hello/<name>",
            "/t/{tenant}/x/{y}": "/t/<tenant>/x/<y>",
            "/files/{p:path}": "/files/<path:p>",
            "/static": "/static/(?P<path>.*)",
            "/opted-out/{n}": "/opted-out/<n>",
        }
    )
    without = MappingProxyType(
        {
            "mounted applications": "Django has none",
            "added middleware": "Django's stack is made by the settings",
            "websockets": "Django has none",
        }
    )
    modules = ("perfsdk.frameworks.django", "perfsdk.frameworks.django_routes")
    way_in = (
        "django.is_application",
        "django.patch_routing",
        "django.instrument_application",
    )

    @pytest.fixture(autouse=True)
    def _site(self, monkeypatch):
        """The project's settings while a test runs."""
        with site_settings(MIDDLEWARE=MIDDLEWARE) as self.settings:
            yield

    def make_urls(self, stage, *, asynchronous):
        """The endpoints as the project's URLs."""
        self.settings.ROOT_URLCONF = make_urls(stage, asynchronous=asynchronous)


class TestDjangoAsgiContract(DjangoContract, AsgiContract):
    """Django through ASGI, with views of both kinds."""

    def make_app(self, stage):
        self.make_urls(stage, asynchronous=True)
        return get_asgi_application()

    def with_middleware(self, stage, middleware):
        """As some wrap Django's handler: a class derived from it."""
        self.make_urls(stage, asynchronous=True)

        class Handler(ASGIHandler):
            async def __call__(self, scope, receive, send):
                await middleware(super().__call__)(scope, receive, send)

        return Handler()

    if django.VERSION < (5, 0):

        @pytest.mark.skip("until 5.0 Django did not listen for clients that leave")
        async def test_a_client_that_leaves_a_real_server(self):
            """Its server tells nobody who writes that the client is gone."""

    @pytest.mark.skip("Django's own frames keep each request until the next collection")
    async def test_nothing_of_a_request_is_kept(self):
        """What collects them is what collects the request, see `test_django_applications`."""


class TestDjangoWsgiContract(DjangoContract, WsgiContract):
    """Django through WSGI."""

    def make_app(self, stage):
        self.make_urls(stage, asynchronous=False)
        return get_wsgi_application()

    def with_middleware(self, stage, middleware):
        """The same."""
        self.make_urls(stage, asynchronous=False)

        class Handler(WSGIHandler):
            def __call__(self, environ, start_response):
                return middleware(super().__call__)(environ, start_response)

        return Handler()
