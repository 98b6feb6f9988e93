"""Case 24: neither hostile input nor a failure of ours changes what client and server see."""

import importlib
import inspect
import shutil

import pytest

from perfsdk import instrumentation
from perfsdk.frameworks import delivery, http_server, queue_time, selection
from tests.frameworks.contract.framework import DURATION, Framework, until

REQUESTS = (
    "GET /plain",
    "POST /plain",
    "GET /items/7",
    "GET /large",
    "GET /boom",
    "GET /handled",
    "GET /unavailable",
    "GET /empty",
    "GET /stream",
    "GET /stream-breaks",
    "GET /nope",
    "GET /slash/7",
    "GET /v1/things/1",
    "GET /sub/hello/me",
    "GET /t/acme/x/7",
    "GET /background-raises",
    "PURGE /plain",
)
"""Something of everything; what a framework has not answers 404."""

PATHS = ("/\0\n\r", "/" + "x" * 262_144, "/\udcff", "//", "/%00", "/é/\u2028")
LENGTHS = ("abc", "-1", "1, 2", "99999999999999999999", "\xff\xfe", "")
CANNOT_END = {"_next_oldest", "forget"}
"""Without them nobody can say that a request has ended."""


def fail(*_, **__):
    """What a function of ours does instead of its work."""
    raise RuntimeError("inside perfsdk")


def functions(modules, but=()):
    """The functions and methods made in the modules, as (owner, name)."""
    found = []
    for module in modules:
        owners = [module, *(value for value in vars(module).values() if isinstance(value, type))]
        for owner in owners:
            if getattr(owner, "__module__", module.__name__) != module.__name__:
                continue
            found += [
                (owner, name)
                for name, value in vars(owner).items()
                if inspect.isfunction(value)
                and value.__module__ == module.__name__
                and f"{owner.__name__.rpartition('.')[2]}.{name}" not in but
            ]
    return found


CALLED = [
    *((http_server.HttpServer, name) for name in ("route", "unresolved", "began", "record")),
    (http_server.HttpServer, "forget"),
    *((delivery.Delivery, name) for name in ("first_byte", "uncompressed", "background")),
    *((queue_time.QueueTime, name) for name in ("observe", "observe_headers")),
    (selection._Globs, "__contains__"),
]
"""What the files of frameworks call of the files that they share."""
CALLED_ALWAYS = {"began", "record", "route"}


swallowing = pytest.mark.usefixtures("swallow_errors")


class Hostile(Framework):
    """The reply of a measured application is that of the application alone."""

    modules = ()
    """Names of the framework's own modules of ours, whose functions may fail."""
    way_in = ()
    """Those that servers and applications call: nobody around them could keep an error."""

    async def test_the_replies_are_those_of_the_application(self, stage, app):
        """Status, headers, body, and the exception that reaches the server."""
        await self._same(stage, app, REQUESTS)

    @pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path[:8]))
    async def test_a_hostile_path(self, path, stage, app, recording):
        """It is answered as without us, and is in no label."""
        self.needs("raw driver")
        await self._same(stage, app, [f"GET {path}"])
        known = {self.label(name) for name in ("<unmatched>", "<redirect>", "/plain")}
        assert known >= {labels["http_route"] for labels in recording.series(DURATION)}

    @pytest.mark.parametrize("length", LENGTHS, ids=ascii)
    async def test_a_hostile_content_length(self, length, stage, app):
        """Whose it is to complain, complains; we count bytes."""
        self.needs("raw driver")
        headers = [("Content-Length", length), ("X-Request-Start", length)]
        await self._same(stage, app, ["POST /echo", "GET /plain"], headers=headers)

    @swallowing
    @pytest.mark.parametrize("kind", range(10))
    async def test_hostile_surroundings(self, kind, stage, serve):
        """What the protocol forbids, and servers give all the same."""
        how = self.forbidden()
        if kind >= len(how):
            pytest.skip("there are no more kinds of it in this protocol")
        app = serve(trust_queue_time=True)
        await self._same(stage, app, ["GET /plain", "GET /nope"], make_how=how[kind])

    def forbidden(self):
        """Functions that make options of the driver that no specification allows."""
        return []

    @swallowing
    @pytest.mark.parametrize(("owner", "name"), CALLED, ids=[name for _, name in CALLED])
    async def test_a_failing_function_of_ours(
        self, owner, name, stage, serve, monkeypatch, recording
    ):
        """From the first request on; nothing stays in service, and the failure is counted."""
        app = serve(exclude=("/nothing/*",), trust_queue_time=True)
        await self._same_while_failing(stage, app, owner, name, monkeypatch)
        if name in CALLED_ALWAYS:
            assert recording.value("perfsdk_internal_errors_total") > 0

    @swallowing
    async def test_failing_functions_of_the_framework_s_own_files(self, stage, serve, monkeypatch):
        """Each of them, one after another, from the first request of an application on."""
        own = functions(map(importlib.import_module, self.modules), but=self.way_in)
        assert own != []
        for owner, name in own:
            await self._same_while_failing(stage, serve(), owner, name, monkeypatch)

    @swallowing
    async def test_a_lost_directory(self, stage, app, perfsdk_dir):
        """Before the first request, and after some."""
        for _ in range(2):
            shutil.rmtree(perfsdk_dir)
            await self._same(stage, app, REQUESTS)

    @swallowing
    async def test_a_full_segment(self, stage, serve, recording):
        """The smallest one, full of routes: what fits no more is counted as dropped."""
        app = serve(segment_size_bytes=1 << 20)
        await self.ask(app, "GET /plain")
        server = http_server_in_force()
        for number in range(1500):
            server.route(f"/{number}/{'x' * 100}").bind()
        await self._same(stage, app, REQUESTS)
        assert recording.value("perfsdk_dropped_series_total") > 0

    async def _same_while_failing(self, stage, app, owner, name, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            await self._same(stage, app, REQUESTS, failing=name)

    async def _same(self, stage, app, requests, *, failing="", make_how=dict, **how):
        bare = self.make_app(stage)
        for request in requests:
            expected, found = [
                await self.drive(each, *request.split(" ", 1), **how, **make_how())
                for each in (bare, app)
            ]
            assert _comparable(expected) == _comparable(found), (request, failing)
            assert "inside perfsdk" not in repr(expected.error), (request, failing)
            one_of_these = [
                any(error is one for one in stage.raised) for error in (expected.error, found.error)
            ]
            assert one_of_these[0] == one_of_these[1], (request, failing)
            stage.raised.clear()
        if failing not in CANNOT_END:
            serving = http_server_in_force()._serving
            await until(lambda: serving == {}, "nothing in service")


def http_server_in_force():
    """Our own object that counts requests."""
    return instrumentation._running.http_server


def _comparable(reply):
    """A reply without what differs from one to the next anyhow."""
    headers = sorted((name.lower(), value) for name, value in reply.headers)
    headers = [header for header in headers if header[0] not in {"date", "etag"}]
    return reply.status, headers, reply.body, repr(reply.error)
