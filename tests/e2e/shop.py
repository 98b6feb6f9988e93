"""A measured application whose every answer is known beforehand and says which process gave it."""

import asyncio

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import perfsdk
from tests.e2e.signing import announce, sign

SLOW_SECONDS = 0.02


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
    lifespan=announce,
)
perfsdk.instrument(app)


signed = sign(app)
