"""The libraries that are measured beside ours around an ASGI application, each as its users do.

Every peer runs in a process of its own: most change the frameworks for good. Nothing is imported
before a peer is wrapped, so that none pays for another.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from tests.bench.applications import FRAMEWORKS
from tests.bench.evidence import in_segments, on_prometheus_page


class Peer(NamedTuple):
    """One way to measure an application.

    `wrap(app)` returns what to serve; `recorded()` tells how many requests were counted.
    """

    wrap: Callable[[Any], Any]
    recorded: Callable[[], float] | None = None
    multiprocess: bool = False
    frameworks: tuple[str, ...] = FRAMEWORKS


def wrap_with_perfsdk(app):
    from perfsdk import instrument

    return instrument(app)


def wrap_by_hand(app):
    """What a careful user writes: one counter and one histogram by method, template and status."""
    from prometheus_client import Counter, Histogram

    labels = ("method", "path", "status")
    requests = Counter("hand_requests", "Requests.", labels)
    durations = Histogram("hand_request_duration_seconds", "Durations.", labels)

    class Measured:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            if scope["type"] != "http":
                await self.app(scope, receive, send)
                return
            status = 500
            started = perf_counter()

            async def send_and_see(message):
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await self.app(scope, receive, send_and_see)
            finally:
                route = scope.get("route")
                series = (scope["method"], route.path if route else "none", str(status))
                requests.labels(*series).inc()
                durations.labels(*series).observe(perf_counter() - started)

    app.add_middleware(Measured)
    return app


def wrap_with_instrumentator(app):
    from prometheus_fastapi_instrumentator import Instrumentator

    Instrumentator().instrument(app)
    return app


def wrap_with_starlette_exporter(app):
    from starlette_exporter import PrometheusMiddleware

    app.add_middleware(PrometheusMiddleware)
    return app


def wrap_with_opentelemetry_asgi(app):
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.trace import NoOpTracerProvider

    app.add_middleware(
        OpenTelemetryMiddleware,
        tracer_provider=NoOpTracerProvider(),
        meter_provider=meter_provider(),
    )
    return app


def wrap_with_opentelemetry_fastapi(app):
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.trace import NoOpTracerProvider

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=NoOpTracerProvider(), meter_provider=meter_provider()
    )
    return app


def meter_provider():
    """OpenTelemetry's metrics, shown on prometheus_client's page."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider

    return MeterProvider(metric_readers=[PrometheusMetricReader()])


def _on_page(sample_name):
    return lambda: on_prometheus_page(sample_name)


_by_hand = _on_page("hand_request_duration_seconds_count")
_by_opentelemetry = _on_page("http_server_duration_milliseconds_count")

HAND_WRITTEN = "hand-written, prometheus_client"
HAND_WRITTEN_MULTIPROCESS = "hand-written, prometheus_client multi-process"

PEERS = {
    "bare": Peer(lambda app: app),
    "perfsdk": Peer(wrap_with_perfsdk, lambda: in_segments("http_server_request_duration_seconds")),
    HAND_WRITTEN: Peer(wrap_by_hand, _by_hand),
    HAND_WRITTEN_MULTIPROCESS: Peer(wrap_by_hand, _by_hand, multiprocess=True),
    "prometheus-fastapi-instrumentator": Peer(
        wrap_with_instrumentator, _on_page("http_request_duration_seconds_count")
    ),
    "starlette-exporter": Peer(wrap_with_starlette_exporter, _on_page("starlette_requests_total")),
    "opentelemetry asgi": Peer(wrap_with_opentelemetry_asgi, _by_opentelemetry),
    "opentelemetry fastapi": Peer(
        wrap_with_opentelemetry_fastapi, _by_opentelemetry, frameworks=("fastapi",)
    ),
}


def peers_of(framework):
    """The names of the peers that can measure a framework."""
    return [name for name, peer in PEERS.items() if framework in peer.frameworks]


def multiprocess_peers():
    """The names of those for which prometheus_client writes files."""
    return [name for name, peer in PEERS.items() if peer.multiprocess]
