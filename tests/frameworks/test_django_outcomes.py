"""What became of a request in Django: exceptions that turn into responses, streams, clients."""

import asyncio

import django
import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.frameworks import asgi_driver
from tests.frameworks.django_site.serving import Site

MIDDLEWARE = "tests.frameworks.django_site.middleware"
CALLS = "http_server_request_db_calls"


@pytest.fixture(params=["asgi", "wsgi"])
def site(request, measured):
    """A project behind each protocol."""
    with Site(request.param) as site:
        yield site


@pytest.fixture
def asgi_site(measured):
    """A project behind ASGI."""
    with Site("asgi") as site:
        yield site


def raising(error):
    """A view that raises."""

    def view(request):
        raise error

    return view


def raising_async(error):
    """The same as a coroutine."""

    async def view(request):
        raise error

    return view


def view(request):
    """Answers."""
    return HttpResponse("here")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("make", [raising, raising_async])
async def test_the_class_of_an_exception(make, debug, site, outcomes):
    """Those that Django answers with a client error are none; all others are told by class."""
    errors = {404: Http404(), 403: PermissionDenied(), 400: SuspiciousOperation(), 500: OSError()}
    site.serve([path(str(status), make(error)) for status, error in errors.items()], DEBUG=debug)
    for status in errors:
        assert status == (await site.get(f"/{status}")).status
    assert {
        ("GET", "/404", "404", ""): 1,
        ("GET", "/403", "403", ""): 1,
        ("GET", "/400", "400", ""): 1,
        ("GET", "/500", "500", "OSError"): 1,
    } == outcomes()


async def test_an_exception_in_a_middleware(site, outcomes):
    """Before routing: no route, but the class."""
    site.serve([path("x", view)], MIDDLEWARE=(f"{MIDDLEWARE}.Break",))
    assert 500 == (await site.get("/x", headers=[("x-break", "1")])).status
    assert 200 == (await site.get("/x")).status
    assert {
        ("GET", "<unrouted>", "500", "LookupError"): 1,
        ("GET", "/x", "200", ""): 1,
    } == outcomes()


async def test_an_exception_in_the_view_for_errors(site, outcomes):
    """What it raises is the error, and not what it was called for."""

    def broken(request, exception):
        raise LookupError

    site.serve([path("x", raising(Http404()))], HANDLER404=broken)
    assert 500 == (await site.get("/x")).status
    assert {("GET", "/x", "500", "LookupError"): 1} == outcomes()


async def test_a_server_error_that_a_middleware_replaces(site, outcomes):
    """The status that is sent decides; a client error has no class."""
    site.serve([path("x", raising(OSError()))], MIDDLEWARE=(f"{MIDDLEWARE}.teapot",))
    assert 418 == (await site.get("/x")).status
    assert {("GET", "/x", "418", ""): 1} == outcomes()


async def test_exceptions_that_django_is_told_to_let_through(site, outcomes):
    """The server sees the identical object."""
    error = OSError()
    site.serve([path("x", raising(error))], DEBUG_PROPAGATE_EXCEPTIONS=True)
    assert error is (await site.get("/x")).error
    assert {("GET", "/x", "500", "OSError"): 1} == outcomes()


async def test_streams_of_the_other_kind(site, outcomes, recording):
    """Synchronous ones through ASGI, asynchronous ones through WSGI, and files."""

    async def parts_async():
        for _ in range(3):
            yield b"part"

    urls = [
        path("sync", lambda _: StreamingHttpResponse(iter([b"part"] * 3))),
        path("async", lambda _: StreamingHttpResponse(parts_async())),
        path("file", lambda _: FileResponse(open(__file__, "rb"))),  # noqa: SIM115 - Django closes it
    ]
    site.serve(urls)
    with pytest.warns(Warning, match="must consume"):
        replies = [await site.get(f"/{name}") for name in ("sync", "async", "file")]
    assert [200] * 3 == [reply.status for reply in replies]
    assert [b"part" * 3] * 2 == [reply.body for reply in replies[:2]]
    assert {("GET", f"/{name}", "200", ""): 1 for name in ("sync", "async", "file")} == outcomes()
    sent = recording.sum("http_server_response_body_size_bytes", http_route="/file")
    assert len(replies[2].body) == sent


@pytest.mark.skipif(django.VERSION < (5, 0), reason="until then Django did not listen for it")
async def test_a_client_that_leaves_a_view(asgi_site, outcomes, active):
    """Django cancels the view: one sample, nothing is raised."""
    cancelled, reached = [], asyncio.Event()

    async def waiting(request):
        reached.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(request)
            raise

    app = asgi_site.serve([path("wait", waiting)])
    messages = iter([{"type": "http.request"}])

    async def receive():
        message = next(messages, None)
        if message is None:
            await reached.wait()
        return message or {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await app(asgi_driver.make_scope("GET", "/wait"), receive, send)
    assert 1 == len(cancelled)
    assert {("GET", "/wait", "499", "client_disconnect"): 1} == outcomes()
    assert (0, False) == active()
