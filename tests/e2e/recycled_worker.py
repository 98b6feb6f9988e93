"""A worker that serves a hundred requests and ends; `python -m tests.e2e.recycled_worker TRUTH`.

It writes into its own file, whose name begins with TRUTH, how many requests began and ended, so
that whoever kills it knows what it had done.
"""

import asyncio
import mmap
import os
import random
import sys

import perfsdk

REQUESTS = 100
ROUTES = 4


async def application(scope, receive, send):
    """Answers after a moment; one in eight with an error."""
    await asyncio.sleep(random.random() * 0.01)
    status = 500 if random.random() < 0.125 else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 100})


async def receive():
    """Nothing more comes."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message):
    """The client takes everything."""


async def serve(truth):
    """Requests one after the other; both counts are stored around each."""
    app = perfsdk.instrument(application)
    for number in range(REQUESTS):
        truth[0] = number + 1
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await app(scope, receive, send)
        truth[1] = number + 1


def main():
    """Serve and end, as a worker does that is recycled."""
    with open(f"{sys.argv[1]}-{os.getpid()}-{random.getrandbits(64):x}", "w+b") as file:
        file.truncate(16)
        asyncio.run(serve(memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")))


if __name__ == "__main__":
    main()
