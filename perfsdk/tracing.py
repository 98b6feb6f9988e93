"""The only importer of OpenTelemetry: reads its current span and puts spans around requests.

It is imported when the application has done so, or when tracing is wanted, and never here at
the top: an application without it pays nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from perfsdk import guard
from perfsdk.otel_variables import UnavailableError, exporter_names, load_exporter

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
FindTemplate = Callable[[Scope], str | None]

FLUSH_SECONDS = 5.0
"""How long the end of an application waits for the last spans to be sent."""

_ENTERED = "perfsdk.traced"
_FASTAPI = "fastapi.telemetry"
_MOST_LAYERS = 100
_ROUTED = ("http.response.start", "websocket.accept", "websocket.close")  # the router has chosen


def span_reader() -> Callable[[], "Span | None"]:
    """A function that gives the current span, or None, at a tenth of the cost of a span.

    `opentelemetry.trace.get_current_span` takes 0.2 to 0.5 us, because it asks for the class.
    """
    from opentelemetry import context, trace

    (key,) = trace.set_span_in_context(trace.INVALID_SPAN, context.Context())
    # The variable behind `get_current` is no public name, so it need not be there.
    variable = getattr(getattr(context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    get_current = variable.get if isinstance(variable, ContextVar) else context.get_current

    def current_span() -> "Span | None":
        return get_current().get(key)  # type: ignore[return-value] # under this key is a span

    return current_span


class Tracing:
    """Spans around the requests of all applications of a process."""

    def __init__(
        self, service: str, attributes: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        """Import what it takes; nothing is started before the first request.

        Raises:
            UnavailableError: a package is missing, or a variable asks for what there is not.
        """
        self._resource = {**attributes, "service.name": service}
        self._lock = Lock()
        try:
            from opentelemetry.instrumentation import asgi
            from opentelemetry.metrics import NoOpMeterProvider
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.trace import ProxyTracerProvider, SpanKind, get_tracer_provider
        except ImportError as error:
            raise UnavailableError(
                f"tracing needs packages of OpenTelemetry ({error}); "
                "install them with: pip install 'perfsdk[tracing]'"
            ) from error
        self._asgi = asgi
        self._no_meters = NoOpMeterProvider()
        self._server = SpanKind.SERVER
        self._current_span = span_reader()
        self._get_provider = get_tracer_provider
        self._proxy = ProxyTracerProvider
        self._make_provider = TracerProvider
        self._exporters: list[Callable[[], Any]] = []
        if isinstance(get_tracer_provider(), ProxyTracerProvider):
            self._exporters = [load_exporter(name) for name in exporter_names(environment)]

    def around(self, app: App, find_template: FindTemplate | None = None) -> App:
        """The application inside OpenTelemetry's middleware, unless there is one already.

        `find_template` tells the route of a request, by its scope, when the response starts.
        """
        return Traced(app, self, find_template)

    def middleware(self, app: App, inside: App) -> App:
        """OpenTelemetry's middleware around `inside`; `app` when that has one already.

        Call it when the application is ready to serve: until then it may set a provider of its
        own, or fork.
        """
        if _is_traced(app):
            return app
        from opentelemetry.util.http import get_excluded_urls

        return self._asgi.OpenTelemetryMiddleware(
            inside,
            excluded_urls=get_excluded_urls("ASGI"),
            default_span_details=_name_before_routing,
            tracer_provider=self._provider(),
            meter_provider=self._no_meters,  # requests are measured already
            exclude_spans=["receive", "send"],
        )

    def is_traced_outside(self, scope: Scope) -> bool:
        """Whether somebody around us made a span of this request, or decided to make none."""
        if _FASTAPI in scope:  # 0.165 and newer do it themselves, where there is a provider
            telemetry = scope[_FASTAPI]
            if telemetry is None or getattr(telemetry, "span", None) is not None:
                return True
        return self.server_span() is not None

    def server_span(self) -> "Span | None":
        """The current span if it is that of a request, and not over."""
        span: Any = self._current_span()
        is_one = getattr(span, "kind", None) is self._server and span.is_recording()
        return span if is_one else None

    def flush(self) -> None:
        """Send the spans that wait, for at most `FLUSH_SECONDS`: the SDK has no limit."""
        flush = getattr(self._get_provider(), "force_flush", None)
        if flush is not None:
            thread = Thread(target=flush, name="perfsdk-flush", daemon=True)
            thread.start()
            thread.join(FLUSH_SECONDS)

    def _provider(self) -> "TracerProvider":
        with self._lock:
            provider = self._get_provider()
            return self._set_provider() if isinstance(provider, self._proxy) else provider

    def _set_provider(self) -> "TracerProvider":
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import set_tracer_provider

        provider = self._make_provider(resource=Resource.create(self._resource))
        for make_exporter in self._exporters:
            provider.add_span_processor(BatchSpanProcessor(make_exporter()))
        set_tracer_provider(provider)  # so that the application's own spans are sent too
        return provider


class Traced:
    """An ASGI application inside OpenTelemetry's middleware, made when it is ready to serve.

    What fails in there before the application was called is reported, and it is called.
    """

    def __init__(self, app: App, tracing: Tracing, find_template: FindTemplate | None) -> None:
        self.app = app
        self._tracing = tracing
        self._find_template = find_template
        self._entry: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._following(send))
            return
        entry = self._entry or self._begin()
        if entry is self.app or self._tracing.is_traced_outside(scope):
            await self.app(scope, receive, send)
            return
        try:
            await entry(scope, receive, send)
        except Exception:
            if scope.get(_ENTERED) is self:
                raise
            guard.failed("tracing.middleware")
            await self.app(scope, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_ENTERED] = self
        span = self._tracing.server_span()
        if span is not None and self._find_template is not None:
            send = self._naming(span, self._find_template, scope, send)
        await self.app(scope, receive, send)

    def _naming(self, span: "Span", find_template: FindTemplate, scope: Scope, send: Send) -> Send:
        """The span has its name by the route before it ends, which is in the last `send`."""

        def send_and_name(message: Message) -> Awaitable[None]:
            try:
                if message["type"] in _ROUTED:
                    template = find_template(scope)
                    if template is not None:
                        span.update_name(f"{_name_before_routing(scope)[0]} {template}")
                        span.set_attribute("http.route", template)
            except Exception:
                guard.failed("tracing.name")
            return send(message)

        return send_and_name

    def _begin(self) -> App:
        try:
            self._entry = self._tracing.middleware(self.app, self._enter)
        except Exception:
            guard.failed("tracing.begin")
            self._entry = self.app
        return self._entry

    def _following(self, send: Send) -> Send:
        async def send_lifespan(message: Message) -> None:
            try:
                kind = message["type"]
                if kind == "lifespan.startup.complete" and self._entry is None:
                    self._begin()
                elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                    self._tracing.flush()  # before the message, at which servers may end at once
            except Exception:
                guard.failed("tracing.lifespan")
            await send(message)

        return send_lifespan


def _is_traced(app: Any) -> bool:
    """Whether OpenTelemetry's middleware, or Starlette's, is among the layers of the application.

    Layers are told by their attribute `app`, as FastAPI tells them.
    """
    for _ in range(_MOST_LAYERS):
        if app is None:
            return False
        if any(cls.__name__ == "OpenTelemetryMiddleware" for cls in type(app).__mro__):
            return True
        if getattr(app, "_is_instrumented_by_opentelemetry", False) is True:
            return True
        app = getattr(app, "app", None)
    return False


def _name_before_routing(scope: Scope) -> tuple[str, dict[str, Any]]:
    """A name from a small set: the path is an attribute, the template comes after routing."""
    from opentelemetry.util.http import sanitize_method

    if scope["type"] == "websocket":
        return "websocket", {}
    method = sanitize_method(scope["method"])
    return ("HTTP" if method == "_OTHER" else method), {}
