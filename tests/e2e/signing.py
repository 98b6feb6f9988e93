"""What an application here has around it: it says that it serves, and which process answers."""

import os
from contextlib import asynccontextmanager
from itertools import count


def announce_now():
    """Say that the application is loaded; that is all that there is to say under WSGI."""
    print("the shop is open", flush=True)


@asynccontextmanager
async def announce(_app):
    """A lifespan; a request would tell too that the application is ready, but be counted."""
    announce_now()
    yield


def sign(application):
    """Name in every response the process and, counted from 1, which of its responses this is."""
    serials = count(1)

    async def signed(scope, receive, send):
        async def send_signed(message):
            if message["type"] == "http.response.start":
                signature = [(name.encode(), value.encode()) for name, value in _sign(serials)]
                message = {**message, "headers": [*message["headers"], *signature]}
            await send(message)

        await application(scope, receive, send_signed if scope["type"] == "http" else send)

    return signed


def sign_wsgi(application):
    """The same for a WSGI application."""
    serials = count(1)

    def signed(environ, start_response):
        def start_signed(status, headers, *exc_info):
            return start_response(status, [*headers, *_sign(serials)], *exc_info)

        return application(environ, start_signed)

    return signed


def _sign(serials):
    return [("x-worker", str(os.getpid())), ("x-serial", str(next(serials)))]
