"""The arguments of `perfsdk doctor`; looks at everything in turn and prints one report."""

import argparse
import os
import sys

DESCRIPTION = """\
Tell what is in force, how many workers report, what is measured and whether an exporter reads it.
The last lines are the problems, each with what to do about it. Run it as the application's user,
with its environment. Exit code: 0 no problems, 1 problems, 2 wrong usage."""

_PROBLEMS = 1
_WRONG_USE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `perfsdk doctor` takes."""
    add = parser.add_argument
    add("--dir", metavar="DIR", help="the directory of the segments (default: PERFSDK_DIR)")
    add("--service", metavar="NAME", help="the service's name (default: OTEL_SERVICE_NAME)")
    add(
        "--exporter",
        metavar="URL",
        help="where the exporter serves (default: http://127.0.0.1:8979/metrics)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the report; the exit code."""
    if sys.platform == "win32":
        print("problem: Windows has no flock, nothing is measured; use Linux or macOS")
        return _PROBLEMS
    from perfsdk.cli.doctor.examination import examine
    from perfsdk.cli.doctor.exporter import complete_url
    from perfsdk.cli.doctor.in_force import find_settings
    from perfsdk.cli.doctor.report import render
    from perfsdk.settings import SettingsError

    try:
        found = find_settings(os.environ, directory=options.dir, service=options.service)
    except SettingsError as error:
        return _complain(str(error))
    try:
        url = None if options.exporter is None else complete_url(options.exporter)
    except ValueError:
        return _complain("--exporter: give an address such as http://127.0.0.1:8979/metrics")
    sections = examine(found, url)
    _print(render(sections))
    return _PROBLEMS if any(section.problems for section in sections) else 0


def _print(text: str) -> None:
    """Whatever the terminal cannot show is shown as an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _complain(message: str) -> int:
    print(f"perfsdk doctor: {message}", file=sys.stderr)
    return _WRONG_USE
