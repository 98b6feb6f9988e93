"""Keeps the web configuration in force: read again when a file changes, never for a weaker one."""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from perfsdk_exporter.families import Family
from perfsdk_exporter.web.authentication import Passwords
from perfsdk_exporter.web.sections import WebConfigError
from perfsdk_exporter.web.tls import make_context
from perfsdk_exporter.web.web_config import RateLimit, WebConfig, read_web_config

REREAD_SECONDS = 1.0
"""How often the files are looked at; a change is taken when it was the same twice."""

_Signature = tuple[tuple[int, ...] | None, ...]

_log = logging.getLogger(__name__)


class TokenBucket:
    """Lets through as many requests as a rate limit allows."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._tokens = float(limit.burst)
        self._filled_at = clock()

    def take(self) -> bool:
        """Whether one more may come now."""
        now = self._clock()
        gained = (now - self._filled_at) / self.limit.interval_seconds
        self._tokens = min(self._tokens + gained, self.limit.burst)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration and what was made of it; for new connections and for every request."""

    config: WebConfig
    context: ssl.SSLContext | None
    passwords: Passwords | None
    bucket: TokenBucket | None


class Protection:
    """The configuration of one file. `in_force` is replaced as a whole, in the event loop.

    Raises:
        WebConfigError: the file cannot be taken; only at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[Path] = [path]
        self._seen = self._candidate = _signature(self._files)
        self._taken = True
        self.in_force = self._load(None)

    async def watch(self) -> None:
        """Read the file again when it or a file that it names has changed, until cancelled."""
        while True:
            await asyncio.sleep(REREAD_SECONDS)
            # Files may lie on a network and OpenSSL takes its time.
            found = await asyncio.to_thread(self.reread)
            if found is not None:
                self.in_force = found

    def reread(self) -> InForce | None:
        """What is to be in force from now on; None when nothing is new, or it is not taken."""
        now = _signature(self._files)
        if now == self._seen:
            return None
        if now != self._candidate:
            # Somebody may still be writing: half a file can be a valid one.
            self._candidate = now
            return None
        try:
            found = self._load(self.in_force)
        except Exception as error:  # whatever is wrong with it, the watch goes on
            self._taken = False
            _log.warning("web configuration not taken", extra={"fields": {"reason": str(error)}})
            return None
        self._taken = True
        _log.info("web configuration taken", extra={"fields": {"file": str(self._path)}})
        return found

    def family(self) -> Family:
        """Whether the newest version of the files is the one in force."""
        return Family(
            name="perfsdk_exporter_web_config_last_reload_successful",
            kind="gauge",
            unit="",
            help="1 when the web configuration in force is what its files hold, 0 when not.",
            values={(): float(self._taken)},
        )

    def _load(self, running: InForce | None) -> InForce:
        self._seen = self._candidate = _signature(self._files)
        config = read_web_config(self._path)
        # Before they are read, so that a change in between is one that is seen.
        self._files = [self._path, *(config.tls.files if config.tls else ())]
        self._seen = self._candidate = _signature(self._files)
        context = _context(self._path, config)
        if running is None:
            return InForce(config, context, _passwords(config), _bucket(config))
        lost = _lost(running.config, config)
        if lost:
            raise WebConfigError(
                f"{self._path}: the new file has {lost} no more; restart to serve without"
            )
        same_users = config.users == running.config.users
        same_limit = config.rate_limit == running.config.rate_limit
        return InForce(
            config,
            context,
            running.passwords if same_users else _passwords(config),
            running.bucket if same_limit else _bucket(config),
        )


def _lost(running: WebConfig, new: WebConfig) -> str:
    """A protection that the new file takes away; a file that is cut off would do so."""
    if running.users and not new.users:
        return "basic_auth_users"
    if running.tls is None:
        return ""
    if new.tls is None:
        return "tls_server_config"
    if new.tls.client_auth < running.tls.client_auth:
        return "that client_auth_type"
    if running.tls.allowed_sans and not new.tls.allowed_sans:
        return "client_allowed_sans"
    return ""


def _context(path: Path, config: WebConfig) -> ssl.SSLContext | None:
    try:
        return make_context(config.tls) if config.tls else None
    except WebConfigError as error:
        raise WebConfigError(f"{path}: {error}") from error


def _passwords(config: WebConfig) -> Passwords | None:
    return Passwords(config.users) if config.users else None


def _bucket(config: WebConfig) -> TokenBucket | None:
    return TokenBucket(config.rate_limit) if config.rate_limit else None


def _signature(files: Iterable[Path]) -> _Signature:
    return tuple(map(_state, files))


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
