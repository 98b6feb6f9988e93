"""The composition root: settings, segment, recorder, frameworks, integrations and the sampler."""

import inspect
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from perfsdk import guard
from perfsdk.catalog import WORKERS, Metric
from perfsdk.exemplars import Spans
from perfsdk.frameworks import asgi, fastapi, starlette
from perfsdk.frameworks.http_server import HttpServer
from perfsdk.integrations import INTEGRATIONS
from perfsdk.libraries import Libraries
from perfsdk.otel_variables import UnavailableError, is_wanted
from perfsdk.recorder import Recorder
from perfsdk.runtime.process import Process
from perfsdk.runtime.sampler import Sampler
from perfsdk.runtime.worker import WorkerNumber
from perfsdk.settings import Settings, SettingsError, load_settings
from perfsdk.store.directory import DirectoryError, check_directory, segment_directory
from perfsdk.store.writer import Writer
from perfsdk.tracing import Tracing, span_reader
from perfsdk.version import __version__
from perfsdk.wrapping.patches import Patches

if TYPE_CHECKING:
    from perfsdk.embedded import MetricsPage

A = TypeVar("A", bound=Callable[..., Any])

KNOWN = "a FastAPI or Starlette application or an ASGI callable (scope, receive, send)"


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
    tracing: bool | None = None,
    metrics_path: str | None = None,
    mirror_registry: bool | None = None,
) -> A:
    """Measure `app` and the libraries that it uses, and return what to serve.

    A FastAPI or Starlette application is changed in place and returned; any other ASGI
    callable is returned inside another one. Calling it again for the same application changes
    nothing; the settings of the first call hold for the process. For their meaning see
    `perfsdk.settings.Settings`; what is not given is read from the environment.

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
        "tracing": tracing,
        "metrics_path": metrics_path,
        "mirror_registry": mirror_registry,
    }
    _check_application(app)
    settings = load_settings(os.environ, keywords)
    if not settings.enabled or not _can_measure():
        return app
    running = _start(settings, given=any(value is not None for value in keywords.values()))
    return cast("A", running.instrument(app))


def uninstrument(app: Any = None) -> Any:
    """Stop measuring `app`, or everything when none is given, and return the original.

    With the last application, libraries are restored to the identical objects, the sampler
    ends and the segment is closed; its totals stay on the exporter's page.
    """
    global _running
    running = _running
    if running is None:
        return app
    original = running.uninstrument(app)
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
        self.applications: weakref.WeakSet[Any] = weakref.WeakSet()
        self.writer = Writer(
            directory,
            size_bytes=settings.segment_size_bytes,
            directory_mode=settings.directory_mode,
            on_open=self._opened,
            on_degraded=_degraded,
        )
        self.recorder = Recorder(self.writer)
        self.http_server = HttpServer(self.recorder)
        self.sampler = Sampler(settings.sample_interval_seconds)
        self.number = WorkerNumber(directory, file_mode=settings.directory_mode & 0o660)
        self.process = Process(self.recorder, self.number)
        self.libraries = Libraries(self.recorder)
        self._patches = Patches()

    def start(self) -> None:
        """Patch what is imported, and what will be; nothing is written before the first record."""
        guard.count_error = self.recorder.count_error
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

    def instrument(self, app: Any) -> Any:
        """Measure one application; what to serve."""
        if isinstance(app, asgi.Stopped):
            app = app.app
        if isinstance(app, asgi.Wrapper) or getattr(app, _PATCHES, None) is not None:
            return app
        if not starlette.is_application(app):
            wrapper = self._wrap(app)
            self.applications.add(wrapper)
            return wrapper
        patches = Patches()
        try:
            starlette.patch_routing(self._patches)
            fastapi.patch_routing(self._patches)
            starlette.instrument_application(app, self.http_server, patches, self.tracing)
            if self.page is not None:
                self.page.serve_from(app, patches)
        except Exception:  # a version that we do not know
            patches.undo()
            guard.failed("frameworks.starlette")
            return app
        setattr(app, _PATCHES, patches)
        self.applications.add(app)
        return app

    def _wrap(self, app: Any) -> asgi.Wrapper:
        find_route = asgi.plain_route(self.http_server)
        if self.tracing is None and self.page is None:
            return asgi.Wrapper(app, self.http_server, find_route)
        return asgi.TracedWrapper(app, self.http_server, find_route, self._around)

    def _around(self, app: Any) -> Any:
        """What belongs outside the measuring: spans, and outside them the page."""
        if self.tracing is not None:
            app = self.tracing.around(app)
        return app if self.page is None else self.page.around(app)

    def uninstrument(self, app: Any) -> Any:
        """Restore one application, or all; the original."""
        for known in list(self.applications):
            if app is not None and known is not app:
                continue
            self.applications.discard(known)
            if isinstance(known, asgi.Wrapper):
                known.stop()
                app = known.app if app is not None else None
            else:
                getattr(known, _PATCHES).undo()
                delattr(known, _PATCHES)
        return app

    def stop(self) -> None:
        """Undo everything that this process was changed by."""
        self.sampler.stop()
        self._patches.undo()
        self.libraries.stop()
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


_PATCHES = "_perfsdk_patches"
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
    unknown = sorted(set(settings.disabled_integrations) - set(INTEGRATIONS))
    if unknown:
        raise SettingsError(
            f"disabled_integrations: {', '.join(unknown)} is not one of {', '.join(INTEGRATIONS)}"
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
    """The page that the applications serve.

    Raises:
        SettingsError: it is wanted, and what it takes is not installed.
    """
    if settings.metrics_path is None:
        return None
    try:
        from perfsdk.embedded import MetricsPage
    except ImportError as error:
        raise SettingsError(
            f"metrics_path={settings.metrics_path}: {error.name} is not installed; "
            "pip install 'perfsdk[exporter]', or run the sidecar instead"
        ) from error
    return MetricsPage(directory, settings.metrics_path)


def _check_application(app: object) -> None:
    problem = f"instrument() cannot measure {str(app)[:60]!r} ({type(app).__name__}); give {KNOWN}"
    if not callable(app) or isinstance(app, type):
        raise TypeError(problem)
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return
    try:
        signature.bind({}, None, None)
    except TypeError as error:
        raise TypeError(problem) from error


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
