"""Case 23: sizes are the bytes of this request."""

import asyncio

from tests.frameworks.contract.framework import Framework, until
from tests.frameworks.contract.stage import CHUNK, CHUNKS, LARGE

RECEIVED = "http_server_request_body_size_bytes"
SENT = "http_server_response_body_size_bytes"
UNCOMPRESSED = "http_server_uncompressed_bytes_total"


class Sizes(Framework):
    """Bytes are those that were really read and sent."""

    async def test_the_sizes_of_a_request(self, app, recording):
        """What the application read of the body, and what it sent."""
        body = b"x" * 200_000
        reply = await self.drive(app, "POST", "/echo", body=body)
        assert (200, b"200000") == (reply.status, reply.body)
        labels = {"http_request_method": "POST", "http_route": self.label("/echo")}
        await until(lambda: recording.count(SENT, **labels), "the request")
        assert len(body) == recording.sum(RECEIVED, **labels)
        assert len(reply.body) == recording.sum(SENT, **labels)

    async def test_a_stream_has_its_own_bytes(self, app, recording):
        """After a response with a length, one without has not that of the former."""
        self.needs("streams")
        before = recording.sum(SENT)
        large, stream = await self.ask(app, "GET /large", "GET /stream")
        assert (LARGE.encode(), CHUNK * CHUNKS) == (large.body, stream.body)
        await until(lambda: 2 == recording.count(SENT), "both requests")
        assert len(LARGE) + len(CHUNK) * CHUNKS == recording.sum(SENT) - before
        assert 0 == recording.sum(RECEIVED)

    async def test_an_answer_to_head_has_no_bytes(self, app, recording):
        """Applications may send a body, servers leave it out."""
        await self.ask(app, "HEAD /plain")
        await until(lambda: recording.count(SENT), "the request")
        assert 0 == recording.sum(SENT)

    async def test_requests_at_once_do_not_mix(self, app, recording):
        """Each has the bytes of its own."""
        sizes = range(1, 100)
        bodies = [b"x" * size for size in sizes]
        replies = await asyncio.gather(
            *(self.drive(app, "POST", "/echo", body=body) for body in bodies)
        )
        assert [str(size).encode() for size in sizes] == [reply.body for reply in replies]
        await until(lambda: len(bodies) == recording.count(SENT), "all requests")
        assert sum(sizes) == recording.sum(RECEIVED)
        assert sum(len(reply.body) for reply in replies) == recording.sum(SENT)

    async def test_what_could_have_been_compressed_is_counted(self, app, recording):
        """Text of 1 KiB and more; a short one, a stream of short parts and HEAD are not."""
        requests = ("GET /large", "GET /plain", "GET /stream", "HEAD /large", "GET /nope")
        await self.ask(app, *requests)
        await until(lambda: len(requests) == recording.count(SENT), "all requests")
        assert len(LARGE) == recording.value(UNCOMPRESSED, http_route=self.label("/large"))
        assert len(LARGE) == recording.value(UNCOMPRESSED)
