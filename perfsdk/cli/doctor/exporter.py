"""Asks an exporter's page whether it reads the processes that the directory shows."""

import math
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from perfsdk.catalog import PROCESS_START_TIME
from perfsdk.cli.doctor.report import Section, counted, note, table
from perfsdk.cli.doctor.segments import Reading

DEFAULT_URL = "http://127.0.0.1:8979/metrics"
TIMEOUT_SECONDS = 5.0

_SAY_WHERE = "say with --exporter where its page is"
_SEGMENTS = "perfsdk_exporter_segments"
_BUILD = "perfsdk_exporter_build_info"
_MOST_BYTES = 8 << 20
_READINGS = 3
"""How often directory and page are compared: a worker may begin or end in between."""

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.ASCII)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.ASCII)


class Page(NamedTuple):
    """What an exporter tells; `segments` counts files by state."""

    version: str
    segments: dict[str, int]
    started: set[float]


class NoPageError(Exception):
    """There is no page: why, and what to do about it."""

    def __init__(self, why: str, what_to_do: str) -> None:
        super().__init__(why)
        self.what_to_do = what_to_do


class ProtectedError(Exception):
    """There is an exporter, and it does not show its page to everybody; the message says why."""


def complete_url(text: str) -> str:
    """The address of the page; without a path it is `/metrics`.

    Raises:
        ValueError: it is no address of HTTP.
    """
    parts = urlsplit(text)
    usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    # A password has no place on a command line.
    if not usable or parts.username is not None or not text.isprintable() or " " in text:
        raise ValueError(text)
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def examine(url: str, read: Callable[[], Reading | None]) -> Section:
    """Whether an exporter answers, and whether it shows what `read` finds in the directory."""
    title = f"Exporter at {url}"
    try:
        for _ in range(_READINGS):
            before = read()
            page = fetch(url)
            problems = _differences(url, page, before) if before is not None else []
            if not problems:
                break
    except ProtectedError as error:
        return Section(title, note(f"answers, but {error}: what it reads cannot be compared"))
    except NoPageError as error:
        problem = f"no exporter at {url}: {error}; {error.what_to_do}"
        return Section(title, note("not reached"), [problem])
    rows = [("version", page.version)]
    rows += [(f"{state} segments", str(number)) for state, number in page.segments.items()]
    return Section(title, table(rows), problems)


def fetch(url: str) -> Page:
    """Ask for the few metrics that are needed.

    Raises:
        NoPageError: nobody answers, or with something else.
        ProtectedError: an exporter answers, without its page.
    """
    wanted = urlencode([("name[]", name) for name in (_SEGMENTS, _BUILD, PROCESS_START_TIME.name)])
    address = f"{url}{'&' if urlsplit(url).query else '?'}{wanted}"
    request = urllib.request.Request(address, headers={"Accept": "text/plain"})  # noqa: S310 - http or https, see complete_url
    # Without the proxies of the environment: they do not lead to a neighbour.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            text = response.read(_MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(error.code) from error
    except urllib.error.URLError as error:
        raise _unreached(error.reason) from error
    except (OSError, HTTPException, UnicodeError) as error:
        raise _unreached(error) from error
    return parse_page(text)


def parse_page(text: str) -> Page:
    """Read the text format as far as it is needed.

    Raises:
        NoPageError: it is not an exporter's.
    """
    version = ""
    segments: dict[str, int] = {}
    started: set[float] = set()
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        name, labels, value = sample[1], dict(_LABEL.findall(sample[2] or "")), _real(sample[3])
        if name == _BUILD:
            version = labels.get("version", "")
        elif name == _SEGMENTS and "state" in labels and value is not None:
            segments[labels["state"]] = int(value)
        elif name == PROCESS_START_TIME.name and value is not None:
            started.add(value)
    if not version:
        raise NoPageError("something else answers there", _SAY_WHERE)
    return Page(version, segments, started)


def _differences(url: str, page: Page, reading: Reading) -> list[str]:
    """What the page does not show as the directory does."""
    # Files that it alone finds wrong, such as one with a value that no process writes.
    spoiled = max(0, page.segments.get("unreadable", 0) - len(reading.unreadable))
    problems = []
    if spoiled:
        problems.append(
            f"the exporter at {url} cannot use {counted(spoiled, 'file')} that the doctor can "
            "read; its log names each with the reason"
        )
    shown, found = page.segments.get("live", 0), len(reading.live)
    strangers = bool(page.started and reading.started and not page.started & reading.started)
    if strangers or shown not in (found, found - spoiled):
        which = "other processes" if shown == found else f"{shown} live segments, not {found}"
        problems.append(
            f"the exporter at {url} reads {which}: another directory; give both it and the "
            "doctor with --dir that of the application, or say with --exporter where the right "
            "one is"
        )
    return problems


def _refused(status: int) -> Exception:
    if status in (401, 403):
        return ProtectedError("wants a name and a password")
    if status in (429, 503):
        return ProtectedError(f"is busy ({status})")
    return NoPageError(f"what is there answers {status}", _SAY_WHERE)


def _unreached(reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ProtectedError("its certificate is not trusted here")
    if isinstance(reason, ssl.SSLError):
        if "WRONG_VERSION_NUMBER" in str(reason):
            return NoPageError("it speaks no TLS", "give --exporter with http://")
        return ProtectedError("wants a certificate of the client")
    if isinstance(reason, TimeoutError):
        return NoPageError(f"no answer within {TIMEOUT_SECONDS:g} s", _SAY_WHERE)
    if isinstance(reason, (ConnectionResetError, HTTPException)):
        return NoPageError("it speaks no HTTP", "if it has TLS, give --exporter with https://")
    why = reason.strerror if isinstance(reason, OSError) else None
    return NoPageError(why or str(reason), f"start perfsdk-exporter, or {_SAY_WHERE}")


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
