"""A measured application that sends a file, and a stream that ends when nobody listens."""

import asyncio
from itertools import repeat

from starlette.applications import Starlette
from starlette.responses import FileResponse, StreamingResponse
from starlette.routing import Route

import perfsdk
from tests.e2e.signing import announce, sign

PAUSE_SECONDS = 0.005


async def file(_request):
    """The source of this; granian sends it by itself."""
    return FileResponse(__file__, media_type="text/plain")


async def endless(_request):
    return StreamingResponse(chunks())


async def chunks():
    for chunk in repeat(b"x" * 1000):
        yield chunk
        await asyncio.sleep(PAUSE_SECONDS)


app = Starlette(
    routes=[Route("/file", file), Route("/endless", endless)],
    lifespan=announce,
)
perfsdk.instrument(app)


signed = sign(app)
