"""Log lines are one line each and read back as what was logged."""

import json
import logging

import pytest

from perfsdk_exporter import logs


@pytest.fixture
def format_record():
    """`format_record(formatter, message, **fields)` is the line for a record."""

    def line_of(formatter, message, exc_info=None, **fields):
        record = logging.makeLogRecord(
            {"msg": message, "levelname": "INFO", "created": 0.0, "fields": fields}
        )
        record.exc_info = exc_info
        return formatter.format(record)

    return line_of


def test_logfmt(format_record):
    """Plain values stand as they are, others are quoted and escaped."""
    line = format_record(logs._LogfmtFormatter(), "file skipped", file="/a/b.seg", reason='a\n"b"')
    expected = (
        r'ts=1970-01-01T00:00:00.000Z level=info msg="file skipped" file=/a/b.seg '
        r'reason="a\n\"b\""'
    )
    assert expected == line


def test_json(format_record):
    """Each line is an object."""
    line = format_record(logs._JsonFormatter(), "listening", address="[::1]:8979", series=3)
    expected = {
        "ts": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "msg": "listening",
        "address": "[::1]:8979",
        "series": 3,
    }
    assert expected == json.loads(line)


@pytest.mark.parametrize("formatter", [logs._LogfmtFormatter(), logs._JsonFormatter()])
def test_a_traceback_is_one_line(formatter, format_record):
    """An error of ours does not break up into lines that no collector puts together."""
    try:
        raise ValueError("boom")
    except ValueError as error:
        line = format_record(formatter, "failed", (type(error), error, error.__traceback__))
    assert "boom" in line
    assert "\n" not in line
