"""Measures a Python web application: `instrument(app)` is the one line to add."""

from typing import TYPE_CHECKING, Any

from perfsdk.version import __version__

if TYPE_CHECKING:
    from perfsdk.by_hand import cache
    from perfsdk.findings import allow
    from perfsdk.frameworks.selection import exclude
    from perfsdk.instrumentation import instrument, uninstrument
    from perfsdk.request import label
    from perfsdk.settings import SettingsError

__all__ = [
    "SettingsError",
    "__version__",
    "allow",
    "cache",
    "exclude",
    "instrument",
    "label",
    "uninstrument",
]

_HOMES = {
    "allow": "perfsdk.findings",
    "cache": "perfsdk.by_hand",
    "exclude": "perfsdk.frameworks.selection",
    "instrument": "perfsdk.instrumentation",
    "uninstrument": "perfsdk.instrumentation",
    "label": "perfsdk.request",
    "SettingsError": "perfsdk.settings",
}


def __getattr__(name: str) -> Any:
    # Lazy: the sidecar imports perfsdk.store and must not load what only applications need.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'perfsdk' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
