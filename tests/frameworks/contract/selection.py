"""What the settings select: excluded requests, labels of the user's own, objectives, queues."""

from time import time

import pytest

from tests.frameworks.contract.framework import DURATION, Framework, until

PER_ROUTE = (
    DURATION,
    "http_server_request_body_size_bytes",
    "http_server_response_body_size_bytes",
    "http_server_time_to_first_byte_seconds",
    "http_server_uncompressed_bytes_total",
    "http_server_request_band_total",
    "background_task_duration_seconds",
    "background_task_exceptions_total",
)
QUEUE = "http_server_request_queue_duration_seconds"


class Selection(Framework):
    """Settings mean the same in every framework."""

    async def test_health_checks_are_not_measured(self, app, outcomes, active):
        """They would drown everything else."""
        replies = await self.ask(app, "GET /healthz", "GET /plain")
        assert [200, 200] == [reply.status for reply in replies]
        await self.expect(outcomes, "GET /plain 200")
        await self.idle(active)

    async def test_health_checks_can_be_measured(self, serve, outcomes):
        """Where the user wants it."""
        await self.ask(serve(exclude=("!/healthz",)), "GET /healthz")
        await self.expect(outcomes, "GET /healthz 200")

    async def test_a_handler_that_opted_out(self, app, outcomes, active, recording):
        """Its requests are in no family, those of its neighbours are."""
        self.needs("opting out")
        replies = await self.ask(app, "GET /opted-out", "GET /opted-out/7", "HEAD /opted-out")
        assert [200, 200] == [reply.status for reply in replies[:2]]
        await self.expect(outcomes, "GET /opted-out/{n} 200")
        await self.idle(active)
        self._only(recording, "/opted-out/{n}")

    async def test_a_glob_of_paths(self, serve, outcomes, recording):
        """What it matches is in no family."""
        app = serve(exclude=("/files/*", "/background*", "/stream", "/large", "/boom"))
        requests = ["GET /files/a/b", "GET /large", "GET /boom", "GET /nope", "GET /plain"]
        if self.has("streams"):
            requests.append("GET /stream")
        if self.has("background"):
            requests.append("GET /background-raises")
        await self.ask(app, *requests)
        await self.expect(outcomes, "GET <unmatched> 404", "GET /plain 200")
        self._only(recording, "<unmatched>", "/plain")

    async def test_a_template(self, serve, outcomes, active, recording):
        """A route is named as its label."""
        self.needs("routes")
        app = serve(exclude=(self.label("/items/{item_id}"),))
        await self.ask(app, "GET /items/7", "GET /items/8", "GET /plain")
        await self.expect(outcomes, "GET /plain 200")
        await self.idle(active)
        self._only(recording, "/plain")

    def _only(self, recording, *templates):
        expected = {self.label(template) for template in templates}
        for name in PER_ROUTE:
            assert expected >= {labels["http_route"] for labels in recording.series(name)}, name

    async def test_labels_of_the_user(self, serve, stage, recording):
        """Only the values that are allowed; a request that says none has an empty one."""
        app = serve(route_labels={"tier": ("gold", "silver")})
        for labels in ({}, {"tier": "gold"}, {"tier": "gold"}, {"tier": "made up"}):
            stage.labels = labels
            await self.ask(app, "GET /plain")
        await until(lambda: 4 == recording.count(DURATION), "all requests")
        counts = {
            labels["tier"]: recording.count(DURATION, tier=labels["tier"])
            for labels in recording.series(DURATION)
        }
        assert {"": 1, "gold": 2, "_OTHER": 1} == counts

    @pytest.mark.parametrize("per_route", [False, True])
    async def test_an_objective_is_a_bucket(self, per_route, serve, recording):
        """So that the share of requests below it is exact."""
        objective = {self.label("/plain"): 0.123} if per_route else 0.123
        await self.ask(serve(latency_objective=objective), "GET /plain")
        await until(lambda: recording.count(DURATION), "the request")
        (bounds,) = [s.metric.bounds for s in recording._read() if s.metric.name == DURATION]
        assert 0.123 in bounds

    async def test_queues_are_measured_where_the_header_is_trusted(self, serve, recording):
        """From the time that the proxy says, whichever of the two headers it uses."""
        app = serve(trust_queue_time=True)
        began = time()
        for name in ("X-Request-Start", "X-Queue-Start"):
            await self.drive(app, "GET", "/plain", headers=[(name, f"t={began - 100:.6f}")])
        await until(lambda: 2 == recording.count(QUEUE), "two waits")
        assert 200 <= recording.sum(QUEUE) + 0.001
        assert recording.sum(QUEUE) <= 2 * (time() - began + 100) + 0.001

    async def test_the_header_of_a_client_is_not_believed(self, app, recording):
        """Unless the setting says so, and never what is no time."""
        headers = [("X-Request-Start", f"t={time() - 100:.6f}")]
        assert 200 == (await self.drive(app, "GET", "/plain", headers=headers)).status
        await until(lambda: recording.count(DURATION), "the request")
        assert [] == recording.series(QUEUE)

    @pytest.mark.parametrize("value", ["", "abc", "t=", "-1", "9" * 400, "nan", "\xff", "t=1,2"])
    async def test_what_is_no_time_is_dropped(self, value, serve, recording):
        """The request is counted."""
        app = serve(trust_queue_time=True)
        headers = [("X-Request-Start", value)]
        assert 200 == (await self.drive(app, "GET", "/plain", headers=headers)).status
        await until(lambda: recording.count(DURATION), "the request")
        assert [] == recording.series(QUEUE)
