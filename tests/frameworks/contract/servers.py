"""The cases that a real client can produce, through a real server."""

import asyncio

from tests.frameworks import server_driver
from tests.frameworks.contract.framework import Framework, until
from tests.frameworks.contract.sizes import RECEIVED, SENT
from tests.frameworks.contract.stage import CHUNK, CHUNKS, HELLO


class Servers(Framework):
    """What clients get, and what is recorded of it, over real connections."""

    serving = None
    """Serves an application: a context manager that gives the port."""

    async def test_requests_through_a_real_server(self, app, outcomes, active, recording):
        """Answered, failed, streamed, uploaded; exact sizes, nothing left in service."""
        self.needs("real server")
        body = b"x" * 1_000_000
        with self.serving(app) as port:
            plain, echo, boom, nope = await asyncio.gather(
                server_driver.drive(port, "GET", "/plain"),
                server_driver.drive(port, "POST", "/echo", body=body),
                server_driver.drive(port, "GET", "/boom"),
                server_driver.drive(port, "GET", "/nope"),
            )
            expected = ["GET /plain 200", "POST /echo 200", "GET <unmatched> 404"]
            expected.append("GET /boom 500 ValueError")
            if self.has("streams"):
                stream = await server_driver.drive(port, "GET", "/stream")
                assert (200, CHUNK * CHUNKS) == (stream.status, stream.body)
                expected.append("GET /stream 200")
            await self.expect(outcomes, *expected)
            await self.idle(active)
        assert (200, HELLO.encode()) == (plain.status, plain.body)
        assert (200, b"1000000") == (echo.status, echo.body)
        assert (500, 404) == (boom.status, nope.status)
        assert len(body) == recording.sum(RECEIVED, http_request_method="POST")
        echoed = {"http_request_method": "POST", "http_route": self.label("/echo")}
        assert len(b"1000000") == recording.sum(SENT, **echoed)

    async def test_a_client_that_leaves_a_real_server(self, app, outcomes, active):
        """In the middle of a stream: status as it was sent."""
        self.needs("real server", "streams")
        with self.serving(app) as port:
            reply = await server_driver.drive(port, "GET", "/endless", leave_after=1)
            assert 200 == reply.status
            await self.expect(outcomes, "GET /endless 200 client_disconnect")
            await self.idle(active)

    async def test_a_background_task_on_a_real_server(self, app, stage, outcomes, active):
        """The client has its answer, and the request is recorded, while the task still runs."""
        self.needs("real server", "background")
        stage.hold("background")
        with self.serving(app) as port:
            reply = await server_driver.drive(port, "GET", "/background", leave_after=1)
            assert (200, HELLO.encode()) == (reply.status, reply.body)
            await until(lambda: "background" in stage.reached, "the background task")
            await self.expect(outcomes, "GET /background 200")
            await self.idle(active)
            stage.open("background")
