"""A measured application whose every answer is known beforehand and says which process gave it."""

import asyncio
import os
from contextlib import asynccontextmanager
from itertools import count

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import perfsdk

SLOW_SECONDS = 0.02


@asynccontextmanager
async def lifespan(_app):
    print("the shop is open", flush=True)  # a request would tell it too, but be counted
    yield


async def home(_request: Request):
    return PlainTextResponse("welcome")


async def slow(_request: Request):
    await asyncio.sleep(SLOW_SECONDS)
    return PlainTextResponse("at last")


async def product(request: Request):
    """A page of so many bytes; there is none of 0 bytes."""
    size = int(request.path_params["size"])
    if size == 0:
        raise HTTPException(404)
    return PlainTextResponse("x" * size)


async def broken(_request: Request):
    raise LookupError("broken on purpose")


async def upload(request: Request):
    return PlainTextResponse(str(len(await request.body())).zfill(8))


app = Starlette(
    routes=[
        Route("/", home),
        Route("/slow", slow),
        Route("/products/{size}", product),
        Route("/broken", broken),
        Route("/upload", upload, methods=["POST"]),
    ],
    lifespan=lifespan,
)
perfsdk.instrument(app)


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


signed = sign(app)
