"""Patches the libraries that the application uses, whether they are imported already or later."""

import sys
import weakref
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from perfsdk import guard
from perfsdk.catalog import INTEGRATION_INFO
from perfsdk.integrations import INTEGRATIONS
from perfsdk.recorder import Recorder
from perfsdk.wrapping.patches import Patches


class Libraries:
    """The integrations of one process, and what became of each."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._patches = Patches()
        self._statuses: dict[str, tuple[str, str]] = {}
        self._stopped = False

    def start(self, disabled: Iterable[str]) -> None:
        """Patch what is imported, and what will be, but for `disabled`."""
        from wrapt import register_post_import_hook

        for name in INTEGRATIONS:
            if name in disabled or name.partition(".")[0] in disabled:
                self._statuses[name] = ("", "disabled")
            else:
                register_post_import_hook(_patcher(weakref.ref(self), name), name)

    def stop(self) -> None:
        """Restore every library; what is imported later stays as it is."""
        self._stopped = True
        self._patches.undo()

    def write(self) -> None:
        """Say in a new segment which libraries are measured."""
        for name, status in list(self._statuses.items()):
            self._recorder.gauge(INTEGRATION_INFO).set((name, *status), 1.0)

    def patch(self, module: Any) -> None:
        """Runs inside the user's import: whatever fails here must not fail there."""
        name = module.__name__
        if self._stopped:
            return
        version = ""
        patches = Patches()
        try:
            version = _version(module)
            integration = import_module(INTEGRATIONS[name])
            if not _is_known(version, integration.VERSIONS):
                status = "unsupported"
                guard.logger.warning(
                    "perfsdk: %s %s is not known (known: %s up to, not including, %s); it is "
                    "not measured",
                    name,
                    version,
                    *(".".join(map(str, bound)) for bound in integration.VERSIONS),
                )
            else:
                integration.patch(module, patches, self._recorder)
                status = "active"
                self._patches.on_undo(patches.undo)
        except Exception:
            status = "failed"
            patches.undo()
            guard.failed(f"integrations.{name}")
        self._statuses[name] = (version, status)
        if self._recorder.writer.segment is not None:
            self._recorder.gauge(INTEGRATION_INFO).set((name, version, status), 1.0)


def _patcher(libraries: "weakref.ref[Libraries]", name: str) -> Callable[[Any], None]:
    """A hook for imports; hooks cannot be taken back, so it keeps nothing alive."""

    def patch(module: Any) -> None:
        found = libraries()
        # PyMySQL stands in for MySQLdb, and is measured under its own name.
        if found is not None and module.__name__ == name:
            found.patch(module)

    return patch


def _version(module: Any) -> str:
    """The version of a library, also of one of which a part is imported."""
    library = sys.modules.get(module.__name__.partition(".")[0], module)
    for owner, attribute in (
        (module, "VERSION_STRING"),  # PyMySQL gives itself out for mysqlclient elsewhere
        (module, "__version__"),
        (getattr(module, "release", None), "__version__"),  # mysqlclient
        (library, "__version__"),
        (module, "sqlite_version"),
    ):
        if isinstance(version := getattr(owner, attribute, None), str):
            return version.partition(" ")[0]  # psycopg2 adds how it was built
    return ""


def _is_known(version: str, known: tuple[tuple[int, ...], tuple[int, ...]]) -> bool:
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    return known[0] <= numbers < known[1]
