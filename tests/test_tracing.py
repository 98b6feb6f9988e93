"""Requests become spans once, their traces exemplars, and neither harms the application."""

import asyncio
import gzip
import os
import sqlite3
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from opentelemetry.util._once import Once
from starlette.applications import Starlette
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarlettesMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from perfsdk import SettingsError, instrument, uninstrument
from perfsdk.otel_variables import UnavailableError, exporter_names, is_wanted, load_exporter
from perfsdk.store.exemplars import read_exemplar
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.tracing import span_reader
from tests.frameworks.driving import answering, ask, http_scope, part, start
from tests.servers import HOST, free_port, http_get, start_process, wait_until
from tests.store.processes import in_child, run

HTTP = "http_server_request_duration_seconds"
DB = "db_client_operation_duration_seconds"
SERVER = 2
"""The kind of a request's span on the wire."""
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OK = answering(start(), part(b"ok"))


class Receiver:
    """A collector of traces: keeps what is posted to it as OTLP over HTTP."""

    def __init__(self):
        self.requests = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    receiver.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}"

    def spans(self):
        """Every span received so far."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def names(self):
        """The names of the spans of requests, sorted."""
        return sorted(span.name for span in self.spans() if span.kind == SERVER)

    def services(self):
        """The names of the services that sent something."""
        return {
            attribute.value.string_value
            for request in list(self.requests)
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


@pytest.fixture
def receiver():
    """A collector that listens on loopback."""
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def no_provider(monkeypatch):
    """OpenTelemetry as it is before anybody set a provider, and again after the test."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    yield
    uninstrument()
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


@pytest.fixture
def finished(no_provider):
    """`finished()`: names of the finished spans of requests that the user's provider has seen."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    def names():
        return [s.name for s in exporter.get_finished_spans() if s.kind is SpanKind.SERVER]

    return names


@pytest.fixture
def measured():
    """`measured(app, ...)` instruments for this test."""
    yield instrument
    uninstrument()


@pytest.fixture
def kept(perfsdk_dir):
    """`kept(name)`: (trace id, span id, value) of every exemplar of a metric, by value."""

    def read(name):
        found = []
        for path in find_segments(perfsdk_dir):
            reader = SegmentReader(path)
            reader.refresh()
            found += [
                read_exemplar(reader.values, cell)
                for series in reader.series
                if series.metric.name == name
                for cell in series.exemplars.values()
            ]
            reader.close()
        return sorted((exemplar[:3] for exemplar in found), key=lambda e: e[2])

    return read


def ids_of(span):
    """Trace id and span id of a span as an exemplar has them."""
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


async def item(request):
    """Slow for one item."""
    if request.path_params["item"] == "slow":
        await asyncio.sleep(0.1)
    return PlainTextResponse(",".join(ids_of(trace.get_current_span())))


async def chat(socket):
    """Says nothing."""
    await socket.accept()
    await socket.close()


def shop():
    """An application with templates in its routes."""
    return Starlette(routes=[Route("/items/{item}", item), WebSocketRoute("/chat/{room}", chat)])


def fastapi_shop(**options):
    """The same in a framework that makes spans itself when there is a provider."""
    app = FastAPI(**options)
    app.add_api_route("/items/{item}", lambda item: item)
    return app


SHOP = """
import os
from fastapi import FastAPI
from perfsdk import instrument

app = FastAPI()

@app.get("/items/{item}")
async def item(item: str):
    return os.getpid()

instrument(app)
"""


@contextmanager
def served(tmp_path, server, env):
    """The shop under a server, at the URL; it is told to stop, and waited for, at the end."""
    (tmp_path / "traced_shop.py").write_text(SHOP)
    port = free_port()
    url = f"http://{HOST}:{port}"
    options = {
        "uvicorn": ["--host", HOST, "--port", str(port)],
        "gunicorn": [
            *["--preload", "--bind", f"{HOST}:{port}", "--workers", "2"],
            *["-k", "uvicorn_worker.UvicornWorker"],
        ],
    }[server]
    args = [sys.executable, "-m", server, "traced_shop:app", *options]
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), **env}
    log = tmp_path / "server.log"
    with start_process(args, ready=lambda: http_get(f"{url}/docs"), log=log, env=env):
        yield url


def test_a_server_sends_the_spans_of_its_requests(tmp_path, receiver, kept):
    """A configured endpoint is enough: the last span is sent before the server ends."""
    env = {ENDPOINT: receiver.url, "OTEL_SERVICE_NAME": "shop", "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with served(tmp_path, "uvicorn", env) as url:
        for _ in range(5):
            http_get(f"{url}/items/7")
        exemplars = kept(HTTP)
    assert {"GET /docs": 1, "GET /items/{item}": 5} == Counter(receiver.names())
    assert {"shop"} == receiver.services()
    ids = {(s.trace_id.hex(), s.span_id.hex()) for s in receiver.spans() if s.kind == SERVER}
    assert exemplars
    assert {e[:2] for e in exemplars} <= ids
    (route,) = {
        attribute.value.string_value
        for span in receiver.spans()
        for attribute in span.attributes
        if attribute.key == "http.route" and span.name.endswith("{item}")
    }
    assert "/items/{item}" == route


def test_workers_forked_from_a_loaded_application_send_theirs(tmp_path, receiver):
    """Under `gunicorn --preload` every worker sends what it served."""
    env = {ENDPOINT: receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with served(tmp_path, "gunicorn", env) as url:
        pids = [http_get(f"{url}/items/7") for _ in range(20)]
        assert pids
        wait_until(lambda: receiver.names().count("GET /items/{item}") == 20)


async def test_a_forked_child_sends_its_own_spans(no_provider, receiver, monkeypatch, measured):
    """Also when the parent has served before: what it had not sent yet is not sent twice."""
    monkeypatch.setenv(ENDPOINT, receiver.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    app = measured(OK, tracing=True)
    await ask(app, "/parent")
    assert [] == receiver.spans()

    def child():
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(ask(app, "/child")))
        thread.start()
        thread.join()
        trace.get_tracer_provider().force_flush()

    in_child(child)
    assert 1 == len(receiver.spans())
    trace.get_tracer_provider().force_flush()
    assert 2 == len(receiver.spans())


async def test_a_slow_request_can_be_looked_up(finished, measured, kept):
    """The exemplar of a slow request has the trace of that request, and its server span."""
    app = measured(shop(), tracing=True)
    spans = [tuple((await ask(app, f"/items/{i}")).body.decode().split(",")) for i in "12"]
    slow_span = tuple((await ask(app, "/items/slow")).body.decode().split(","))
    fast, slow = kept(HTTP)
    assert slow_span == slow[:2]
    assert slow[2] >= 0.1
    assert fast[:2] in spans
    assert ["GET /items/{item}"] * 3 == finished()


async def test_the_users_own_spans_give_exemplars(measured, kept):
    """Without tracing of ours: whoever started the span that is current around us."""
    app = measured(OK)
    with TracerProvider().get_tracer("own").start_as_current_span("own") as span:
        await ask(app)
    assert [ids_of(span)] == [e[:2] for e in kept(HTTP)]


async def test_spans_of_the_users_middleware_inside_give_exemplars(measured, kept):
    """A span that began inside ours is the current one where the response is sent."""
    spans = []

    async def traced(scope, receive, send):
        with TracerProvider().get_tracer("own").start_as_current_span("own") as span:
            spans.append(span)
            await OK(scope, receive, send)

    await ask(measured(traced))
    assert [ids_of(spans[0])] == [e[:2] for e in kept(HTTP)]


async def test_the_span_of_the_request_counts_not_one_inside(measured, kept):
    """What is current where the last byte is sent may be a small part of the request."""
    tracer = TracerProvider().get_tracer("own")

    async def sending(scope, receive, send):
        with tracer.start_as_current_span("sending"):
            await OK(scope, receive, send)

    app = measured(sending)
    with tracer.start_as_current_span("request") as span:
        await ask(app)
    assert [ids_of(span)] == [e[:2] for e in kept(HTTP)]


async def test_spans_that_are_not_sampled_leave_none(measured, kept):
    """Nor does a request without any."""
    app = measured(OK)
    await ask(app)
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("own")
    with tracer.start_as_current_span("own"):
        await ask(app)
    assert [] == kept(HTTP)


async def test_database_operations_have_the_current_span(measured, kept):
    """The span around the call, not that of the request."""
    tracer = TracerProvider().get_tracer("own")
    spans = []

    async def asking(scope, receive, send):
        with tracer.start_as_current_span("query") as span:
            spans.append(span)
            connection = sqlite3.connect(":memory:")
            connection.execute("SELECT 1").fetchall()
            connection.close()
        await OK(scope, receive, send)

    app = measured(asking)
    with tracer.start_as_current_span("request"):
        await ask(app)
    assert {ids_of(spans[0])} == {e[:2] for e in kept(DB)}


def layered(app):
    """The application with OpenTelemetry's middleware added by the user."""
    app.add_middleware(OpenTelemetryMiddleware)
    return app


def with_starlettes(app):
    """The application with Starlette's own middleware added by the user."""
    app.add_middleware(StarlettesMiddleware)
    return app


@pytest.mark.parametrize(
    "make",
    [
        lambda: instrument(instrument(shop(), tracing=True)),
        lambda: instrument(layered(shop()), tracing=True),
        lambda: layered(instrument(shop(), tracing=True)),
        lambda: instrument(with_starlettes(shop()), tracing=True),
        lambda: OpenTelemetryMiddleware(instrument(shop(), tracing=True)),
        lambda: instrument(OpenTelemetryMiddleware(shop()), tracing=True),
        lambda: instrument(StarlettesMiddleware(OK), tracing=True),
        lambda: instrument(fastapi_shop(), tracing=True),
        lambda: instrument(fastapi_shop(telemetry={"tracing": False}), tracing=True),
        lambda: instrument(layered(fastapi_shop()), tracing=True),
    ],
    ids=[
        "ours twice",
        "middleware added before",
        "middleware added after",
        "middleware of Starlette",
        "middleware around",
        "middleware within",
        "middleware within a plain application",
        "FastAPI itself",
        "FastAPI, but not itself",
        "FastAPI with middleware",
    ],
)
async def test_no_request_becomes_two_spans(finished, make, kept):
    """Whoever else makes spans of requests, and in whatever order it was set up."""
    app = make()
    assert 200 == (await ask(app, "/items/7")).status
    assert 1 == len(finished())
    assert 1 == len(kept(HTTP))


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_instrumentor_of_fastapi_is_no_second_span(finished, measured, is_first):
    """Nor does the application fail, before or after ours."""
    app = fastapi_shop(telemetry={"tracing": False})
    try:
        if is_first:
            FastAPIInstrumentor.instrument_app(app)
        measured(app, tracing=True)
        if not is_first:
            FastAPIInstrumentor.instrument_app(app)
        assert 200 == (await ask(app, "/items/7")).status
        assert ["GET /items/{item}"] == finished()
    finally:
        uninstrument()
        FastAPIInstrumentor.uninstrument_app(app)


async def test_the_instrumentor_of_fastapi_works_after_ours(finished, measured, kept):
    """It goes by the class of the outermost middleware; ours is inside, and taken out again."""
    app = fastapi_shop(telemetry={"tracing": False})
    try:
        measured(app)
        FastAPIInstrumentor.instrument_app(app)
        assert 200 == (await ask(app, "/items/7")).status
        assert "GET /items/{item}" in finished()
        assert 1 == len(kept(HTTP))
        uninstrument(app)
        assert 200 == (await ask(app, "/items/7")).status
        assert 1 == len(kept(HTTP))
    finally:
        uninstrument()
        FastAPIInstrumentor.uninstrument_app(app)


async def test_what_fastapi_leaves_out_is_left_out(finished, measured):
    """The application's own choice of requests holds with tracing of ours."""
    app = measured(fastapi_shop(telemetry={"exclude": lambda _: True}), tracing=True)
    assert 200 == (await ask(app, "/items/7")).status
    assert [] == finished()


async def test_a_mounted_application_is_part_of_the_request(finished, measured):
    """Both are instrumented: there is one span, with the whole template."""
    app = measured(Starlette(), tracing=True)
    app.mount("/sub", measured(shop()))
    await ask(app, "/sub/items/7")
    assert ["GET /sub/items/{item}"] == finished()


async def test_what_has_no_template_is_named_by_its_method(finished, measured):
    """A path in a name would make as many names as there are clients who guess."""
    app = measured(shop(), tracing=True)
    await ask(app, "/nowhere/at/all")
    await ask(app, "/nowhere", "BREW")
    assert ["GET", "HTTP"] == finished()


async def test_plain_applications_are_traced_too(finished, measured):
    """What `instrument` returns for an ASGI callable has the span around it."""
    app = measured(OK, tracing=True)
    await ask(app, "/anything")
    assert ["GET"] == finished()
    assert uninstrument(app) is OK
    await ask(app, "/anything")
    assert ["GET"] == finished()


async def test_uninstrument_takes_the_spans_off_again(finished):
    """Also from an application that serves already."""
    app = instrument(shop(), tracing=True)
    await ask(app, "/items/7")
    assert ["GET /items/{item}"] == finished()
    uninstrument(app)
    await ask(app, "/items/7")
    assert ["GET /items/{item}"] == finished()


async def test_an_application_that_serves_already_is_traced(finished, measured):
    """Its stack was built before."""
    app = shop()
    await ask(app, "/items/7")
    measured(app, tracing=True)
    await ask(app, "/items/7")
    assert ["GET /items/{item}"] == finished()


async def test_a_websocket_is_one_span(finished, measured):
    """The whole connection, without one for each message."""
    app = measured(shop(), tracing=True)
    scope = {**http_scope("/chat/1"), "type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    await app(scope, receive, send)
    assert ["websocket.accept", "websocket.close"] == sent
    assert ["websocket /chat/{room}"] == finished()


async def test_a_provider_set_after_instrument_is_used(no_provider, measured):
    """Up to the first request the application may set up its own."""
    exporter = InMemorySpanExporter()
    app = measured(shop(), tracing=True)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    await ask(app, "/items/7")
    assert provider is trace.get_tracer_provider()
    assert ["GET /items/{item}"] == [span.name for span in exporter.get_finished_spans()]


async def test_the_resource_says_what_target_info_says(
    no_provider, receiver, monkeypatch, measured
):
    """Traces and metrics of a service can be joined; the application's own spans go along."""
    monkeypatch.setenv(ENDPOINT, receiver.url)
    app = measured(OK, service="books", resource_attributes={"region": "north"})
    await ask(app)
    trace.get_tracer("own").start_span("own").end()
    uninstrument()  # which sends what waits
    assert {"", "own"} < {"", *(span.name for span in receiver.spans())}
    assert ["GET"] == receiver.names()
    (resource,) = {str(r.resource) for q in receiver.requests for r in q.resource_spans}
    assert "books" in resource
    assert "north" in resource


@pytest.mark.parametrize(
    ("variables", "setting", "wanted"),
    [
        ({}, None, False),
        ({}, True, True),
        ({}, False, False),
        ({ENDPOINT: "http://collector:4318"}, None, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, None, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318"}, None, False),
        ({ENDPOINT: " "}, None, False),
        ({ENDPOINT: "http://collector:4318"}, False, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, None, False),
        ({"OTEL_SDK_DISABLED": "true"}, True, False),
        ({"OTEL_SDK_DISABLED": "false"}, True, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, True, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, None, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, None, False),
    ],
)
def test_the_standard_variables_are_respected(variables, setting, wanted):
    """They turn it on by an endpoint, and off whatever else is said."""
    assert wanted == is_wanted(setting, variables)


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            ["otlp_proto_http"],
        ),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
    ],
)
def test_exporters_are_chosen_by_the_variables(variables, names):
    """By protocol, that of traces before the general one."""
    assert names == exporter_names(variables)


def test_an_exporter_that_is_not_there_is_named():
    """With what to install."""
    with pytest.raises(UnavailableError, match="pip install opentelemetry-exporter-otlp-nonesuch"):
        load_exporter("otlp_nonesuch")


def test_missing_packages_are_named(no_provider, monkeypatch):
    """Asked for by the keyword, it fails with what to install, in one line."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation", None)
    with pytest.raises(SettingsError, match=r"pip install 'perfsdk\[tracing\]'") as error:
        instrument(shop(), tracing=True)
    assert "\n" not in str(error.value)


async def test_an_endpoint_without_the_packages_is_said_once(
    no_provider, monkeypatch, measured, caplog
):
    """The application serves on, measured."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation", None)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    app = measured(shop())
    measured(shop())
    assert 200 == (await ask(app, "/items/7")).status
    (record,) = caplog.records
    assert "pip install 'perfsdk[tracing]'" in record.getMessage()


@pytest.mark.usefixtures("swallow_errors")
async def test_a_set_up_that_fails_harms_nobody(no_provider, monkeypatch, measured, kept):
    """Here a variable has no sense; requests are served and measured without spans."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-5")
    app = measured(shop(), tracing=True)
    for _ in range(2):
        assert 200 == (await ask(app, "/items/7")).status
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    assert [] == kept(HTTP)


@pytest.mark.usefixtures("swallow_errors")
async def test_what_fails_before_the_application_is_called_harms_nobody(finished, measured):
    """A scope that OpenTelemetry cannot read is the application's business still, and once."""
    calls = []

    async def counting(scope, receive, send):
        calls.append(scope["path"])
        await OK(scope, receive, send)

    app = measured(counting, tracing=True)
    answer = await ask(app, "/odd", scope={**http_scope("/odd"), "server": 42})
    assert (200, ["/odd"]) == (answer.status, calls)


async def test_what_the_application_raises_is_raised_once(finished, measured):
    """The identical exception, and the application is not called again."""
    error, calls = ValueError("no"), []

    async def failing(scope, receive, send):
        calls.append(1)
        raise error

    answer = await ask(measured(failing, tracing=True))
    assert error is answer.error
    assert [1] == calls


def test_without_opentelemetry_nothing_of_it_is_imported():
    """An application that does not trace does not load it, and finds it when it does later."""
    run(
        """
import asyncio, sys
from perfsdk import instrument, instrumentation
from tests.frameworks.driving import answering, ask, part, start
app = instrument(answering(start(), part(b"ok")))
asyncio.run(ask(app))
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
spans = instrumentation._running.recorder.spans
assert spans.current is None
import opentelemetry.trace
assert spans.current is not None
assert spans.current() is None
instrumentation.uninstrument()
assert spans.current is None
"""
    )


def test_the_reader_agrees_with_opentelemetry(monkeypatch):
    """Also where the variable behind its context has another name than today."""
    from opentelemetry import context

    for name in ("_current_context", "_elsewhere"):
        read = span_reader()
        assert read() is None
        with TracerProvider().get_tracer("own").start_as_current_span("own") as span:
            assert span is read()
        monkeypatch.setattr(context, "_RUNTIME_CONTEXT", Renamed(context._RUNTIME_CONTEXT))
        assert name


class Renamed:
    """A context without the variable."""

    def __init__(self, real):
        self.attach, self.detach, self.get_current = real.attach, real.detach, real.get_current
