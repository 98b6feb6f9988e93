"""Reads the command line of `perfsdk` and runs the subcommand that it names."""

import argparse
import sys
from collections.abc import Sequence

from perfsdk.cli.demo import command as demo
from perfsdk.cli.doctor import command as doctor
from perfsdk.cli.run import command as run
from perfsdk.version import __version__

DESCRIPTION = "Measure a Python web application: P99, bottleneck and cache hit rate."

COMMANDS = (
    ("demo", "measure a small shop under load and print the three answers", demo),
    ("run", "start a server and measure what it serves, without a change to the source", run),
    ("doctor", "tell what is in force, what is wrong, and what to do about it", doctor),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; what it returns is the exit code of the process."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130  # 128 and the signal's number, as a shell says it


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="perfsdk", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"perfsdk {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, summary, command in COMMANDS:
        subparser = commands.add_parser(name, help=summary, description=command.DESCRIPTION)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
