"""Knows which files of the charts are copies of others, and of which."""

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "perfsdk"
LIBRARY = ROOT / "helm" / "perfsdk-lib"
VENDORED = CHART / "charts" / "perfsdk-lib"
FOLDERS = (CHART / "dashboards", CHART / "rules", VENDORED)
"""Nothing but copies is in these."""


def copies() -> dict[Path, Path]:
    """The original of every copy."""
    dashboards = (ROOT / "grafana" / "dashboards").glob("*.json")
    rules = (ROOT / "grafana" / "rules" / "helm").glob("*.tpl")
    library = (path for path in LIBRARY.rglob("*") if path.is_file())
    return {
        **{CHART / "dashboards" / path.name: path for path in dashboards},
        **{CHART / "rules" / path.name: path for path in rules},
        **{VENDORED / path.relative_to(LIBRARY): path for path in library},
    }


def not_current(wanted: Mapping[Path, Path]) -> list[str]:
    """The names of copies that are missing, differ from the original, or have none."""
    found = {path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()}
    stale = {
        path
        for path, original in wanted.items()
        if path not in found or path.read_bytes() != original.read_bytes()
    }
    return sorted(path.relative_to(ROOT).as_posix() for path in stale | (found - wanted.keys()))


def write(wanted: Mapping[Path, Path]) -> None:
    """Make every copy what its original is, and remove those that have none."""
    for folder in FOLDERS:
        for path in folder.rglob("*"):
            if path.is_file() and path not in wanted:
                path.unlink()
    for path, original in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(original.read_bytes())
