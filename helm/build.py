"""Copies dashboards, rules and the library into the charts; `--check` fails on what is not current.

`--helm PROGRAM` also renders the charts into the plain manifests of deploy/kubernetes.
"""

import argparse
import sys
from pathlib import Path

# A script finds its own folder alone; its modules are found from the root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helm.copies import copies, not_current, write
from helm.manifests import manifests

COMMAND = "python helm/build.py"


def main() -> int:
    """The exit code: 1 when `--check` found something that is not current."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--helm", metavar="PROGRAM", help="render deploy/kubernetes with it too")
    arguments = parser.parse_args()
    wanted = copies()
    if arguments.check:
        stale = not_current(wanted)
        if stale:
            print(f"not what was copied: {', '.join(stale)}; run: {COMMAND}")
        return int(bool(stale))
    write(wanted)
    if arguments.helm:
        for path, text in manifests(arguments.helm).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
