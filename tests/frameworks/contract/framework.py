"""What a subclass of the contract says about its framework, and what the tests use of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest

import perfsdk
from perfsdk.frameworks.labels import UNRESOLVED
from tests.frameworks.contract.stage import Stage

WAIT_SECONDS = 10
DURATION = "http_server_request_duration_seconds"


class Reply(NamedTuple):
    """What a client saw, and the exception that reached the server (None through a real one)."""

    status: int
    headers: list
    body: bytes
    error: BaseException | None = None


class Framework:
    """The framework of a contract; `tests.frameworks.http_contract` says how to fill it in."""

    templates: Mapping[str, str] = MappingProxyType({})
    without: Mapping[str, str] = MappingProxyType({})
    protocol_without: Mapping[str, str] = MappingProxyType({})
    stream_error_type = "ValueError"
    many = 1000

    def make_app(self, stage):
        """A new application with the endpoints of the contract."""
        raise NotImplementedError

    async def drive(self, app, method="GET", path="/", **how):
        """Make one request as a driver does; a `Reply`."""
        raise NotImplementedError

    def instrument(self, app, **settings):
        """Measure an application; what to serve."""
        return perfsdk.instrument(app, **settings)

    def with_middleware(self, stage, middleware):
        """An application as `make_app` gives it, with one more middleware of its protocol."""
        app = self.make_app(stage)
        self.add_middleware(app, middleware)
        return app

    def add_middleware(self, app, middleware):
        """Add a middleware of the protocol, `middleware(app)`, to an application made before."""
        app.add_middleware(middleware)

    def label(self, template):
        """The `http_route` of a template as the contract writes it."""
        return self.templates.get(template, template)

    def needs(self, *features):
        """Skip the test where the framework has not one of the features."""
        for feature in features:
            if not self.has(feature):
                reasons = {**self.protocol_without, **self.without}
                pytest.skip(f"{feature}: {reasons[feature]}")

    def has(self, feature):
        """Whether the framework, and how it is driven, can do it."""
        return feature not in self.without and feature not in self.protocol_without

    @pytest.fixture
    def stage(self, tmp_path):
        """The stage of this test's application; whoever waits on it is let go at the end."""
        stage = Stage(tmp_path)
        yield stage
        stage.open_all()

    @pytest.fixture
    def serve(self, stage, measured):
        """`serve(**settings)`: a new application, measured; what to drive."""
        return lambda **settings: self.instrument(self.make_app(stage), **settings)

    @pytest.fixture
    def app(self, serve):
        """One measured application."""
        return serve()

    async def ask(self, app, *requests):
        """The replies to requests such as `"GET /plain"`, one after another."""
        return [await self.drive(app, *request.split(" ", 1)) for request in requests]

    async def expect(self, outcomes, *requests):
        """Exactly these were recorded: pairs of `"GET /template 200 ErrorType"` and a number.

        The template is the contract's; an error type may be missing. A request that is given
        without a number was made once.
        """
        expected = Counter()
        for request in requests:
            text, count = (request, 1) if isinstance(request, str) else request
            method, template, status, *error_type = text.split(" ")
            expected[method, self.label(template), status, "".join(error_type)] += count
        await until(lambda: sum(outcomes().values()) >= expected.total(), "requests recorded")
        assert dict(expected) == outcomes()

    async def idle(self, active):
        """Nothing is being served any more, which a real server may tell a moment later."""
        await until(lambda: active() == (0, False), "no active request")


class PlainCallable:
    """Mixed into the contract of callables without a router that we know."""

    def label(self, template):
        """There is one value."""
        return UNRESOLVED


async def until(predicate, what):
    """Wait until the predicate is true.

    Raises:
        TimeoutError: it was not in time.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {WAIT_SECONDS} s")
        await asyncio.sleep(0.002)
