"""Cases 13 to 15: when a request ends, and when its first byte was there."""

import asyncio
from time import perf_counter

from tests.frameworks.contract.framework import DURATION, Framework, until
from tests.frameworks.contract.stage import CHUNK, CHUNKS, HELLO

FIRST_BYTE = "http_server_time_to_first_byte_seconds"
BACKGROUND = "background_task_duration_seconds"


class Times(Framework):
    """A request lasts from its begin to its last byte, whatever is done after it."""

    async def test_a_background_task_is_not_the_request(
        self, app, stage, outcomes, active, recording
    ):
        """While it runs, the request is recorded and nothing is active; it has its own time."""
        self.needs("background")
        stage.hold("background")
        asking = asyncio.create_task(self.drive(app, "GET", "/background"))
        await until(lambda: "background" in stage.reached, "the background task")
        await self.expect(outcomes, "GET /background 200")
        await self.idle(active)
        duration = recording.sum(DURATION)
        assert 0 == recording.count(BACKGROUND)
        held_from = perf_counter()
        await asyncio.sleep(0.002)  # tasks of less than a millisecond are not recorded
        held = perf_counter() - held_from
        stage.open("background")
        reply = await asking
        assert (200, HELLO.encode(), None) == (reply.status, reply.body, reply.error)
        label = self.label("/background")
        await until(lambda: recording.count(BACKGROUND, http_route=label), "its time")
        assert 1 == recording.count(BACKGROUND)
        assert recording.sum(BACKGROUND) >= held
        assert duration == recording.sum(DURATION)
        await self.expect(outcomes, "GET /background 200")

    async def test_a_stream_lasts_until_its_last_byte(
        self, app, stage, outcomes, active, recording
    ):
        """The first byte is that of the first part; the end is that of the last one."""
        self.needs("streams")
        seen = []
        stage.hold("first")
        stage.hold("rest")
        began = perf_counter()
        asking = asyncio.create_task(
            self.drive(app, "GET", "/stream", on_chunk=lambda _: seen.append(perf_counter()))
        )
        await until(lambda: "first" in stage.reached, "the body")
        waiting_from = perf_counter()
        await asyncio.sleep(0.002)  # so that this wait is to be found in the time
        waiting = perf_counter() - waiting_from
        stage.open("first")
        await until(lambda: seen, "the first part")
        held_from = perf_counter()
        await until(lambda: "rest" in stage.reached, "the second part")
        assert {} == outcomes()
        assert (1, True) == active()
        held = perf_counter() - held_from
        stage.open("rest")
        reply = await asking
        assert (200, CHUNK * CHUNKS) == (reply.status, reply.body)
        await self.expect(outcomes, "GET /stream 200")
        await self.idle(active)
        label = self.label("/stream")
        await until(lambda: recording.count(FIRST_BYTE, http_route=label), "the first byte")
        assert 1 == recording.count(FIRST_BYTE)
        first = recording.sum(FIRST_BYTE)
        assert waiting <= first <= held_from - began
        assert recording.sum(DURATION) >= first + held * self.first_byte_is_seen_at_once

    first_byte_is_seen_at_once = True
    """False through a real server, where the client sees it a moment later."""

    async def test_an_answer_in_one_piece_has_no_time_of_a_first_byte(self, app, recording):
        """It would be the duration once more."""
        await self.ask(app, "GET /plain", "GET /boom", "GET /nope")
        await until(lambda: 3 == recording.count(DURATION), "requests recorded")
        assert [] == recording.series(FIRST_BYTE)

    async def test_the_end_of_a_response_without_a_body_is_seen(self, app, outcomes, active):
        """204, 304 and HEAD: one sample each."""
        expected = []
        for request in ("GET /empty", "GET /not-modified", "HEAD /plain"):
            (reply,) = await self.ask(app, request)
            expected.append(f"{request} {reply.status}")
            assert b"" == reply.body or request.startswith("HEAD")
        assert ["GET /empty 204", "GET /not-modified 304"] == expected[:2]
        await self.expect(outcomes, *expected)
        await self.idle(active)
