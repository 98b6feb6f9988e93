"""Cases 16 to 21: how a request ended."""

import asyncio

from tests.frameworks.contract.framework import DURATION, Framework, until
from tests.frameworks.contract.stage import CHUNK, HELLO, Halt

BACKGROUND_EXCEPTIONS = "background_task_exceptions_total"


class Outcomes(Framework):
    """One sample a request, with the status as it was sent and the class of an error."""

    async def test_an_exception_is_a_server_error_with_its_class(
        self, app, stage, outcomes, active
    ):
        """And the exception that reaches the server is the one that was raised."""
        reply = await self.drive(app, "GET", "/boom")
        assert reply.status in {0, 500}
        if reply.error is not None:
            assert stage.raised[0] is reply.error
        await self.expect(outcomes, "GET /boom 500 ValueError")
        await self.idle(active)

    async def test_a_handler_of_the_application_decides_the_status(self, app, outcomes):
        """What it turns into a client error is no failure."""
        self.needs("exception handlers")
        reply = await self.drive(app, "GET", "/handled")
        assert (418, None) == (reply.status, reply.error)
        await self.expect(outcomes, "GET /handled 418")

    async def test_a_server_error_without_an_exception_is_told_by_its_status(self, app, outcomes):
        """The application answered with it."""
        assert 503 == (await self.drive(app, "GET", "/unavailable")).status
        await self.expect(outcomes, "GET /unavailable 503 503")

    async def test_an_exception_after_the_start_keeps_the_status(self, app, outcomes, active):
        """One sample: the status that was sent, and the class of the error."""
        self.needs("streams")
        reply = await self.drive(app, "GET", "/stream-breaks")
        assert (200, CHUNK) == (reply.status, reply.body)
        error_type = type(reply.error).__name__ if reply.error else self.stream_error_type
        await self.expect(outcomes, f"GET /stream-breaks 200 {error_type}")
        await self.idle(active)

    async def test_a_background_task_that_raises_is_counted_apart(
        self, app, outcomes, active, recording
    ):
        """The response was complete: a success."""
        self.needs("background")
        assert 200 == (await self.drive(app, "GET", "/background-raises")).status
        await self.expect(outcomes, "GET /background-raises 200")
        await self.idle(active)
        label = self.label("/background-raises")
        await until(
            lambda: recording.value(BACKGROUND_EXCEPTIONS, http_route=label), "the exception"
        )
        assert 1 == recording.value(BACKGROUND_EXCEPTIONS)

    async def test_a_cancelled_request_is_a_client_that_left(self, app, stage, outcomes, active):
        """Before the response started: one sample, and the cancellation goes on."""
        self.needs("cancellation")
        stage.hold("wait")
        asking = asyncio.create_task(self.drive(app, "GET", "/wait"))
        await until(lambda: "wait" in stage.reached, "the endpoint")
        assert (1, True) == active()
        asking.cancel()
        (result,) = await asyncio.gather(asking, return_exceptions=True)
        error = result if isinstance(result, BaseException) else result.error
        assert isinstance(error, asyncio.CancelledError)
        await self.expect(outcomes, "GET /wait 499 client_disconnect")
        await self.idle(active)

    async def test_what_is_no_exception_passes_through(self, app, stage, outcomes, active):
        """A BaseException of a server's own: one sample, and the same object arrives."""
        self.needs("raw driver")
        reply = await self.drive(app, "GET", "/halt")
        assert isinstance(reply.error, Halt)
        assert stage.raised[0] is reply.error
        await self.expect(outcomes, "GET /halt 500 Halt")
        await self.idle(active)

    async def test_a_client_that_leaves_a_stream_is_no_server_error(self, app, outcomes, active):
        """Status as it was sent."""
        self.needs("streams")
        reply = await self.drive(app, "GET", "/endless", leave_after=1)
        assert 200 == reply.status
        await self.expect(outcomes, "GET /endless 200 client_disconnect")
        await self.idle(active)

    async def test_a_client_that_leaves_after_the_last_byte_has_its_answer(self, app, outcomes):
        """Every client leaves at some time: a success."""
        reply = await self.drive(app, "GET", "/plain", leave_after=1)
        assert (200, HELLO.encode()) == (reply.status, reply.body)
        await self.expect(outcomes, "GET /plain 200")

    async def test_requests_at_once_are_counted_each(self, app, stage, outcomes, active, recording):
        """As many are active as are being served, and none is left over."""
        stage.hold("wait")
        asking = [asyncio.create_task(self.drive(app, "GET", "/wait")) for _ in range(4)]
        await until(lambda: 4 == stage.reached.count("wait"), "four endpoints")
        assert (4, True) == active()
        assert 0 == recording.count(DURATION)
        stage.open("wait")
        assert [200] * 4 == [reply.status for reply in await asyncio.gather(*asking)]
        await self.expect(outcomes, ("GET /wait 200", 4))
        await self.idle(active)
