"""Serves URLs of a test through one protocol or the other, measured, and makes requests."""

from contextlib import ExitStack
from types import ModuleType

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import clear_url_caches

import perfsdk
from tests.frameworks import asgi_driver, wsgi_driver
from tests.frameworks.django_site import site_settings

MAKE = {"asgi": get_asgi_application, "wsgi": get_wsgi_application}
DRIVE = {"asgi": asgi_driver.drive, "wsgi": wsgi_driver.drive}


class Site:
    """A project that one test serves; used in a `with` block.

    `application` is what is served, once it was asked for the first time.
    """

    def __init__(self, protocol):
        self.protocol = protocol
        self.application = None
        self._settings = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._settings.close()
        clear_url_caches()

    def serve(self, urlpatterns, *, measured=True, **more):
        """Serve these URLs with these settings; the application.

        What else is given and no setting of Django, which are in capitals, is one of perfsdk.
        """
        urls = ModuleType("urls_of_a_test")
        urls.urlpatterns = urlpatterns
        ours = {name: more.pop(name) for name in list(more) if name.islower()}
        handlers = {name: more.pop(name) for name in list(more) if name.startswith("HANDLER")}
        vars(urls).update({name.lower(): view for name, view in handlers.items()})
        self._settings.enter_context(site_settings(ROOT_URLCONF=urls, **more))
        self.application = MAKE[self.protocol]()
        if measured:
            assert self.application is perfsdk.instrument(self.application, **ours)
        return self.application

    async def get(self, path, **how):
        """The reply to GET."""
        return await self.ask("GET", path, **how)

    async def ask(self, method, path, **how):
        """The reply to a request; see the drivers."""
        return await DRIVE[self.protocol](self.application, method, path, **how)
