"""Writes log records as one line each, logfmt or JSON, with the fields given in `extra`."""

import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("logfmt", "json")

_PLAIN = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")


def configure_logging(level: str, form: str) -> None:
    """Send all records from `level` (of LEVELS) on to standard error in `form` (of FORMATS)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _LogfmtFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_logfmt(value)}" for key, value in _fields(self, record).items())


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(self, record), default=str)


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    time = datetime.fromtimestamp(record.created, timezone.utc)
    fields = {
        "ts": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "msg": record.getMessage(),
        **getattr(record, "fields", {}),
    }
    if record.exc_info:
        fields["error"] = formatter.formatException(record.exc_info)
    return fields


def _logfmt(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
