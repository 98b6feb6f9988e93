"""The command `perfsdk-exporter`: reads flags and environment, opens the sockets, serves."""

import asyncio
import logging
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress

from perfsdk.store.directory import DirectoryError
from perfsdk.version import __version__
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.flags import DEFAULT_PORT, PROGRAM, WRONG_USE, make_parser
from perfsdk_exporter.location import Location
from perfsdk_exporter.logs import configure_logging
from perfsdk_exporter.multiproc.reading import MultiprocFiles
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.reaping.thread import ReapingThread
from perfsdk_exporter.web.connections import Limits
from perfsdk_exporter.web.listening import Address, AddressError, listen
from perfsdk_exporter.web.protection import Protection
from perfsdk_exporter.web.sections import WebConfigError
from perfsdk_exporter.web.server import make_application, serve

CANNOT_SERVE = 1

_MAX_OPEN_FILES = 65536

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit code: 0, 1 for a taken port, 2 for wrong use."""
    options = make_parser(os.environ).parse_args(arguments)
    try:
        location = Location(options.dir, options.service)
        directory = location.resolve()
        protection = Protection(options.web_config) if options.web_config else None
    except DirectoryError as error:
        return _complain(str(error), WRONG_USE)
    except WebConfigError as error:
        return _complain(f"--web.config.file {error}", WRONG_USE)
    addresses = options.listen_addresses or [Address("", DEFAULT_PORT)]
    try:
        sockets = [listen(address) for address in addresses]
    except AddressError as error:
        return _complain(f"--web.listen-address {error}", CANNOT_SERVE)
    _raise_open_files()
    configure_logging(options.log_level, options.log_format)
    fields = {"version": __version__, "directory": directory or "none yet"}
    _log.info("starting", extra={"fields": fields})
    reaper = Reaper(retention_seconds=options.retention_seconds)
    files = MultiprocFiles(options.multiproc_dir) if options.multiproc_dir else None
    collector = Collector(location, files=files, tally=reaper.tally)
    reaping = ReapingThread(reaper, collector.directory)
    reaping.start()
    path = options.telemetry_path
    application = make_application(
        collector,
        path,
        max_requests=options.max_requests,
        protection=protection,
        with_queries=options.queries,
    )
    limits = Limits(connections=options.max_connections)
    with suppress(KeyboardInterrupt):  # before the loop takes over the signal
        asyncio.run(serve(application, sockets, path, limits))
    reaping.stop()
    collector.close()
    return 0


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
