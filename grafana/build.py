"""Writes the dashboards, `python grafana/build.py`; `--check` fails when a file is not current."""

import argparse
import json
import sys
from pathlib import Path

# A script finds its own folder alone; these modules and the catalog are found from the root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grafana.service import board as service

FOLDER = Path(__file__).resolve().parent / "dashboards"
COMMAND = "python grafana/build.py"


def dashboards() -> dict[str, str]:
    """The text of every dashboard by the name of its file."""
    boards = [service.build()]
    return {
        f"{board['uid']}.json": json.dumps(board, indent=0, sort_keys=True, ensure_ascii=False)
        + "\n"
        for board in boards
    }


def not_current(built: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The files that are missing, differ from what is built, or that nothing builds."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(
        name for name in built.keys() | committed.keys() if built.get(name) != committed.get(name)
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    built = dashboards()
    if parser.parse_args().check:
        stale = not_current(built)
        if stale:
            names = ", ".join(stale)
            print(f"grafana/dashboards: not what the code builds: {names}; run: {COMMAND}")
        return int(bool(stale))
    for path in FOLDER.glob("*.json"):
        if path.name not in built:
            path.unlink()
    for name, text in built.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
