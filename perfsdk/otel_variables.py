"""What OpenTelemetry's standard variables ask for, told without importing it."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS_BY_PROTOCOL = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


class UnavailableError(Exception):
    """Requests cannot become spans; the message says what to do, in one line."""


def is_wanted(setting: bool | None, environment: Mapping[str, str]) -> bool:
    """Whether requests should become spans, by the setting and the variables."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if not exporter_names(environment):
        return False
    if setting is not None:
        return setting
    return _first(environment, _ENDPOINTS) != ""


def exporter_names(environment: Mapping[str, str]) -> list[str]:
    """The exporters of traces as the packages name them; empty when there shall be none."""
    names = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if names == "none":
        return []
    protocol = _first(environment, _PROTOCOLS) or "http/protobuf"
    otlp = _EXPORTERS_BY_PROTOCOL.get(protocol, protocol)
    return [otlp if name.strip() == "otlp" else name.strip() for name in names.split(",")]


def load_exporter(name: str) -> Callable[[], Any]:
    """What makes an exporter, which then reads its own variables.

    Raises:
        UnavailableError: no package has it, or it cannot be imported.
    """
    found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        wanted = f"opentelemetry-exporter-{name.replace('_', '-')}"
        if name == _EXPORTERS_BY_PROTOCOL["http/protobuf"]:
            wanted = "'perfsdk[tracing]'"
        raise UnavailableError(
            f"there is no exporter of traces named {name}; install it with: pip install {wanted}, "
            "or let OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL name one that is there"
        )
    try:
        make: Callable[[], Any] = found[0].load()
    except Exception as error:
        raise UnavailableError(f"the exporter of traces {name} fails: {error}") from error
    return make


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := environment.get(name, "").strip())), "")
