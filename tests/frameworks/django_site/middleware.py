"""Middleware of the project: each in the form that Django documents."""

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from tests.frameworks.contract.stage import Handled


@sync_and_async_middleware
def deny(get_response):
    """Answers with the status in the header `x-deny`."""

    def answer(request):
        status = request.headers.get("x-deny")
        return status and HttpResponse("no", status=int(status), content_type="text/plain")

    async def middleware_async(request):
        return answer(request) or await get_response(request)

    def middleware(request):
        return answer(request) or get_response(request)

    return middleware_async if iscoroutinefunction(get_response) else middleware


class AnswerHandled(MiddlewareMixin):
    """The application's own handler of `Handled`."""

    def process_exception(self, request, error):
        if isinstance(error, Handled):
            return HttpResponse("teapot", status=418, content_type="text/plain")
        return None


class Break:
    """Raises before routing, for requests that ask for it; synchronous, as many are."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if "x-break" in request.headers:
            raise LookupError("in a middleware")
        return self.get_response(request)


@sync_and_async_middleware
def choose_urls(get_response):
    """Takes the URLs of a request from the header `x-urls`."""

    def choose(request):
        if "x-urls" in request.headers:
            request.urlconf = request.headers["x-urls"]

    async def middleware_async(request):
        choose(request)
        return await get_response(request)

    def middleware(request):
        choose(request)
        return get_response(request)

    return middleware_async if iscoroutinefunction(get_response) else middleware


@sync_and_async_middleware
def teapot(get_response):
    """Has 418 for every server error."""

    def replace(response):
        return HttpResponse("teapot", status=418) if response.status_code >= 500 else response

    async def middleware_async(request):
        return replace(await get_response(request))

    def middleware(request):
        return replace(get_response(request))

    return middleware_async if iscoroutinefunction(get_response) else middleware
