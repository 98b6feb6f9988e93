"""`instrument` measures, refuses what it cannot, and `uninstrument` leaves nothing behind."""

import asyncio
import copy
import gc
import importlib
import inspect
import subprocess
import sys
import types
import weakref

import pytest
import starlette.routing
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Host, Mount, Route

from perfsdk import SettingsError, instrument, instrumentation, uninstrument
from perfsdk.integrations import INTEGRATIONS
from perfsdk.store.reader import find_segments
from perfsdk.testing import Recording
from tests.frameworks.driving import answering, ask, http_scope, part, start
from tests.store.processes import in_child, run

DURATION = "http_server_request_duration_seconds"
PLAIN = answering(start(), part(b"hello"))


@pytest.fixture
def recording(perfsdk_dir):
    """What was recorded in the directory of the test."""
    with Recording(perfsdk_dir) as read:
        yield read


@pytest.fixture(autouse=True)
def _uninstrumented(monkeypatch):
    """Libraries are left alone unless a test wants them; everything is undone at the end."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", ",".join(INTEGRATIONS))
    yield
    uninstrument()


async def hello(request):
    """An endpoint."""
    return PlainTextResponse("hello")


def make_starlette():
    """A Starlette application with one route."""
    return Starlette(routes=[Route("/x/{y}", hello)])


def make_fastapi():
    """A FastAPI application with one route."""

    # Not a plain function: the thread that ran it would keep the application for a while.
    async def endpoint(y):
        return y

    app = FastAPI()
    app.add_api_route("/x/{y}", endpoint)
    return app


FRAMEWORKS = pytest.mark.parametrize("make", [make_starlette, make_fastapi])


# --- what is refused ---


class App:
    """A class, where an instance is wanted."""

    async def __call__(self, scope, receive, send): ...


class TwoSteps:
    """An application of ASGI 2."""

    def __call__(self, scope): ...


REFUSED = [42, None, "app", App, lambda: None, lambda scope: None, TwoSteps(), object(), [], "a\nb"]


@pytest.mark.parametrize("app", REFUSED, ids=lambda app: repr(app).partition(" at ")[0])
def test_what_cannot_be_measured_is_refused(app, perfsdk_dir):
    """With one line that names it and says what to give; nothing has begun."""
    with pytest.raises(TypeError) as caught:
        instrument(app)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("instrument() cannot measure ")
    assert type(app).__name__ in message
    assert "FastAPI, Starlette, Litestar" in message
    assert instrumentation._running is None


@pytest.mark.parametrize(
    "app",
    [PLAIN, App(), App().__call__, lambda *args: None, lambda s, r, send, extra=1: None],
    ids=["function", "instance", "method", "lambda", "optional"],
)
def test_what_takes_three_arguments_is_an_application(app):
    """However it is written."""
    assert callable(instrument(app))


def test_an_unknown_keyword_is_refused():
    """By Python itself, in one line."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        instrument(PLAIN, colour="red")


ENVIRONMENTS = [
    ("PERFSDK_ENABLED", "perhaps"),
    ("PERFSDK_DIR", "{file}"),
    ("PERFSDK_DIR", "{file}/below"),
    ("PERFSDK_DIR", "{link}"),
    ("PERFSDK_DIR_MODE", "0777"),
    ("PERFSDK_SEGMENT_SIZE_BYTES", "1"),
    ("PERFSDK_SEGMENT_SIZE_BYTES", "big"),
    ("PERFSDK_SAMPLE_INTERVAL_SECONDS", "0"),
    ("PERFSDK_SAMPLE_INTERVAL_SECONDS", "nan"),
    ("PERFSDK_DISABLED_INTEGRATIONS", "nonesuch"),
    ("OTEL_RESOURCE_ATTRIBUTES", "no equals sign"),
]


@pytest.mark.parametrize(("variable", "text"), ENVIRONMENTS)
def test_a_wrong_environment_is_refused(variable, text, tmp_path, monkeypatch):
    """At once, in one line that names the variable; nothing has begun."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    text = text.format(file=tmp_path / "file", link=tmp_path / "link")
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError) as caught:
        instrument(PLAIN)
    assert "\n" not in str(caught.value)
    named = str(caught.value).split(":")[0].split("=")[0]
    assert named in (variable, variable.removeprefix("PERFSDK_").lower())
    assert instrumentation._running is None


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    """Given as a keyword."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"is not a directory; remove it or give another one$"):
        instrument(PLAIN, directory=str(tmp_path / "file"))
    assert instrumentation._running is None


def test_unknown_names_among_disabled_integrations_are_refused():
    """With the names that there are."""
    with pytest.raises(SettingsError) as caught:
        instrument(PLAIN, disabled_integrations=("redis", "rediss"))
    assert "rediss is not one of MySQLdb, aio" in str(caught.value)


def test_a_second_call_with_other_settings_is_refused(tmp_path):
    """The first ones hold for the process; the same, or none, are fine."""
    first = {"directory": str(tmp_path / "a"), "service": "shop"}
    app = make_starlette()
    instrument(app, **first)
    assert app is instrument(app, **first)
    other = make_starlette()
    assert other is instrument(other)
    with pytest.raises(SettingsError, match="runs with other settings already"):
        instrument(PLAIN, directory=str(tmp_path / "b"), service="shop")
    uninstrument()
    instrument(PLAIN, directory=str(tmp_path / "b"))


def test_disabled_changes_and_loads_nothing(perfsdk_dir):
    """`PERFSDK_ENABLED=0`: the same application, no patch, no thread, no library, no file."""
    script = """
import os, sys, threading
os.environ["PERFSDK_ENABLED"] = "0"
from starlette.applications import Starlette
import starlette.routing
app = Starlette()
handle, names, modules = starlette.routing.Route.handle, set(vars(app)), set(sys.modules)
import perfsdk
from perfsdk import instrument, uninstrument
async def plain(scope, receive, send): ...
assert instrument(app) is app
assert instrument(plain) is plain
assert uninstrument(plain) is plain
assert starlette.routing.Route.handle is handle
assert set(vars(app)) == names
assert threading.active_count() == 1
assert "wrapt" not in sys.modules
others = {n.partition(".")[0] for n in set(sys.modules) - modules} - sys.stdlib_module_names
assert others == {"perfsdk"}, others
try:
    instrument(42)
except TypeError:
    print("refused all the same")
"""
    assert "refused all the same\n" == run(script).stdout
    assert [] == list(perfsdk_dir.iterdir())


def test_the_keyword_wins_over_the_environment(monkeypatch):
    """To turn off, and to turn on."""
    app = make_starlette()
    instrument(app, enabled=False)
    assert instrumentation._running is None
    monkeypatch.setenv("PERFSDK_ENABLED", "0")
    instrument(app, enabled=True)
    assert instrumentation._running is not None


# --- what is measured ---


@FRAMEWORKS
async def test_a_framework_application_is_changed_in_place(make, recording):
    """The same object comes back, before the first request or after it, once or twice."""
    app = make()
    await ask(app, "/x/1")
    assert app is instrument(app)
    assert app is instrument(app)
    await ask(app, "/x/1")
    fresh = make()
    instrument(fresh)
    instrument(fresh)
    await ask(fresh, "/x/1")
    assert 2 == recording.count(DURATION, http_route="/x/{y}")
    assert 2 == recording.count(DURATION)


class Marking(BaseHTTPMiddleware):
    """Adds a header."""

    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["marked"] = "yes"
        return response


@FRAMEWORKS
async def test_an_application_can_be_changed_afterwards(make, recording):
    """Middleware, handlers of exceptions and routes that are added after `instrument`."""

    async def gone(request):
        raise LookupError

    async def handle(request, error):
        return JSONResponse({}, 410)

    app = instrument(make())
    app.add_middleware(Marking)
    app.add_exception_handler(LookupError, handle)
    app.router.add_route("/gone", gone)
    answer = await ask(app, "/gone")
    assert 410 == answer.status
    assert (b"marked", b"yes") in answer.headers
    assert 1 == recording.count(DURATION, http_route="/gone", http_response_status_code="410")
    assert 1 == recording.count(DURATION)


async def test_a_hundred_applications_in_one_process(recording):
    """Each request is counted once, whichever of them serves it."""
    apps = [instrument((make_starlette, make_fastapi)[n % 2]()) for n in range(100)]
    for app in apps:
        await ask(app, "/x/1")
    assert 100 == recording.count(DURATION)
    assert 1 == len(find_segments(recording.directory))
    for app in apps:
        uninstrument(app)
    assert instrumentation._running is None


def test_a_process_that_serves_nothing_writes_nothing(perfsdk_dir):
    """Management commands and health checks leave no file; their children neither."""
    app = instrument(make_starlette())
    assert [] == list(perfsdk_dir.iterdir())
    in_child(lambda: None)
    assert "" == run("import perfsdk\nasync def a(s, r, w): ...\nperfsdk.instrument(a)").stdout
    uninstrument(app)
    assert [] == list(perfsdk_dir.iterdir())


async def test_a_process_says_who_it_is(recording):
    """With its first request: a worker, its integrations, its resource attributes."""
    attributes = {"deployment.environment.name": "test", "1st": "é", "a-b": "x" * 200}
    app = instrument(PLAIN, service="shop", resource_attributes=attributes)
    await ask(app)
    assert 1 == recording.value("perfsdk_workers")
    assert 1 == recording.value("perfsdk_integration_info", library="redis", status="disabled")
    expected = {"service_name": "shop", "deployment_environment_name": "test", "_1st": "é"}
    assert [expected | {"a_b": "x" * 120}] == recording.series("target_info")


async def test_a_failing_start_costs_no_request(recording, monkeypatch):
    """No thread can be had: the first request is counted all the same."""

    def fail(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("perfsdk.guard.reraise", False)
    monkeypatch.setattr("threading.Thread.start", fail)
    app = instrument(PLAIN)
    assert [200, 200] == [(await ask(app)).status for _ in range(2)]
    assert 2 == recording.count(DURATION)
    assert 1 == recording.value("perfsdk_internal_errors_total")


async def test_a_forked_worker_counts_for_itself(recording):
    """Preloading: instrumented and asked before the fork, served after it."""
    app = instrument(make_starlette())
    await ask(app, "/x/1")

    def serve():
        asyncio.run(ask(app, "/x/1"))
        asyncio.run(ask(app, "/x/1", "POST"))
        return len(find_segments(recording.directory))

    loop = asyncio.get_running_loop()
    assert 2 == await loop.run_in_executor(None, in_child, serve)
    assert 3 == recording.count(DURATION)
    assert 2 == recording.value("perfsdk_workers")
    assert 0 == recording.value("http_server_active_requests")
    await ask(app, "/x/1")
    assert 4 == recording.count(DURATION)


async def test_a_fork_in_the_middle_of_a_request(recording):
    """The request is the parent's: a child that goes on with it writes nothing."""

    async def app(scope, receive, send):
        await send(start())
        if in_child(lambda: finish(send)) is None:
            await send(part(b"parent"))

    def finish(send):
        coroutine = send(part(b"child"))
        with pytest.raises(StopIteration):
            coroutine.send(None)

    await ask(instrument(app))
    assert 1 == recording.count(DURATION)
    assert 1 == len(find_segments(recording.directory))
    assert 0 == recording.value("http_server_active_requests")


# --- libraries ---


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that nobody has imported yet, its integration, and `patched` as it went."""
    name = f"library_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("__version__ = '2.5'\ndef work():\n    return 'bare'\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = types.ModuleType(f"{name}_integration")
    made.VERSIONS = ((2,), (3,))
    made.patch = lambda module, patches, _: patches.replace(module, "work", lambda _: measured)

    def measured():
        return "measured"

    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setitem(INTEGRATIONS, name, made.__name__)
    monkeypatch.setattr("perfsdk.guard.reraise", False)
    made.library = name
    yield made
    sys.modules.pop(name, None)


def status_of(recording, integration):
    """What perfsdk_integration_info says of a library: version and status."""
    series = recording.series("perfsdk_integration_info")
    return [(s["version"], s["status"]) for s in series if s["library"] == integration.library]


@pytest.mark.parametrize("when", ["before", "after instrument", "after the first request"])
async def test_a_library_is_patched_whenever_it_is_imported(when, library, recording):
    """And restored to the identical object with the last application."""
    if when == "before":
        importlib.import_module(library.library)
    app = instrument(PLAIN)
    if when == "after the first request":
        await ask(app)
    module = importlib.import_module(library.library)
    assert "measured" == module.work()
    await ask(app)
    assert [("2.5", "active")] == status_of(recording, library)
    uninstrument(app)
    assert "bare" == module.work()
    again = instrument(PLAIN)
    assert "measured" == module.work()
    uninstrument(again)
    assert "bare" == module.work()


def fail_half_way(module, patches, _):
    """An integration that fails after its first patch."""
    patches.replace(module, "work", lambda _: None)
    raise AttributeError("gone in this version")


@pytest.mark.parametrize("what", ["patch", "VERSIONS", "import", "version"])
async def test_an_integration_that_fails_does_not_break_the_import(
    what, library, recording, caplog, monkeypatch
):
    """It is put aside as a whole, said once, and shown; the application goes on."""
    if what == "patch":
        library.patch = fail_half_way
    elif what == "VERSIONS":
        del library.VERSIONS
    elif what == "import":
        monkeypatch.setitem(sys.modules, library.__name__, None)
    else:
        monkeypatch.setattr(library, "VERSIONS", ("two", "three"))
    app = instrument(PLAIN)
    module = importlib.import_module(library.library)
    assert "bare" == module.work()
    assert 200 == (await ask(app)).status
    assert [("2.5", "failed")] == status_of(recording, library)
    where = f"integrations.{library.library}"
    assert 1 == recording.value("perfsdk_internal_errors_total", where=where)
    assert 1 == len(caplog.messages)
    assert where in caplog.messages[0]


@pytest.mark.parametrize("known", [((1,), (2,)), ((2, 6), (3,)), ((2,), (2, 5))])
async def test_an_unknown_version_is_left_alone(known, library, recording, caplog):
    """Said once with the version and the known ones, and shown."""
    library.VERSIONS = known
    app = instrument(PLAIN)
    assert "bare" == importlib.import_module(library.library).work()
    await ask(app)
    assert [("2.5", "unsupported")] == status_of(recording, library)
    (message,) = caplog.messages
    assert f"{library.library} 2.5 is not known" in message


@pytest.mark.parametrize("version", [None, "", "dev", 7, ("2", "5"), "2"])
async def test_a_library_may_have_any_version(version, library, recording):
    """What is no version is unsupported or known, and never breaks the import."""
    from pathlib import Path

    source = f"__version__ = {version!r}\ndef work():\n    return 'bare'\n"
    (Path(sys.path[0]) / f"{library.library}.py").write_text(source)
    app = instrument(PLAIN)
    module = importlib.import_module(library.library)
    await ask(app)
    ((_, status),) = status_of(recording, library)
    assert {"active": "measured", "unsupported": "bare"}[status] == module.work()
    assert ("active" if version == "2" else "unsupported") == status


async def test_a_disabled_integration_is_left_alone(library, recording):
    """By its name; it shows as such."""
    app = instrument(PLAIN, disabled_integrations=(library.library,))
    assert "bare" == importlib.import_module(library.library).work()
    await ask(app)
    assert [("", "disabled")] == status_of(recording, library)


def test_a_hook_that_stays_behind_does_nothing(library):
    """Import hooks cannot be taken back: after the end they neither patch nor keep anything."""
    instrument(PLAIN)
    running = weakref.ref(instrumentation._running)
    uninstrument()
    gc.collect()
    assert running() is None
    assert "bare" == importlib.import_module(library.library).work()


# --- and back ---

CLASSES = [(Route, "handle"), (Mount, "handle"), (Host, "handle"), (APIRoute, "handle")]


@FRAMEWORKS
@pytest.mark.parametrize("served", [False, True])
async def test_uninstrument_restores_the_identical_objects(make, served, recording):
    """Classes of the frameworks, and everything that the application object had."""
    classes = [(owner, dict(vars(owner))) for owner, _ in CLASSES]
    handles = [getattr(owner, name) for owner, name in CLASSES]
    app = make()
    if served:
        await ask(app, "/x/1")
    before, router = dict(vars(app)), dict(vars(app.router))
    instrument(app)
    await ask(app, "/x/1")
    assert vars(app.router) != router
    for (owner, name), handle in zip(CLASSES, handles, strict=True):
        assert getattr(owner, name) is not handle
    stack = app.middleware_stack.app
    assert app is uninstrument(app)
    for owner, was in classes:
        assert was.keys() == vars(owner).keys()
        assert all(vars(owner)[name] is value for name, value in was.items())
    assert all(vars(app.router)[name] is value for name, value in router.items())
    assert router.keys() == vars(app.router).keys()
    assert before.keys() == vars(app).keys()
    assert stack is app.middleware_stack
    assert 200 == (await ask(app, "/x/1")).status
    assert 1 == recording.count(DURATION)


@FRAMEWORKS
async def test_uninstrument_frees_the_application(make):
    """Nothing of ours keeps it."""
    app = make()
    other = instrument(make())
    await ask(instrument(app), "/x/1")
    kept = weakref.ref(app)
    uninstrument(app)
    del app
    gc.collect()
    assert kept() is None
    uninstrument(other)


async def test_an_application_that_is_dropped_is_freed():
    """Also without `uninstrument`; the others go on."""
    other = instrument(make_starlette())
    app = instrument(make_starlette())
    await ask(app, "/x/1")
    kept = weakref.ref(app)
    del app
    gc.collect()
    assert kept() is None
    uninstrument(other)
    assert instrumentation._running is None


async def test_uninstrument_one_of_several(recording):
    """The others are measured as before; the classes stay patched until the last one."""
    one, other = instrument(make_starlette()), instrument(make_starlette())
    handle = Route.handle
    assert one is uninstrument(one)
    assert handle is Route.handle
    await ask(one, "/x/1")
    await ask(other, "/x/1")
    assert 1 == recording.count(DURATION)
    uninstrument(other)
    assert handle is not Route.handle


async def test_a_plain_application_comes_back(recording, caplog):
    """`uninstrument` returns the original, and whoever still serves the other one is fine."""
    served, other = instrument(PLAIN), instrument(answering(start(), part()))
    await ask(served)
    assert PLAIN is uninstrument(served)
    assert (200, None) == (await ask(served))[::3]
    assert 1 == recording.count(DURATION)
    await ask(other)
    uninstrument()
    assert (200, None) == (await ask(other))[::3]
    assert 2 == recording.count(DURATION)
    again = instrument(served)
    await ask(again)
    assert 3 == recording.count(DURATION)
    assert [] == caplog.messages


async def test_a_request_in_service_outlives_uninstrument(recording, caplog):
    """It ends as if nothing had been; what it would have recorded is left out without a word."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        begun.set()
        await gate.wait()
        await send(start(404))
        await send(part(b"hello"))

    served = instrument(app)
    task = asyncio.create_task(ask(served))
    await begun.wait()
    uninstrument()
    gate.set()
    answer = await task
    assert (404, b"hello", None) == (answer.status, answer.body, answer.error)
    assert 0 == recording.count(DURATION)
    assert [] == caplog.messages


def test_uninstrument_without_instrument():
    """Returns what it was given."""
    assert uninstrument() is None
    assert PLAIN is uninstrument(PLAIN)
    served, other = instrument(PLAIN), make_starlette()
    assert other is uninstrument(other)
    assert PLAIN is served.app
    assert instrumentation._running is not None


async def test_instrument_and_uninstrument_again_and_again(recording):
    """Every round counts, and nothing of an earlier round is left."""
    app = make_starlette()
    rounds = []
    for _ in range(20):
        await ask(instrument(app), "/x/1")
        rounds.append(weakref.ref(instrumentation._running))
        uninstrument(app)
    assert 20 == recording.count(DURATION)
    gc.collect()
    assert [None] * 20 == [running() for running in rounds]


def test_a_wrapper_can_be_copied():
    """As reloaders and test clients do with applications."""
    served = instrument(PLAIN)
    assert PLAIN is copy.copy(served).app


@pytest.mark.parametrize(("owner", "name"), CLASSES)
def test_patched_methods_still_look_like_coroutine_functions(owner, name):
    """To asyncio always, to inspect from Python 3.12 on, where a function can be marked."""
    before = getattr(owner, name)
    assert asyncio.iscoroutinefunction(before)
    instrument(make_fastapi())
    patched = getattr(owner, name)
    assert before is not patched
    assert asyncio.iscoroutinefunction(patched)
    assert (sys.version_info >= (3, 12)) == inspect.iscoroutinefunction(patched)
    assert before.__name__ == patched.__name__
    assert inspect.signature(before) == inspect.signature(patched)


@pytest.mark.parametrize("missing", ["Mount", "Host", "Route"])
async def test_routing_that_we_do_not_know_is_unresolved(missing, monkeypatch, recording, caplog):
    """A later version may lack what we patch: requests are measured, and the log says so."""
    monkeypatch.setattr("perfsdk.guard.reraise", False)
    app = make_starlette()
    monkeypatch.delattr(starlette.routing, missing)
    assert app is instrument(app)
    assert 200 == (await ask(app, "/x/1")).status
    assert 404 == (await ask(app, "/nowhere")).status
    assert 2 == recording.count(DURATION)
    assert set() == _routes(recording) - {"/x/{y}", "<unresolved>", "<unmatched>"}
    assert "frameworks.starlette.patch_routing failed" in caplog.messages[0]
    assert recording.value("perfsdk_internal_errors_total") > 0


@pytest.mark.parametrize("missing", ["build_middleware_stack", "router"])
async def test_a_framework_that_we_do_not_know_is_left_alone(missing, monkeypatch, caplog):
    """Where there is no place for us, the application stays as it was."""
    monkeypatch.setattr("perfsdk.guard.reraise", False)
    app = make_starlette()
    await ask(app, "/x/1")
    if missing == "router":
        monkeypatch.delattr(app, missing)
    else:
        monkeypatch.delattr(Starlette, missing)
    before = dict(vars(app))
    assert app is instrument(app)
    assert before == vars(app)
    assert ["frameworks.starlette failed" in message for message in caplog.messages] == [True]


def _routes(recording):
    return {series["http_route"] for series in recording.series(DURATION)}


@pytest.mark.parametrize("reason", ["win32", "free-threaded"])
def test_where_nothing_can_be_measured_nothing_is_changed(reason, monkeypatch, caplog):
    """Windows and builds without a GIL: said once, the application runs."""
    if reason == "win32":
        monkeypatch.setattr(sys, "platform", "win32")
    else:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert PLAIN is instrument(PLAIN)
    assert PLAIN is instrument(PLAIN)
    assert instrumentation._running is None
    assert 1 == len(caplog.messages)


def test_a_server_sees_an_asgi_3_application():
    """uvicorn asks whether `__call__` is a coroutine function."""
    served = instrument(PLAIN)
    assert asyncio.iscoroutinefunction(served.__call__)
    assert ["scope", "receive", "send"] == list(inspect.signature(served).parameters)


def test_everything_works_in_a_process_that_optimizes(perfsdk_dir):
    """Under `python -OO`, without docstrings and assertions."""
    script = """
import asyncio, perfsdk
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def send(message): ...
asyncio.run(perfsdk.instrument(app)({"type": "http", "method": "GET"}, None, send))
"""
    subprocess.run([sys.executable, "-OO", "-c", script], check=True)
    with Recording(perfsdk_dir) as recording:
        assert 1 == recording.count(DURATION, http_request_method="GET")


def test_scopes_are_left_as_they_were():
    """Nothing of ours stays in the server's scope."""
    scope = http_scope()
    before = dict(scope)
    asyncio.run(ask(instrument(PLAIN), scope=scope))
    assert before == scope
