"""Reads `--web.config.file`, in the format of Prometheus's exporter-toolkit, strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perfsdk_exporter.web.sections import Section, WebConfigError, parse
from perfsdk_exporter.web.tls_settings import TlsSettings, read_tls

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")

_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, as in exporter-toolkit, and the values of those that have few."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DURATION = re.compile(f"({_DURATION_PART.pattern})+")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `burst` requests at once, and one more every `interval_seconds`."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The whole file. `users` are bcrypt hashes by name; empty is no authentication."""

    tls: TlsSettings | None
    users: Mapping[str, str]
    headers: Mapping[str, str]
    rate_limit: RateLimit | None


def read_web_config(path: Path) -> WebConfig:
    """Read the file; paths in it are relative to its directory.

    Raises:
        WebConfigError: it cannot be read, or something in it cannot be honoured.
    """
    try:
        top = parse(path.read_text("utf-8"))
        tls = read_tls(top.section("tls_server_config"), path.parent)
        http = top.section("http_server_config")
        # Either is right: this server speaks HTTP/1.1, which is what every client falls back to.
        http.flag("http2", default=True)
        headers = _headers(http.section("headers"))
        http.end()
        users = _users(top.section("basic_auth_users"))
        rate_limit = _rate_limit(top.section("rate_limit"))
        top.end()
    except OSError as error:
        raise WebConfigError(f"{path}: {error.strerror}; give a file we may read") from error
    except UnicodeDecodeError as error:
        raise WebConfigError(f"{path}: not UTF-8; write it as YAML in UTF-8") from error
    except WebConfigError as error:
        raise WebConfigError(f"{path}: {error}") from error
    return WebConfig(tls=tls, users=users, headers=headers, rate_limit=rate_limit)


def bcrypt_cost(hashed: str) -> int:
    """The cost of a hash of `WebConfig.users`: a check takes twice as long for each step."""
    return int(hashed[4:6])


def _users(section: Section) -> dict[str, str]:
    users = {}
    for name in list(section):
        hashed = section.text(name)
        if not name or ":" in name:
            raise section.error(name, "a name is not empty and has no colon")
        found = _BCRYPT.fullmatch(hashed)
        if found is None or not 4 <= int(found["cost"]) <= 31:
            # The text may be a password in the clear: it is not repeated.
            raise section.error(name, "not a bcrypt hash; make one with: htpasswd -nBC 10 ''")
        users[name] = hashed
    return users


def _headers(section: Section) -> dict[str, str]:
    headers = {}
    for name in list(section):
        if name not in _HEADERS:
            raise section.error(name, f"cannot be set; give some of {', '.join(_HEADERS)}")
        value, allowed = section.text(name), _HEADERS[name]
        if value and allowed and value not in allowed:
            raise section.error(name, f"{value!r}: give {' or '.join(allowed)}")
        if not value.isprintable() or not value.isascii():
            raise section.error(name, "give plain text in one line")
        if value:
            headers[name] = value
    return headers


def _rate_limit(section: Section) -> RateLimit | None:
    text = section.text("interval") or "0"
    burst = section.text("burst")
    section.end()
    if text != "0" and not _DURATION.fullmatch(text):
        raise section.error("interval", f"{text!r}: give a duration such as 1s or 500ms")
    parts = _DURATION_PART.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds == 0:
        return None
    if not burst.isdecimal() or int(burst) < 1:
        raise section.error("burst", "give the number of requests at once, from 1")
    return RateLimit(seconds, int(burst))
