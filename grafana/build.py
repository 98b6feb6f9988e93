"""Writes dashboards and rules, `python grafana/build.py`; `--check` fails on what is not current.

`--rules-to FOLDER --set latencySeconds=0.25` writes the rules alone, with other parameters.
"""

import argparse
import json
import sys
from pathlib import Path

# A script finds its own folder alone; these modules and the catalog are found from the root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grafana.alerting.files import RULES, TEMPLATES, helm_templates, rule_files
from grafana.boards import (
    caches,
    databases,
    overview,
    service,
    slo,
    telemetry,
    time,
    workers,
)

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / "dashboards"
COMMAND = "python grafana/build.py"


def dashboards() -> dict[str, str]:
    """The text of every dashboard by the name of its file."""
    modules = (overview, service, time, databases, caches, workers, slo, telemetry)
    boards = [module.build() for module in modules]
    return {
        f"{board['uid']}.json": json.dumps(board, indent=0, sort_keys=True, ensure_ascii=False)
        + "\n"
        for board in boards
    }


def everything() -> dict[Path, dict[str, str]]:
    """The text of every file that is built, by its folder and name."""
    return {FOLDER: dashboards(), RULES: rule_files(), TEMPLATES: helm_templates()}


def not_current(built: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The files that are missing, differ from what is built, or that nothing builds."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in _files(folder)}
    return sorted(
        name for name in built.keys() | committed.keys() if built.get(name) != committed.get(name)
    )


def write(built: dict[str, str], folder: Path) -> None:
    """Write what is built, and remove what nothing builds any more."""
    for path in _files(folder):
        if path.name not in built:
            path.unlink()
    for name, text in built.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    arguments = _arguments()
    if arguments.rules_to:
        return _write_rules(arguments.rules_to, arguments.set)
    stale = [
        f"{folder.relative_to(ROOT.parent)}/{name}"
        for folder, built in everything().items()
        for name in not_current(built, folder)
    ]
    if arguments.check:
        if stale:
            print(f"not what the code builds: {', '.join(stale)}; run: {COMMAND}")
        return int(bool(stale))
    for folder, built in everything().items():
        write(built, folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--rules-to", type=Path, metavar="FOLDER", help="write the rules there")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the rules"
    )
    arguments = parser.parse_args()
    if arguments.set and not arguments.rules_to:
        parser.error("--set goes with --rules-to: what is committed has the defaults")
    return arguments


def _write_rules(folder: Path, assignments: list[str]) -> int:
    values = {name: value for name, _, value in (text.partition("=") for text in assignments)}
    try:
        built = rule_files(values)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in built.items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]


if __name__ == "__main__":
    sys.exit(main())
