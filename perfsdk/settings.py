"""What a user may set: each field with its meaning, unit, default and environment variable."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from perfsdk import setting_kinds as kinds
from perfsdk.setting_kinds import Kind

MIN_SEGMENT_SIZE_BYTES = 1 << 20
MAX_SEGMENT_SIZE_BYTES = 256 << 20
"""The largest file that the exporter reads."""

_MAX_SHOWN_CHARACTERS = 200


class SettingsError(ValueError):
    """A setting is wrong; the message says in one line what to do."""


def _setting(default: Any, variable: str, kind: Kind) -> Any:
    metadata = {"env": variable, "kind": kind}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force. A keyword of `instrument` wins over the environment."""

    enabled: bool = _setting(True, "PERFSDK_ENABLED", kinds.SWITCH)
    """`0`, `false`, `no` or `off` turns everything off: `instrument` then changes nothing."""

    directory: str | None = _setting(None, "PERFSDK_DIR", kinds.DIRECTORY)
    """Where segments are written; default `/dev/shm/perfsdk-<uid>/<service>`."""

    directory_mode: int = _setting(0o700, "PERFSDK_DIR_MODE", kinds.DIRECTORY_MODE)
    """`0700`, or `0770` for a sidecar under another user of the same group."""

    service: str = _setting("default", "OTEL_SERVICE_NAME", kinds.NAME)
    """The name of the service; the last part of the default directory."""

    resource_attributes: Mapping[str, str] = _setting(
        {}, "OTEL_RESOURCE_ATTRIBUTES", kinds.ATTRIBUTES
    )
    """Labels of `target_info`; as `key=value,key=value` in the environment."""

    segment_size_bytes: int = _setting(
        16 << 20,
        "PERFSDK_SEGMENT_SIZE_BYTES",
        kinds.whole_number("bytes", MIN_SEGMENT_SIZE_BYTES, MAX_SEGMENT_SIZE_BYTES),
    )
    """The most that one process may write, 1 MiB to 256 MiB."""

    sample_interval_seconds: float = _setting(
        5.0, "PERFSDK_SAMPLE_INTERVAL_SECONDS", kinds.seconds(0.1, 3600)
    )
    """How often the background thread reads what cannot be observed, 0.1 to 3600 s."""

    disabled_integrations: tuple[str, ...] = _setting(
        (), "PERFSDK_DISABLED_INTEGRATIONS", kinds.NAMES
    )
    """Libraries to leave alone, as `redis,sqlite3` in the environment."""

    exclude: tuple[str, ...] = _setting((), "PERFSDK_EXCLUDE", kinds.PATTERNS)
    """Routes or globs of paths that are not measured, besides health checks and metrics.

    The last pattern that matches decides; one with `!` in front measures: `!/health`, `!*`.
    """

    route_labels: Mapping[str, tuple[str, ...]] = _setting({}, "PERFSDK_ROUTE_LABELS", kinds.LABELS)
    """Labels that `perfsdk.label(...)` may give a request's duration, and their only values."""

    latency_objective: float | Mapping[str, float] | None = _setting(
        None, "PERFSDK_LATENCY_OBJECTIVE", kinds.OBJECTIVE
    )
    """Seconds, one value or one per route: a bucket ends there, so that what is below is exact."""

    slow_query_seconds: float = _setting(
        0.5, "PERFSDK_SLOW_QUERY_SECONDS", kinds.seconds(0.001, 3600)
    )
    """A database call that takes as long is the finding `slow`, 0.001 to 3600 s."""

    cache_names: Mapping[str, str] = _setting({}, "PERFSDK_CACHE_NAMES", kinds.CACHE_NAMES)
    """How the keys of a shared cache begin, and what its figures are called for each.

    `{"user:*": "users"}`; as `user:*=users,basket:*=baskets` in the environment. The first that
    matches names the key; one that none matches is of the cache `default`.
    """

    trust_queue_time: bool = _setting(False, "PERFSDK_TRUST_QUEUE_TIME", kinds.SWITCH)
    """Whether X-Request-Start and X-Queue-Start come from a proxy of yours, not from clients."""

    tracing: bool | None = _setting(None, "PERFSDK_TRACING", kinds.SWITCH)
    """Whether requests become spans of OpenTelemetry; None: when an OTLP endpoint is configured.

    `OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none` turn it off in any case.
    """

    metrics_path: str | None = _setting(None, "PERFSDK_METRICS_PATH", kinds.METRICS_PATH)
    """Where the application itself serves the totals of all workers, as `/metrics`; None: nowhere.

    It takes what the sidecar takes: `pip install 'perfsdk[exporter]'`.
    """

    queries_path: str | None = _setting(None, "PERFSDK_QUERIES_PATH", kinds.METRICS_PATH)
    """Where the application itself serves the table of statements, as `/queries`; None: nowhere.

    It shows statements without their literals and the lines of the application that ran them.
    """

    mirror_registry: bool = _setting(False, "PERFSDK_MIRROR_REGISTRY", kinds.SWITCH)
    """Whether the metrics in prometheus_client's default registry are copied at every sample."""


def load_settings(environment: Mapping[str, str], keywords: Mapping[str, Any]) -> Settings:
    """Settings from keywords (None: not given), then the environment, then the defaults.

    Raises:
        SettingsError: a value is out of range or cannot be read.
    """
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        kind: Kind = setting.metadata["kind"]
        variable = setting.metadata["env"]
        given = keywords.get(setting.name)
        if given is not None:
            origin = f"{setting.name}={_in_one_line(repr(given))}"
        elif environment.get(variable, "") != "":
            origin = f"{variable}={_in_one_line(environment[variable])}"
            given = _parse(kind, environment[variable], origin)
        else:
            continue
        if not kind.is_right(given):
            raise SettingsError(f"{origin}: {kind.wanted}")
        values[setting.name] = kind.keep(given)
    named = values.get("resource_attributes", {}).get("service.name")
    if "service" not in values and named:
        if not kinds.NAME.is_right(named):
            raise SettingsError(f"service.name={_in_one_line(named)}: {kinds.NAME.wanted}")
        values["service"] = named
    return Settings(**values)


def _parse(kind: Kind, text: str, origin: str) -> Any:
    try:
        return kind.parse(text)
    except ValueError as error:
        raise SettingsError(f"{origin}: {kind.wanted}") from error


def _in_one_line(text: str) -> str:
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= _MAX_SHOWN_CHARACTERS else f"{line[:_MAX_SHOWN_CHARACTERS]}..."
