"""The command `perfsdk-exporter`: reads flags and environment, opens the sockets, serves."""

import argparse
import asyncio
import logging
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn
from urllib.parse import unquote

from perfsdk.store.directory import DirectoryError
from perfsdk.version import __version__
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.listening import Address, AddressError, listen, parse_address
from perfsdk_exporter.location import Location
from perfsdk_exporter.logs import FORMATS, LEVELS, configure_logging
from perfsdk_exporter.server import make_application, serve

PROGRAM = "perfsdk-exporter"
DEFAULT_PORT = 8979

WRONG_USE = 2
CANNOT_SERVE = 1

_OWN_PATHS = ("/", "/-/healthy", "/-/ready")
_MAX_OPEN_FILES = 65536

_log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Without the usage: one line that says what to do.
        self.exit(WRONG_USE, f"{PROGRAM}: error: {message} (--help lists all flags)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit code: 0, 1 for a taken port, 2 for wrong use."""
    options = _parser(os.environ).parse_args(arguments)
    try:
        location = Location(options.dir, options.service)
        directory = location.resolve()
    except DirectoryError as error:
        return _complain(str(error), WRONG_USE)
    addresses = options.listen_addresses or [Address("", DEFAULT_PORT)]
    try:
        sockets = [listen(address) for address in addresses]
    except AddressError as error:
        return _complain(f"--web.listen-address {error}", CANNOT_SERVE)
    _raise_open_files()
    configure_logging(options.log_level, options.log_format)
    fields = {"version": __version__, "directory": directory or "none yet"}
    _log.info("starting", extra={"fields": fields})
    collector = Collector(location)
    application = make_application(collector, options.telemetry_path)
    with suppress(KeyboardInterrupt):  # before the loop takes over the signal
        asyncio.run(serve(application, sockets, options.telemetry_path))
    collector.close()
    return 0


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Serves the totals of all worker processes to Prometheus.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dir",
        type=_directory,
        default=environment.get("PERFSDK_DIR") or None,
        help="directory of the segments (default: $PERFSDK_DIR, else that of the service)",
    )
    parser.add_argument(
        "--service",
        type=_service,
        default=_service_name(environment),
        help="service to read when no directory is given (default: $OTEL_SERVICE_NAME, else the"
        " only one there is)",
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        type=_address,
        metavar="[HOST]:PORT",
        help=f"address to serve on, may be repeated; port 0 is any (default: :{DEFAULT_PORT})",
    )
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (default: %(default)s)",
    )
    parser.add_argument("--log.level", dest="log_level", choices=LEVELS, default="info")
    parser.add_argument("--log.format", dest="log_format", choices=FORMATS, default="logfmt")
    version = f"{PROGRAM} {__version__} (Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _service_name(environment: Mapping[str, str]) -> str | None:
    """The service as the SDK understands the same environment; None when it is not said."""
    if environment.get("OTEL_SERVICE_NAME"):
        return environment["OTEL_SERVICE_NAME"]
    for attribute in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = attribute.partition("=")
        if unquote(key.strip()) == "service.name" and value.strip():
            return unquote(value.strip())
    return None


def _directory(text: str) -> str:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("give the path of a directory")
    return text


def _service(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("give the name of a service")
    return text


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _telemetry_path(text: str) -> str:
    if text in _OWN_PATHS or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a path such as /metrics")
    return text


def _raise_open_files() -> None:
    """Take what the system allows: every segment is one open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"{PROGRAM}: error: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
