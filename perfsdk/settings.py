"""What a user may set: each field with its meaning, unit, default and environment variable."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote

MIN_SEGMENT_SIZE_BYTES = 1 << 20
MAX_SEGMENT_SIZE_BYTES = 256 << 20
"""The largest file that the exporter reads."""

_MAX_SHOWN_CHARACTERS = 200
_METRICS_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class SettingsError(ValueError):
    """A setting is wrong; the message says in one line what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force. A keyword of `instrument` wins over the environment."""

    enabled: bool = field(default=True, metadata={"env": "PERFSDK_ENABLED"})
    """`0`, `false`, `no` or `off` turns everything off: `instrument` then changes nothing."""

    directory: str | None = field(default=None, metadata={"env": "PERFSDK_DIR"})
    """Where segments are written; default `/dev/shm/perfsdk-<uid>/<service>`."""

    directory_mode: int = field(default=0o700, metadata={"env": "PERFSDK_DIR_MODE"})
    """`0700`, or `0770` for a sidecar under another user of the same group."""

    service: str = field(default="default", metadata={"env": "OTEL_SERVICE_NAME"})
    """The name of the service; the last part of the default directory."""

    resource_attributes: Mapping[str, str] = field(
        default_factory=dict, metadata={"env": "OTEL_RESOURCE_ATTRIBUTES"}
    )
    """Labels of `target_info`; as `key=value,key=value` in the environment."""

    segment_size_bytes: int = field(
        default=16 << 20, metadata={"env": "PERFSDK_SEGMENT_SIZE_BYTES"}
    )
    """The most that one process may write, 1 MiB to 256 MiB."""

    sample_interval_seconds: float = field(
        default=5.0, metadata={"env": "PERFSDK_SAMPLE_INTERVAL_SECONDS"}
    )
    """How often the background thread reads what cannot be observed, 0.1 to 3600 s."""

    disabled_integrations: tuple[str, ...] = field(
        default=(), metadata={"env": "PERFSDK_DISABLED_INTEGRATIONS"}
    )
    """Libraries to leave alone, as `redis,sqlite3` in the environment."""

    tracing: bool | None = field(default=None, metadata={"env": "PERFSDK_TRACING"})
    """Whether requests become spans of OpenTelemetry; None: when an OTLP endpoint is configured.

    `OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none` turn it off in any case.
    """

    metrics_path: str | None = field(default=None, metadata={"env": "PERFSDK_METRICS_PATH"})
    """Where the application itself serves the totals of all workers, as `/metrics`; None: nowhere.

    It takes what the sidecar takes: `pip install 'perfsdk[exporter]'`.
    """

    mirror_registry: bool = field(default=False, metadata={"env": "PERFSDK_MIRROR_REGISTRY"})
    """Whether the metrics in prometheus_client's default registry are copied at every sample."""


def load_settings(environment: Mapping[str, str], keywords: Mapping[str, Any]) -> Settings:
    """Settings from keywords (None: not given), then the environment, then the defaults.

    Raises:
        SettingsError: a value is out of range or cannot be read.
    """
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        variable = setting.metadata["env"]
        given = keywords.get(setting.name)
        if given is not None:
            values[setting.name] = given
            origin = f"{setting.name}={_in_one_line(repr(given))}"
        elif environment.get(variable, "") != "":
            text = environment[variable]
            origin = f"{variable}={_in_one_line(text)}"
            values[setting.name] = _parse(setting.name, text, origin)
        else:
            continue
        problem = _problem(setting.name, values[setting.name])
        if problem:
            raise SettingsError(f"{origin}: {problem}")
    if "directory" in values:
        values["directory"] = os.fspath(values["directory"])
    if "resource_attributes" in values:
        values["resource_attributes"] = dict(values["resource_attributes"])
    named = values.get("resource_attributes", {}).get("service.name")
    if "service" not in values and named:
        if not _is_right("service", named):
            raise SettingsError(f"service.name={_in_one_line(named)}: {_WANTED['service']}")
        values["service"] = named
    if "disabled_integrations" in values:
        values["disabled_integrations"] = tuple(values["disabled_integrations"])
    return Settings(**values)


def _parse(name: str, text: str, origin: str) -> Any:
    try:
        if name in {"enabled", "tracing", "mirror_registry"}:
            return _parse_switch(text)
        if name == "directory_mode":
            return int(text, 8)
        if name == "segment_size_bytes":
            return int(text)
        if name == "sample_interval_seconds":
            return float(text)
        if name == "disabled_integrations":
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if name == "resource_attributes":
            return _parse_attributes(text)
    except ValueError as error:
        raise SettingsError(f"{origin}: {_WANTED[name]}") from error
    return text


_SWITCH = "give True or False, in the environment 1 or 0"
_WANTED = {
    "enabled": _SWITCH,
    "directory": "give the path of a directory",
    "directory_mode": "give 0700 (0o700 in Python), or 0770 to share it with a group",
    "service": "give a name, without control characters",
    "resource_attributes": "give a mapping of text to text, in the environment key=value,key=value",
    "segment_size_bytes": (
        f"give a number of bytes from {MIN_SEGMENT_SIZE_BYTES} to {MAX_SEGMENT_SIZE_BYTES}"
    ),
    "sample_interval_seconds": "give seconds from 0.1 to 3600",
    "disabled_integrations": "give a tuple of names, in the environment redis,sqlite3",
    "tracing": _SWITCH,
    "mirror_registry": _SWITCH,
    "metrics_path": "give a path such as /metrics, of letters, digits and ._~-",
}


def _parse_switch(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _parse_attributes(text: str) -> dict[str, str]:
    attributes = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, separator, value = part.partition("=")
        name = unquote(key.strip())
        if not separator or not name:
            raise ValueError(text)
        attributes[name] = unquote(value.strip())
    return attributes


def _problem(name: str, value: Any) -> str:
    return "" if _is_right(name, value) else _WANTED[name]


def _is_right(name: str, value: Any) -> bool:
    match name:
        case "enabled" | "tracing" | "mirror_registry":
            return isinstance(value, bool)
        case "directory":
            return isinstance(value, (str, os.PathLike)) and _is_path(os.fspath(value))
        case "directory_mode":
            return isinstance(value, int) and value in {0o700, 0o770}
        case "service":
            return isinstance(value, str) and value.isprintable() and value.strip() != ""
        case "resource_attributes":
            return isinstance(value, Mapping) and all(
                isinstance(k, str) and k != "" and isinstance(v, str) for k, v in value.items()
            )
        case "metrics_path":
            return isinstance(value, str) and _METRICS_PATH.fullmatch(value) is not None
        case "segment_size_bytes":
            return (
                isinstance(value, int) and MIN_SEGMENT_SIZE_BYTES <= value <= MAX_SEGMENT_SIZE_BYTES
            )
        case "sample_interval_seconds":
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number and 0.1 <= value <= 3600
        case _:
            return isinstance(value, (tuple, list)) and all(isinstance(v, str) for v in value)


def _is_path(path: Any) -> bool:
    if not isinstance(path, str) or path == "" or "\0" in path:
        return False
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _in_one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= _MAX_SHOWN_CHARACTERS else f"{line[:_MAX_SHOWN_CHARACTERS]}..."
