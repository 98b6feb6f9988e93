"""`perfsdk doctor` tells what perfsdk counts about itself, and the settings with their origins."""

import os
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.catalog import (
    HTTP_SERVER_REQUEST_DURATION,
    INTEGRATION_INFO,
    UNRESOLVED_ROUTES,
    WORKERS,
)
from perfsdk.cli.__main__ import main
from perfsdk.cli.doctor.in_force import find_settings
from perfsdk.cli.doctor.report import WIDTH, Section, render, table
from perfsdk.settings import Settings
from perfsdk.testing import Recording
from tests.cli.doctoring import examine_files, run_doctor

WORDS = st.text(string.ascii_letters, min_size=1, max_size=40)
PLAIN_TEXT = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VARIABLES = ("PERFSDK_DIR", "PERFSDK_DIR_MODE", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
             "PERFSDK_SEGMENT_SIZE_BYTES", "PERFSDK_ROUTE_LABELS", "PERFSDK_LATENCY_OBJECTIVE",
             "PERFSDK_EXCLUDE", "PERFSDK_ENABLED", "PERFSDK_NOTHING")  # fmt: skip


@pytest.fixture
def recorder(perfsdk_dir):
    """What this process records into the directory of the test."""
    with Recording(perfsdk_dir) as recording:
        recording.recorder.gauge(WORKERS).set((), 1.0)
        yield recording.recorder


def test_the_status_of_each_library_is_told(recorder, capsys):
    """Active and disabled ones are no problem, the others are; those not imported are named."""
    info = recorder.gauge(INTEGRATION_INFO)
    info.set(("redis", "99.1", "unsupported"), 1.0)
    info.set(("sqlalchemy", "2.0.1", "failed"), 1.0)
    info.set(("sqlite3", "3.40.1", "active"), 1.0)
    report, problems = examine_files(capsys)
    assert "3.40.1 active 1 worker" == report.row("sqlite3")
    assert report.row("not").startswith("imported: MySQLdb, aio")
    assert [
        "redis 99.1 is not known and not measured; update perfsdk, or install one that it knows",
        "sqlalchemy 2.0.1 could not be measured; the application's log says why, please report it",
    ] == problems


def test_what_was_lost_is_counted_and_explained(recorder, capsys):
    """An internal error, series that were turned away, and routes without a template."""
    for _ in range(2):
        recorder.count_error("exchange.record")
    recorder.dropped("http_server_request_duration_seconds", "http_route")
    recorder.dropped("cache_requests_total", "")
    recorder.counter(UNRESOLVED_ROUTES).add(("starlette", "Odd"), 3.0)
    report, problems = examine_files(capsys)
    assert "inside perfsdk 2" == report.row("errors")
    assert "without a series 2" == report.row("values")
    assert "a route without template 3" == report.row("of")
    assert [
        (
            "cache_requests_total found no room for new series 1 time; raise "
            "PERFSDK_SEGMENT_SIZE_BYTES or make room in the directory"
        ),
        (
            "http_server_request_duration_seconds has too many values of label http_route, 1 went "
            "to <overflow>; let fewer values of http_route come about"
        ),
        (
            "2 errors inside perfsdk in exchange.record; the application is not affected, its log "
            'has the traceback at "perfsdk: exchange.record failed", please report it'
        ),
        (
            "3 requests of a route of starlette that tells no template (Odd), shown as "
            "<unresolved>; update perfsdk, or report the class"
        ),
    ] == problems


def test_what_ended_workers_counted_is_told_too(recorder, capsys):
    """Counters of a process whose file is there; its libraries are nobody's any more."""
    recorder.gauge(INTEGRATION_INFO).set(("redis", "99.1", "unsupported"), 1.0)
    recorder.count_error("exchange.record")
    recorder.writer.close()
    report, problems = examine_files(capsys)
    assert "inside perfsdk 1" == report.row("errors")
    assert "99.1" not in report.text
    assert 2 == len(problems)  # no worker reports, and the error


def test_an_application_without_routes_has_no_problem(recorder, capsys):
    """For a plain callable `<unresolved>` is the route; only a counted class is a problem."""
    labels = {"http_request_method": "GET", "http_route": "<unresolved>"}
    names = HTTP_SERVER_REQUEST_DURATION.labels
    values = tuple(labels.get(name, "") for name in names)
    for _ in range(5):
        recorder.histogram(HTTP_SERVER_REQUEST_DURATION).observe(values, 0.01)
    report, problems = examine_files(capsys)
    assert [] == problems
    assert "under <unresolved> 5" == report.row("requests")


def test_settings_tell_where_they_come_from(recorder, perfsdk_dir, capsys, monkeypatch):
    """The variable, the argument, or the default."""
    monkeypatch.setenv("PERFSDK_EXCLUDE", "/internal/*,!/health")
    monkeypatch.setenv("PERFSDK_ROUTE_LABELS", "plan=free|pro")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop")
    report, problems = examine_files(capsys)
    assert [] == problems
    assert "/internal/*, !/health (PERFSDK_EXCLUDE)" == report.row("exclude")
    assert "plan=free|pro (PERFSDK_ROUTE_LABELS)" == report.row("route_labels")
    assert "shop (OTEL_RESOURCE_ATTRIBUTES)" == report.row("service")
    assert "0700 (default)" == report.row("directory_mode")
    assert "16777216 = 16.0 MiB (default)" == report.row("segment_size_bytes")
    assert "(PERFSDK_DIR)" in " ".join(report.text.split())
    report, _ = examine_files(capsys, "--service", "mail", "--dir", perfsdk_dir)
    assert "mail (--service)" == report.row("service")
    assert "(--dir)" in report.text


def test_each_wrong_variable_is_one_line(recorder, capsys, monkeypatch):
    """All of them, not the first alone; the defaults are shown in their place."""
    monkeypatch.setenv("PERFSDK_SEGMENT_SIZE_BYTES", "12")
    monkeypatch.setenv("PERFSDK_METRICS_PATH", "metrics")
    monkeypatch.setenv("PERFSDK_DIRECTORY", "/somewhere")
    report, problems = examine_files(capsys)
    assert [
        "PERFSDK_SEGMENT_SIZE_BYTES=12: give a number of bytes from 1048576 to 268435456",
        "PERFSDK_METRICS_PATH=metrics: give a path such as /metrics, of letters, digits and ._~-",
        (
            "PERFSDK_DIRECTORY is no variable of perfsdk and changes nothing; did you mean "
            "PERFSDK_DIR?"
        ),
    ] == problems
    assert "none (default, PERFSDK_METRICS_PATH is wrong)" == report.row("metrics_path")


def test_what_instrument_would_refuse_is_told(recorder, capsys, monkeypatch):
    """A setting that can be read and yet cannot work, by asking `instrument` itself."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", "rediss")
    _, problems = examine_files(capsys)
    (problem,) = problems
    assert problem.startswith("disabled_integrations: rediss is not one of MySQLdb, aio")


def test_perfsdk_turned_off_is_a_problem(recorder, capsys, monkeypatch):
    """Who asks the doctor wants to be measured."""
    monkeypatch.setenv("PERFSDK_ENABLED", "0")
    _, problems = examine_files(capsys)
    assert ["PERFSDK_ENABLED turns perfsdk off, nothing is measured; unset it"] == problems


@given(st.dictionaries(st.sampled_from(VARIABLES), VALUES))
def test_no_environment_breaks_the_doctor(environment):
    """Each setting is what the variable says or the default, and a wrong one is a problem."""
    found = find_settings(environment, directory=None, service=None)
    assert set(found.origins) == {*Settings.__dataclass_fields__}
    for name, origin in found.origins.items():
        if origin == "default" or origin.endswith("is wrong"):
            assert getattr(Settings(), name) == getattr(found.settings, name)
        if origin.endswith("is wrong"):
            assert found.problems


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exporter", "127.0.0.1:8979"], "--exporter: give an address such as http://"),
        (["--exporter", "ftp://127.0.0.1"], "--exporter: give an address such as http://"),
        (["--exporter", "http://anna:secret@host"], "--exporter: give an address such as http://"),
        (["--exporter", "http://host:port"], "--exporter: give an address such as http://"),
        (["--service", ""], "service='': give a name"),
        (["--dir", ""], "directory='': give the path of a directory"),
    ],
)
def test_wrong_usage_is_one_line(arguments, said, capsys):
    """Exit code 2, and no report."""
    assert 2 == main(["doctor", *arguments])
    shown = capsys.readouterr()
    assert "" == shown.out
    assert shown.err.startswith(f"perfsdk doctor: {said}")
    assert 1 == shown.err.count("\n")


def test_a_terminal_without_unicode_gets_escapes(recorder, monkeypatch):
    """A name that cannot be shown does not end the doctor."""
    command = [sys.executable, "-m", "perfsdk.cli", "doctor", "--service", "café"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PERFSDK_METRICS_PATH": "/metrics"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (0, b"") == (done.returncode, done.stderr)
    assert rb"caf\xe9" in done.stdout
    assert done.stdout.endswith(b"\n\nno problems\n")


def test_who_serves_the_page_itself_needs_no_exporter(recorder, capsys, monkeypatch):
    """With `metrics_path` no exporter is asked, and the last line says that all is well."""
    monkeypatch.setenv("PERFSDK_METRICS_PATH", "/metrics")
    report = run_doctor(capsys)
    assert 0 == report.code
    assert report.text.endswith("\n\nno problems\n")
    assert "serves the page itself at /metrics" in report.text


@given(st.lists(st.tuples(st.sampled_from(["a", "long name"]), PLAIN_TEXT), max_size=5))
def test_a_table_is_aligned_and_fits_the_terminal(rows):
    """Second columns begin at the same place, no line is too long, and no word is lost."""
    lines = table(rows)
    assert all(len(line) <= WIDTH for line in lines)
    starts = {line.index(line.split(maxsplit=1)[0][0]) for line in lines if line.strip()}
    assert starts <= {2, max((len(name) for name, _ in rows), default=0) + 4}
    shown = "".join("".join(line.split()) for line in lines)
    assert "".join("".join((name + text).split()) for name, text in rows) == shown


@given(st.lists(st.text(max_size=80), max_size=5))
def test_each_problem_is_one_line(problems):
    """Whatever is in a problem, it is told once and in one line; without any it is said so."""
    lines = render([Section("Title", [], problems)]).split("\n")
    assert "" == lines[-1]
    if problems:
        assert len(set(problems)) >= len(lines[2:-1])
        assert all(line.startswith("problem: ") for line in lines[2:-1])
    else:
        assert ["Title", "", "no problems", ""] == lines
