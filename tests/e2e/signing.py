"""What an application here has around it: it says that it serves, and which process answers."""

import os
from contextlib import asynccontextmanager
from itertools import count


@asynccontextmanager
async def announce(_app):
    """A lifespan; a request would tell too that the application is ready, but be counted."""
    print("the shop is open", flush=True)
    yield


def sign(application):
    """Name in every response the process and, counted from 1, which of its responses this is."""
    serials = count(1)

    async def signed(scope, receive, send):
        async def send_signed(message):
            if message["type"] == "http.response.start":
                signature = [
                    (b"x-worker", str(os.getpid()).encode()),
                    (b"x-serial", str(next(serials)).encode()),
                ]
                message = {**message, "headers": [*message["headers"], *signature]}
            await send(message)

        await application(scope, receive, send_signed if scope["type"] == "http" else send)

    return signed
