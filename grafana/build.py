"""Writes the dashboards: `python -m grafana.build`; `--check` fails when a file is not current."""

import argparse
import json
import sys
from pathlib import Path

from grafana import service

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """The text of every dashboard by the name of its file."""
    built = {"perfsdk-service.json": service.build()}
    return {
        name: json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, board in built.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    for name, text in dashboards().items():
        path = FOLDER / name
        if check and (not path.exists() or path.read_text() != text):
            print(f"{path.name} is not what its code builds; run: python -m grafana.build")
            return 1
        if not check:
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
