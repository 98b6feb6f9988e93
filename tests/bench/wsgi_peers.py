"""The libraries that are measured beside ours around Flask and Django, each as its users do.

A peer makes the application itself, because some want to be named in Django's settings.
"""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from tests.bench.evidence import in_segments, on_prometheus_page
from tests.bench.peers import meter_provider

FRAMEWORKS = ("flask", "django")


def make_flask():
    """One route that answers JSON, beside no other."""
    from flask import Flask, jsonify

    app = Flask("shop")

    @app.get("/items/<int:id>")
    def item(id):  # noqa: A002 - named by the template
        return jsonify(id=id, name="widget", price=9.99)

    return app


def make_django(middleware: Sequence[str] = (), apps: Sequence[str] = ()):
    """The same as a project without a file."""
    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.urls import path

    def item(request, id):  # noqa: A002 - named by the template
        return JsonResponse({"id": id, "name": "widget", "price": 9.99})

    urls = ModuleType("shop_urls")
    urls.urlpatterns = [path("items/<int:id>", item)]
    sys.modules["shop_urls"] = urls
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="shop_urls",
        MIDDLEWARE=list(middleware),
        INSTALLED_APPS=list(apps),
        SECRET_KEY="bench",
    )
    django.setup()
    return get_wsgi_application()


MAKERS = {"flask": make_flask, "django": make_django}


class Peer(NamedTuple):
    """One way to measure an application.

    `make(framework)` returns what to serve; `recorded()` tells how many requests were counted.
    """

    make: Callable[[str], Any]
    recorded: Callable[[], float] | None = None
    multiprocess: bool = False
    frameworks: tuple[str, ...] = FRAMEWORKS


def with_perfsdk(framework):
    from perfsdk import instrument

    return instrument(MAKERS[framework]())


def with_flask_exporter(_framework):
    from prometheus_flask_exporter import PrometheusMetrics

    app = make_flask()
    PrometheusMetrics(app, path=None)
    return app


def with_django_prometheus(_framework):
    ours = "django_prometheus.middleware.Prometheus{}Middleware"
    return make_django([ours.format("Before"), ours.format("After")], ["django_prometheus"])


def with_opentelemetry_flask(_framework):
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.trace import NoOpTracerProvider

    app = make_flask()
    FlaskInstrumentor.instrument_app(
        app, tracer_provider=NoOpTracerProvider(), meter_provider=meter_provider()
    )
    return app


def with_opentelemetry_django(_framework):
    from django.conf import settings
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.trace import NoOpTracerProvider

    app = make_django()
    DjangoInstrumentor().instrument(
        tracer_provider=NoOpTracerProvider(), meter_provider=meter_provider()
    )
    assert settings.MIDDLEWARE
    app.load_middleware()  # it was made before the settings were changed
    return app


_otel = "http_server_duration_milliseconds_count"

PEERS = {
    "bare": Peer(lambda framework: MAKERS[framework]()),
    "perfsdk": Peer(with_perfsdk, lambda: in_segments("http_server_request_duration_seconds")),
    "prometheus-flask-exporter": Peer(
        with_flask_exporter,
        lambda: on_prometheus_page("flask_http_request_duration_seconds_count"),
        frameworks=("flask",),
    ),
    "prometheus-flask-exporter multi-process": Peer(
        with_flask_exporter,
        lambda: on_prometheus_page("flask_http_request_duration_seconds_count"),
        multiprocess=True,
        frameworks=("flask",),
    ),
    "opentelemetry flask": Peer(
        with_opentelemetry_flask, lambda: on_prometheus_page(_otel), frameworks=("flask",)
    ),
    "django-prometheus": Peer(
        with_django_prometheus,
        lambda: on_prometheus_page("django_http_requests_total_by_method_total"),
        frameworks=("django",),
    ),
    "django-prometheus multi-process": Peer(
        with_django_prometheus,
        lambda: on_prometheus_page("django_http_requests_total_by_method_total"),
        multiprocess=True,
        frameworks=("django",),
    ),
    "opentelemetry django": Peer(
        with_opentelemetry_django, lambda: on_prometheus_page(_otel), frameworks=("django",)
    ),
}


def peers_of(framework):
    """The names of the peers that can measure a framework."""
    return [name for name, peer in PEERS.items() if framework in peer.frameworks]


def multiprocess_peers():
    """The names of those for which prometheus_client writes files."""
    return [name for name, peer in PEERS.items() if peer.multiprocess]
