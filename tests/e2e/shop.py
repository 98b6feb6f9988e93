"""A measured application whose every answer is known beforehand and says which process gave it."""

import asyncio
import os
from contextlib import asynccontextmanager
from itertools import count

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse

import perfsdk

READY = "the shop is open"
"""Printed by each process when it serves; nothing asks it before, since that would count."""

SLOW_SECONDS = 0.02


@asynccontextmanager
async def lifespan(_app):
    print(READY, flush=True)
    yield


app = FastAPI(lifespan=lifespan)
perfsdk.instrument(app)


@app.get("/")
async def home():
    return PlainTextResponse("welcome")


@app.get("/slow")
async def slow():
    await asyncio.sleep(SLOW_SECONDS)
    return PlainTextResponse("at last")


@app.get("/products/{size}")
async def product(size: int):
    """A page of `size` bytes; there is none of 0 bytes."""
    if size == 0:
        raise HTTPException(404)
    return PlainTextResponse("x" * size)


@app.get("/broken")
async def broken():
    raise LookupError("broken on purpose")


@app.post("/upload")
async def upload(request: Request):
    return PlainTextResponse(str(len(await request.body())).zfill(8))


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
