"""The flags of `perfsdk-exporter`; what is wrong with one is said in one line."""

import argparse
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from perfsdk.version import __version__
from perfsdk_exporter.logs import FORMATS, LEVELS
from perfsdk_exporter.reaping.reaper import RETENTION_SECONDS
from perfsdk_exporter.web.connections import Limits
from perfsdk_exporter.web.listening import Address, AddressError, parse_address
from perfsdk_exporter.web.server import MAX_REQUESTS

PROGRAM = "perfsdk-exporter"
DEFAULT_PORT = 8979
WRONG_USE = 2

_OWN_PATHS = ("/", "/-/healthy", "/-/ready", "/queries")
_MAX_COUNT = 1_000_000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Without the usage: one line that says what to do.
        self.exit(WRONG_USE, f"{PROGRAM}: error: {message} (--help lists all flags)\n")


class _Formatter(argparse.HelpFormatter):
    """Every flag on a line of its own, its meaning below."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=10, width=88)


def make_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """All flags; the environment gives the defaults of some."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [flags]",
        description="Serves the totals of all worker processes to Prometheus.",
        epilog="Exit codes: 0 after SIGTERM or SIGINT, 1 when a port is taken, 2 for a wrong flag,"
        " directory or web configuration.",
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    _add_segments(parser.add_argument_group("what to read"), environment)
    _add_web(parser.add_argument_group("where to serve"))
    _add_access(parser.add_argument_group("who may read, and how much at once"))
    logging = parser.add_argument_group("logging, to standard error")
    logging.add_argument(
        "--log.level",
        dest="log_level",
        choices=LEVELS,
        default="info",
        metavar="LEVEL",
        help=f"the least that is logged: {', '.join(LEVELS)} (default: %(default)s)",
    )
    logging.add_argument(
        "--log.format",
        dest="log_format",
        choices=FORMATS,
        default="logfmt",
        metavar="FORMAT",
        help=f"{' or '.join(FORMATS)} (default: %(default)s)",
    )
    others = parser.add_argument_group("others")
    version = f"{PROGRAM} {__version__} (Python {platform.python_version()})"
    others.add_argument(
        "--version", action="version", version=version, help="print the version and exit"
    )
    others.add_argument("--help", "-h", action="help", help="print this and exit")
    return parser


def _add_segments(group: argparse._ArgumentGroup, environment: Mapping[str, str]) -> None:
    group.add_argument(
        "--dir",
        type=_directory,
        default=environment.get("PERFSDK_DIR") or None,
        metavar="DIRECTORY",
        help="directory of the segments (default: $PERFSDK_DIR, else that of the service)",
    )
    group.add_argument(
        "--service",
        type=_service,
        default=_service_name(environment),
        metavar="NAME",
        help="service to read when no directory is given (default: $OTEL_SERVICE_NAME, else the"
        " only one there is)",
    )
    group.add_argument(
        "--archive.retention",
        dest="retention_seconds",
        type=_duration,
        default=RETENTION_SECONDS,
        metavar="DURATION",
        help="how long the totals of ended processes are kept after nobody adds to a series any"
        " more: 90s, 30m, 24h, 7d (default: 24h)",
    )
    group.add_argument(
        "--prometheus.multiproc-dir",
        dest="multiproc_dir",
        type=_directory,
        default=environment.get("PROMETHEUS_MULTIPROC_DIR") or None,
        metavar="DIRECTORY",
        help="directory of prometheus_client's files in its multi-process mode, shown on the same"
        " page (default: $PROMETHEUS_MULTIPROC_DIR)",
    )


def _add_web(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--web.listen-address",
        dest="listen_addresses",
        action="append",
        type=_address,
        metavar="[HOST]:PORT",
        help=f"address to serve on, may be repeated; port 0 is any (default: :{DEFAULT_PORT})",
    )
    group.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        type=_telemetry_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (default: %(default)s)",
    )
    group.add_argument(
        "--web.queries",
        dest="queries",
        action="store_true",
        help="serve the table of database statements at /queries, as HTML and JSON: statements"
        " without their literals, lines of the application's code, times, findings (default: off)",
    )


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--web.config.file",
        dest="web_config",
        type=_file,
        metavar="FILE",
        help="TLS, client certificates, users, headers and rate limit, in the format of"
        " Prometheus's exporters; read again when it changes (default: plain HTTP for everybody)",
    )
    group.add_argument(
        "--web.max-requests",
        dest="max_requests",
        type=_count,
        default=MAX_REQUESTS,
        metavar="N",
        help="scrapes at the same time, 503 above; 0 is no limit (default: %(default)s)",
    )
    group.add_argument(
        "--web.max-connections",
        dest="max_connections",
        type=_positive_count,
        default=Limits().connections,
        metavar="N",
        help="open connections; above, the one that waits longest is closed (default: %(default)s)",
    )


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


def _duration(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a duration such as 90s, 30m, 24h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def _file(text: str) -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("give the path of a file")
    return Path(text)


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


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > _MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to {_MAX_COUNT}")
    return int(text)


def _positive_count(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("give a number from 1")
    return int(text)
