"""The endpoints of the contract of frameworks, with the views of WSGI or those of ASGI."""

from types import ModuleType

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from django.views import View
from django.views.decorators.http import require_POST
from django.views.static import serve

import perfsdk
from tests.frameworks.contract.stage import HELLO, LARGE


def text(body="", status=200, response=HttpResponse):
    """An answer in plain text."""
    return response(body, status=status, content_type="text/plain")


def answer(body="", status=200):
    """A view that always gives this answer."""
    return lambda _request, **_: text(body, status)


def parameter(name):
    """A view that answers with one of the parameters in the path."""
    return lambda _request, **parameters: text(parameters[name])


@require_POST
def echo(request):
    """The length of the body."""
    return text(str(len(request.body)))


@perfsdk.exclude
def opted_out(request):
    """Not to be measured."""
    return text(HELLO)


def closing(work):
    """A view whose response does something when it is closed."""

    class Closing(HttpResponse):
        def close(self):
            super().close()
            work()

    return lambda _request: text(HELLO, response=Closing)


def calling(work):
    """A view that does something and answers."""

    def view(request):
        return text(work() or HELLO)

    return view


def streaming(chunks):
    """A view that streams."""
    return lambda _request: text(chunks(), response=StreamingHttpResponse)


def make_urls(stage, *, asynchronous):
    """A module of URLs for one stage, as ROOT_URLCONF takes it."""

    class Plain(View):
        def get(self, request):
            return text(stage.plain())

    async def wait_async(request):
        await stage.wait_async("wait")
        return text(HELLO)

    things = [path("things/<id>", parameter("id"))]
    tail = "_async" if asynchronous else ""
    urls = ModuleType("stage_urls")
    urls.urlpatterns = [
        path("plain", Plain.as_view()),
        path("items/<item_id>", parameter("item_id")),
        path("echo", echo),
        path("boom", calling(stage.boom)),
        path("handled", calling(stage.handled)),
        path("halt", calling(stage.halt)),
        path("unavailable", answer("no", 503)),
        path("wait", wait_async if asynchronous else calling(lambda: stage.wait("wait"))),
        path("empty", answer(status=204)),
        path("not-modified", answer(status=304)),
        path("large", answer(LARGE)),
        path("stream", streaming(getattr(stage, f"chunks{tail}"))),
        path("stream-breaks", streaming(getattr(stage, f"breaking_chunks{tail}"))),
        path("endless", streaming(getattr(stage, f"endless_chunks{tail}"))),
        path("background", closing(stage.background)),
        path("background-raises", closing(stage.background_raises)),
        path("files/<path:p>", parameter("p")),
        path("v1/", include(things)),
        path("v2/", include(things)),
        path("sub/", include([path("hello/<name>", parameter("name"))])),
        path("t/<tenant>/", include([path("x/<y>", parameter("y"))])),
        path("slash/<n>/", answer(HELLO)),
        re_path(r"^static/(?P<path>.*)$", serve, {"document_root": stage.directory}),
        path("opted-out", opted_out),
        path("opted-out/<n>", answer(HELLO)),
        path("healthz", answer(HELLO)),
    ]
    return urls
