"""The composition root: settings, segment, recorder, frameworks, integrations and the sampler."""

import os
import sys
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from perfsdk import guard, recorder
from perfsdk.applications import Applications, check_application, interface_of, outside_of
from perfsdk.catalog import WORKERS, Metric
from perfsdk.exemplars import Spans
from perfsdk.frameworks.asgi import Around
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.integrations import INTEGRATIONS
from perfsdk.libraries import Libraries
from perfsdk.otel_variables import UnavailableError, is_wanted
from perfsdk.query_table import QueryTable
from perfsdk.recorder import Recorder
from perfsdk.runtime.process import Process
from perfsdk.runtime.sampler import Sampler
from perfsdk.runtime.worker import WorkerNumber
from perfsdk.settings import Settings, SettingsError, load_settings
from perfsdk.store.directory import DirectoryError, check_directory, segment_directory
from perfsdk.store.writer import Writer
from perfsdk.tracing import Tracing, span_reader
from perfsdk.version import __version__
from perfsdk.wrapping.known_statements import statements_of

if TYPE_CHECKING:
    from perfsdk.embedded import MetricsPage

A = TypeVar("A")


def instrument(
    app: A,
    *,
    enabled: bool | None = None,
    directory: str | None = None,
    directory_mode: int | None = None,
    service: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    segment_size_bytes: int | None = None,
    sample_interval_seconds: float | None = None,
    disabled_integrations: tuple[str, ...] | None = None,
    exclude: tuple[str, ...] | None = None,
    route_labels: Mapping[str, tuple[str, ...]] | None = None,
    latency_objective: float | Mapping[str, float] | None = None,
    slow_query_seconds: float | None = None,
    cache_names: Mapping[str, str] | None = None,
    trust_queue_time: bool | None = None,
    tracing: bool | None = None,
    metrics_path: str | None = None,
    queries_path: str | None = None,
    mirror_registry: bool | None = None,
) -> A:
    """Measure `app` and the libraries that it uses, and return what to serve.

    An application of FastAPI, Starlette, Litestar, Quart, Flask, Django or aiohttp.web is
    changed in place and returned; any other callable of ASGI or WSGI is returned inside another
    one. Calling it again for the same application changes nothing; the settings of the first
    call hold for the process. For their meaning see `perfsdk.settings.Settings`; what is not
    given is read from the environment.

    Raises:
        TypeError: `app` is nothing that can be measured.
        SettingsError: a setting is wrong, or differs from those in force.
    """
    keywords = {
        "enabled": enabled,
        "directory": directory,
        "directory_mode": directory_mode,
        "service": service,
        "resource_attributes": resource_attributes,
        "segment_size_bytes": segment_size_bytes,
        "sample_interval_seconds": sample_interval_seconds,
        "disabled_integrations": disabled_integrations,
        "exclude": exclude,
        "route_labels": route_labels,
        "latency_objective": latency_objective,
        "slow_query_seconds": slow_query_seconds,
        "cache_names": cache_names,
        "trust_queue_time": trust_queue_time,
        "tracing": tracing,
        "metrics_path": metrics_path,
        "queries_path": queries_path,
        "mirror_registry": mirror_registry,
    }
    check_application(app)
    settings = load_settings(os.environ, keywords)
    if not settings.enabled or not _can_measure():
        return app
    running = _start(settings, given=any(value is not None for value in keywords.values()))
    running.say_what_does_nothing(app)
    return cast("A", running.applications.instrument(app))


def uninstrument(app: Any = None) -> Any:
    """Stop measuring `app`, or everything when none is given, and return the original.

    With the last application, libraries are restored to the identical objects, the sampler
    ends and the segment is closed; its totals stay on the exporter's page.
    """
    global _running
    running = _running
    if running is None:
        return app
    original = running.applications.uninstrument(app)
    if not running.applications:
        running.stop()
        _running = None
    return original


class Instrumentation:
    """Everything that runs in one process for all its applications."""

    def __init__(self, settings: Settings, directory: Path, tracing: Tracing | None) -> None:
        self.settings = settings
        self.directory = directory
        self.tracing = tracing
        self.page = _page(settings, directory)
        self.writer = Writer(
            directory,
            size_bytes=settings.segment_size_bytes,
            directory_mode=settings.directory_mode,
            on_open=self._opened,
            on_degraded=_degraded,
        )
        self.recorder = Recorder(self.writer)
        self.recorder.slow_query_seconds = settings.slow_query_seconds
        self.recorder.cache_names = settings.cache_names
        self.http_server = HttpServer(self.recorder, settings)
        if self.page is not None:
            self.http_server.wsgi_page = self.page.answer_wsgi
        self.query_table = QueryTable(self.recorder)
        self.query_table.source = partial(statements_of, self.recorder)
        self.http_server.findings.tell = self.query_table.found
        self.applications = Applications(self.http_server, outside_of(self._layers()))
        self.sampler = Sampler(settings.sample_interval_seconds)
        self.number = WorkerNumber(directory, file_mode=settings.directory_mode & 0o660)
        self.process = Process(self.recorder, self.number)
        self.libraries = Libraries(self.recorder)

    def start(self) -> None:
        """Patch what is imported, and what will be; nothing is written before the first record."""
        guard.count_error = self.recorder.count_error
        recorder.running = self.recorder
        self.writer.facts(
            {
                "service": self.settings.service,
                "sdk_version": __version__,
                "python_version": ".".join(map(str, sys.version_info[:3])),
            }
        )
        self.sampler.register(self.writer.maintain)
        self.sampler.register(self.process.sample)
        if self.settings.mirror_registry:
            from perfsdk.runtime.registry import RegistryMirror

            self.mirror = RegistryMirror(self.recorder, worker=self.number.take)
            self.sampler.register(self.mirror.sample)
        self.sampler.register(self.recorder.sample)
        from wrapt import register_post_import_hook

        self.libraries.start(self.settings.disabled_integrations)
        register_post_import_hook(_span_finder(weakref.ref(self.recorder.spans)), _SPANS)

    def say_what_does_nothing(self, app: Any) -> None:
        """Say once in the log which settings do nothing for applications of this kind."""
        interface = interface_of(app)
        if interface != "ASGI" and self.settings.tracing:
            guard.log_once(
                f"tracing {interface}",
                "perfsdk: tracing=True makes no spans of requests to applications of %s; use "
                "OpenTelemetry's own instrumentation for this one",
                interface,
            )
        if interface == "aiohttp.web" and self.page is not None:
            guard.log_once(
                f"page {interface}",
                "perfsdk: applications of %s do not serve metrics_path or queries_path; run "
                "perfsdk-exporter beside this one",
                interface,
            )

    def _layers(self) -> list[Around]:
        """What belongs outside the measuring: spans, and outside them the page."""
        layers: list[Around] = []
        if self.tracing is not None:
            layers.append(self.tracing.around)
        if self.page is not None:
            layers.append(self.page.around)
        return layers

    def stop(self) -> None:
        """Undo everything that this process was changed by."""
        self.sampler.stop()
        self.applications.stop()
        if self.writer.segment is not None:
            self.recorder.sample()  # what statements have cost since the last time
        self.libraries.stop()
        recorder.running = None
        self.recorder.spans.current = None
        if self.tracing is not None:
            self.tracing.flush()
        self.writer.close()
        self.process.close()
        if self.page is not None:
            self.page.close()
        guard.reset()

    def _opened(self) -> None:
        """A segment was made, for the first time or after a fork: say who writes it."""
        try:
            self.recorder.gauge(WORKERS).set((), 1.0)
            self.libraries.write()
            self._write_target_info()
            self.sampler.start()
        except Exception:
            guard.failed("instrumentation.opened")

    def _write_target_info(self) -> None:
        attributes = {"service.name": self.settings.service, **self.settings.resource_attributes}
        labels = {_label_name(key): value for key, value in sorted(attributes.items())}
        target = Metric(
            name="target_info",
            kind="gauge",
            help="What the service says about itself.",
            labels=tuple(labels),
            merge="max",
        )
        self.recorder.gauge(target).set(tuple(labels.values()), 1.0)


_SPANS = "opentelemetry.trace"
_running: Instrumentation | None = None


def _start(settings: Settings, *, given: bool) -> Instrumentation:
    global _running
    if _running is not None:
        if given and settings != _running.settings:
            raise SettingsError(
                "perfsdk runs with other settings already; give all of them to the first "
                "instrument() of the process, or call uninstrument() before"
            )
        return _running
    known = sorted({name.partition(".")[0] for name in INTEGRATIONS})
    unknown = sorted(set(settings.disabled_integrations) - {*known, *INTEGRATIONS})
    if unknown:
        raise SettingsError(
            f"disabled_integrations: {', '.join(unknown)} is not one of {', '.join(known)}"
        )
    directory = segment_directory(settings.directory, settings.service)
    try:
        check_directory(directory)
    except DirectoryError as error:
        raise SettingsError(f"PERFSDK_DIR: {error}") from error
    running = Instrumentation(settings, directory, _tracing(settings))
    running.start()
    _running = running
    return running


def _span_finder(spans: "weakref.ref[Spans]") -> Callable[[Any], None]:
    """A hook for the import of OpenTelemetry, whoever does it: from then on there are spans."""

    def find_spans(_module: Any) -> None:
        found = spans()
        if found is not None:
            try:
                found.current = span_reader()
            except Exception:
                guard.failed("tracing.reader")

    return find_spans


def _tracing(settings: Settings) -> Tracing | None:
    """Spans around requests, None when they are not wanted, or cannot be had.

    Raises:
        SettingsError: they were asked for by the setting, and cannot be had.
    """
    if not is_wanted(settings.tracing, os.environ):
        return None
    try:
        return Tracing(settings.service, settings.resource_attributes, os.environ)
    except UnavailableError as error:
        if settings.tracing:
            raise SettingsError(f"tracing=True: {error}") from error
        guard.log_once("tracing", "perfsdk: requests do not become spans: %s", error)
    except Exception:
        guard.failed("tracing.start")
    return None


def _page(settings: Settings, directory: Path) -> "MetricsPage | None":
    """The pages that the applications serve.

    Raises:
        SettingsError: one is wanted, and what it takes is not installed; or both are one.
    """
    path, queries_path = settings.metrics_path, settings.queries_path
    if path is None and queries_path is None:
        return None
    wanted = f"metrics_path={path}" if path is not None else f"queries_path={queries_path}"
    if path == queries_path:
        raise SettingsError(f"{wanted}: it is queries_path too; give each page its own path")
    try:
        from perfsdk.embedded import MetricsPage
    except ImportError as error:
        raise SettingsError(
            f"{wanted}: {error.name} is not installed; "
            "pip install 'perfsdk[exporter]', or run the sidecar instead"
        ) from error
    return MetricsPage(directory, path, queries_path)


def _can_measure() -> bool:
    if sys.platform == "win32":
        guard.log_once("platform", "perfsdk: Windows has no flock; nothing is measured")
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        guard.log_once(
            "free-threaded", "perfsdk: Python without a GIL is not known; nothing is measured"
        )
        return False
    return True


def _degraded(reason: str) -> None:
    guard.log_once(
        f"degraded {reason}", "perfsdk: nothing can be written, so nothing is shown: %s", reason
    )


def _label_name(key: str) -> str:
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in key)
    return f"_{name}" if name[:1].isdigit() else name
