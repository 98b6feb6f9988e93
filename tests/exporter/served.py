"""The exporter's server in the test's own event loop, on a free port, and ways to talk to it."""

import asyncio
import http.client
import re
import threading
from contextlib import asynccontextmanager, suppress

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.web.listening import listen, parse_address
from perfsdk_exporter.web.server import make_application, serving

OWN = "?name[]=perfsdk_exporter_refusals"
POLL_SECONDS = 0.01
DEADLINE_SECONDS = 20


class Double:
    """A collector that gives these families, when it may: `go` is set at first."""

    def __init__(self, *families):
        self.families = families
        self.started, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.collections = 0

    def collect(self):
        """Tell that it was asked, wait until it may answer."""
        self.started.set()
        assert self.go.wait(DEADLINE_SECONDS)
        self.collections += 1
        segments = {"live": 0, "dead": 0, "unreadable": 0}
        return Collection(
            families=list(self.families), directory=None, explanation="", segments=segments
        )


@asynccontextmanager
async def served(collector, *, limits=None, **options):
    """Serve `/metrics` of a collector as the program does; gives the port."""
    application = make_application(collector, "/metrics", **options)
    opened = listen(parse_address("127.0.0.1:0"))
    port = opened.getsockname()[1]
    async with serving(application, [opened], limits):
        yield port


async def ask(port, path="/-/healthy", *, ssl=None, method="GET", **headers):
    """Status, headers and body of one request on a connection of its own."""

    def request():
        if ssl is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=DEADLINE_SECONDS, context=ssl
            )
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(request)


async def until(condition):
    """Poll until a coroutine function gives something true, and give that."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_SECONDS
    while not (found := await condition()):
        assert loop.time() < deadline, "not in time"
        await asyncio.sleep(POLL_SECONDS)
    return found


async def ended(reader):
    """All that comes until the server closes the connection, cleanly or not."""
    received = b""
    with suppress(ConnectionError):
        while part := await asyncio.wait_for(reader.read(65536), DEADLINE_SECONDS):
            received += part
    return received


async def refusals(port, **options):
    """How many refusals the page tells, by reason; those that are 0 are left out."""
    _, _, page = await ask(port, f"/metrics{OWN}", **options)
    found = re.findall(
        r'^perfsdk_exporter_refusals_total\{reason="(\w+)"\} (.+)$', page.decode(), re.MULTILINE
    )
    return {reason: float(value) for reason, value in found if float(value)}
