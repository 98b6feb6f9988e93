"""The libraries that are called, and those that measure their calls, each as its users do."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from tests.bench.evidence import in_segments, on_prometheus_page
from tests.bench.figures import BARE, OURS

OUTSIDE = f"{OURS}, outside a request"
BY_HAND = "hand-written, prometheus_client"
TRACES = "opentelemetry, traces"


class Peer(NamedTuple):
    """`install()` is called before the library is used and returns what goes around the
    application; `recorded()` tells how many calls were counted."""

    install: Callable[[], Callable[[Any], Any]]
    recorded: Callable[[], float] | None = None


def make_sqlalchemy():
    from sqlalchemy import create_engine, text

    connection = create_engine("sqlite://").connect()
    statement = text("select 1")
    return lambda: connection.execute(statement).scalar()


LIBRARIES = {"sqlalchemy": make_sqlalchemy}
"""Each makes a function without arguments: one call."""


def install_nothing():
    return lambda app: app


def install_perfsdk():
    from perfsdk import instrument

    return instrument


def install_perfsdk_outside():
    from perfsdk import instrument

    async def other_app(_scope, _receive, _send):
        pass

    instrument(other_app)
    return lambda app: app


def install_by_hand_sqlalchemy():
    """Two event listeners and a histogram by operation."""
    from prometheus_client import Histogram
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    durations = Histogram("hand_call_duration_seconds", "Durations.", ["operation", "system"])

    @event.listens_for(Engine, "before_cursor_execute")
    def before(conn, cursor, statement, parameters, context, executemany):
        context.started = perf_counter()

    @event.listens_for(Engine, "after_cursor_execute")
    def after(conn, cursor, statement, parameters, context, executemany):
        duration = perf_counter() - context.started
        durations.labels(statement.partition(" ")[0], "sqlite").observe(duration)

    return lambda app: app


class Spans:
    """OpenTelemetry's traces, every request and every call sampled, exported to nowhere."""

    def __init__(self, instrumentor: Callable[[Any], None]) -> None:
        self._instrumentor = instrumentor
        self._provider: Any = None
        self._calls = 0

    def install(self):
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._provider = TracerProvider(sampler=ALWAYS_ON)
        # The default queue of 2,048 spans is full at once, and what is dropped costs less.
        self._provider.add_span_processor(BatchSpanProcessor(self, max_queue_size=1 << 20))
        self._result = SpanExportResult.SUCCESS
        self._instrumentor(self._provider)
        tracer = self._provider.get_tracer("bench")

        def around(app):
            async def traced(scope, receive, send):
                with tracer.start_as_current_span("request"):
                    await app(scope, receive, send)

            return traced

        return around

    def recorded(self):
        self._provider.force_flush()
        return self._calls

    def export(self, spans):
        self._calls += sum(1 for span in spans if span.parent is not None)
        return self._result

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=0):
        return True


def trace_sqlalchemy(provider):
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    # Where it does not know the version of SQLAlchemy, it would log a line and trace nothing.
    SQLAlchemyInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True)


def with_ours(metric):
    """The bare library, and ours in a request and outside, which counts in that metric."""

    def recorded():
        return in_segments(metric)

    return {
        BARE: Peer(install_nothing),
        OURS: Peer(install_perfsdk, recorded),
        OUTSIDE: Peer(install_perfsdk_outside, recorded),
    }


def by_hand(install):
    """What somebody writes who has prometheus_client."""
    return Peer(install, lambda: on_prometheus_page("hand_call_duration_seconds_count"))


def traces(instrumentor):
    """OpenTelemetry, by what instruments the library."""
    spans = Spans(instrumentor)
    return Peer(spans.install, spans.recorded)


PEERS = {
    "sqlalchemy": {
        **with_ours("db_client_operation_duration_seconds"),
        BY_HAND: by_hand(install_by_hand_sqlalchemy),
        TRACES: traces(trace_sqlalchemy),
    },
}
"""Peers by name, by the library that is called."""
