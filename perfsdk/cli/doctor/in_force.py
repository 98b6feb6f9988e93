"""Tells the settings that an application started from here would have, and where each is from."""

import difflib
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, NamedTuple

from perfsdk.cli.doctor.report import Section, note, size, table
from perfsdk.settings import Settings, SettingsError, load_settings

_PREFIX = "PERFSDK_"
_OF_OTHERS = frozenset({"PERFSDK_RUN_PID"})  # `perfsdk run` hands it to what it starts
_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_DEFAULT = "default"
_ARGUMENTS = {"directory": "--dir", "service": "--service"}
_ALIGNED_CHARACTERS = 26
_KEYWORDS = (
    "Keywords of instrument() in the source win over these and cannot be seen from here; "
    "the workers below say which service they are."
)


class InForce(NamedTuple):
    """`origins`: for each setting its variable, its argument of the command line or `default`."""

    settings: Settings
    origins: Mapping[str, str]
    problems: list[str]

    def is_given(self, name: str) -> bool:
        """Whether anybody has set it."""
        return not self.origins[name].startswith(_DEFAULT)


def find_settings(
    environment: Mapping[str, str], *, directory: str | None, service: str | None
) -> InForce:
    """The settings by the arguments, the environment and the defaults, in this order.

    A wrong variable is a problem, and leaves its setting at the default.

    Raises:
        SettingsError: an argument is wrong.
    """
    arguments = {"directory": directory, "service": service}
    load_settings({}, arguments)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    for setting in fields(Settings):
        name, own = setting.name, _own_variables(setting, environment)
        keywords = {name: arguments.get(name)}
        try:
            values[name] = getattr(load_settings(own, keywords), name)
            origins[name] = _origin(setting, own, keywords, values[name])
        except SettingsError as error:
            problems.append(str(error))
            origins[name] = f"{_DEFAULT}, {setting.metadata['env']} is wrong"
    return InForce(Settings(**values), origins, [*problems, *_unknown(environment)])


def examine(
    found: InForce, directory: Path | None, directory_origin: str, more_problems: list[str]
) -> Section:
    """What is in force and what is wrong with it; `directory` is what follows from it."""
    origins = {**found.origins, "directory": directory_origin}
    shown = {name: _text(name, getattr(found.settings, name)) for name in origins}
    shown["directory"] = str(directory) if directory else "not known"
    width = max(len(text) for text in shown.values() if len(text) <= _ALIGNED_CHARACTERS)
    rows = [(name, f"{shown[name].ljust(width)}  ({origins[name]})") for name in origins]
    problems = [*found.problems, *more_problems]
    if not found.settings.enabled:
        problems.append("PERFSDK_ENABLED turns perfsdk off, nothing is measured; unset it")
    return Section("Settings", [*table(rows), *note(_KEYWORDS)], problems)


def _own_variables(setting: Field[Any], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide about one setting, so that each error is told once."""
    names = [setting.metadata["env"]]
    if setting.name == "service":
        names.append(_ATTRIBUTES)  # its service.name, when nothing else names it
    own = {name: environment[name] for name in names if environment.get(name)}
    if len(own) == len(names) == 2:
        del own[_ATTRIBUTES]
    return own


def _origin(
    setting: Field[Any], own: Mapping[str, str], keywords: Mapping[str, object], value: object
) -> str:
    if keywords[setting.name] is not None:
        return _ARGUMENTS[setting.name]
    if setting.metadata["env"] in own:
        return str(setting.metadata["env"])
    return _ATTRIBUTES if own and value != setting.default else _DEFAULT


def _unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and that nothing reads: a slip of the pen, most often."""
    known = [setting.metadata["env"] for setting in fields(Settings)]
    problems = []
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known and name not in _OF_OTHERS:
            alike = difflib.get_close_matches(name, known, n=1)
            what = f"did you mean {alike[0]}?" if alike else "unset it"
            problems.append(f"{name} is no variable of perfsdk and changes nothing; {what}")
    return problems


def _text(name: str, value: Any) -> str:
    if name == "directory_mode":
        return f"{value:04o}"
    if name == "segment_size_bytes":
        return f"{value} = {size(value)}"
    if value is None:
        return "by OTEL_* variables" if name == "tracing" else "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        parts = {key: "|".join(v) if isinstance(v, tuple) else v for key, v in value.items()}
        return ", ".join(f"{key}={part}" for key, part in parts.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
