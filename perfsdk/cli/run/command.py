"""The arguments of `perfsdk run`; becomes the program, with an environment that measures it."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from perfsdk.settings import SettingsError, load_settings

DESCRIPTION = """\
Start a web server or a program that serves, and measure what its Python processes serve, without
a change to the source. All settings are environment variables (PERFSDK_*, OTEL_SERVICE_NAME); an
instrument(app, ...) in the source goes before them."""

EXAMPLE = "perfsdk run uvicorn shop:app --workers 4"

SITE = Path(__file__).with_name("site")
"""In front of PYTHONPATH: each Python runs the `sitecustomize.py` in it at its start."""

RUN_PID = "PERFSDK_RUN_PID"

_WRONG_USE = 2
_CANNOT_BE_RUN = 126  # as shells have it
_NOT_FOUND = 127


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `perfsdk run` takes."""
    parser.usage = "perfsdk run [--service NAME] [--dir PATH] PROGRAM [ARGUMENT ...]"
    add = parser.add_argument
    add("--service", metavar="NAME", help="the service's name, as OTEL_SERVICE_NAME")
    add("--dir", metavar="PATH", help="the directory of the segments, as PERFSDK_DIR")
    add(
        "program",
        nargs=argparse.REMAINDER,
        metavar="PROGRAM [ARGUMENT ...]",
        help=f"what to start and its arguments, as in: {EXAMPLE}",
    )


def run(options: argparse.Namespace) -> int:
    """Become the program. It returns only when that cannot be: the exit code."""
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        return _complain(f"give a program, as in: {EXAMPLE}", _WRONG_USE)
    try:
        load_settings({}, {"service": options.service, "directory": options.dir})
        # Of this process, because it is the one that becomes the program.
        if options.service is not None:
            os.environ["OTEL_SERVICE_NAME"] = options.service
        if options.dir is not None:
            os.environ["PERFSDK_DIR"] = os.path.abspath(options.dir)
        environment = measuring(os.environ) if _try_settings() else os.environ
    except SettingsError as error:
        return _complain(str(error), _WRONG_USE)
    path = shutil.which(program[0]) or shutil.which(program[0], path=_beside_python())
    if path is None:
        if os.sep in program[0] and os.path.exists(program[0]):
            return _complain(f"{program[0]} cannot be executed", _CANNOT_BE_RUN)
        return _complain(f"{program[0]} is not installed, or not in PATH", _NOT_FOUND)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by this Python, not by who called it
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execve(path, program, environment)  # noqa: S606 - it is what the user asks for
    except OSError as error:
        return _complain(f"{path}: {error.strerror}", _CANNOT_BE_RUN)


def measuring(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, in which each Python measures what it serves."""
    others = environment.get("PYTHONPATH", "")
    here = os.fspath(SITE)
    path = os.pathsep.join([here, others]) if others else here
    return {**environment, "PYTHONPATH": path, RUN_PID: str(os.getpid())}


def _try_settings() -> bool:
    """Whether anything is to be measured.

    The settings are used here once as they will be there, and nothing is written by that.

    Raises:
        SettingsError: one is wrong, or cannot be had.
    """
    if not load_settings(os.environ, {}).enabled:
        return False
    from perfsdk.instrumentation import instrument, uninstrument

    instrument(_nothing)
    uninstrument()
    return True


async def _nothing(scope: object, receive: object, send: object) -> None:
    """An application that nobody serves."""


def _beside_python() -> str:
    """Where a virtual environment that is not activated has its programs."""
    return os.path.dirname(sys.executable)


def _complain(message: str, code: int) -> int:
    print(f"perfsdk run: {message}", file=sys.stderr)
    return code
