"""The real program: started, asked over HTTP, checked by promtool, ended by a signal."""

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from perfsdk.catalog import METRICS
from perfsdk.version import __version__
from perfsdk_exporter.__main__ import main
from perfsdk_exporter.web.listening import listen, parse_address
from tests.exporter.certificates import Authority
from tests.exporter.conftest import REQUESTS
from tests.servers import query, require, start_process, start_prometheus, wait_until

EXAMPLES = Path(__file__).parents[2] / "exporter" / "examples"
PROGRAM = [sys.executable, "-m", "perfsdk_exporter"]
# The default directory of a test must not be the one of the machine.
PROGRAM_WITH_ROOT = """
import pathlib, sys
import perfsdk.store.directory
perfsdk.store.directory.SHARED_MEMORY = pathlib.Path(sys.argv.pop(1))
from perfsdk_exporter.__main__ import main
sys.exit(main())
"""


@contextmanager
def exporter(log, *arguments, program=PROGRAM, env=None):
    """The running program; the ports it said that it listens on are in `ports`."""
    args = [*program, "--web.listen-address", "127.0.0.1:0", *map(str, arguments)]

    def listening():
        return re.findall(r"listening\W+address\W+127\.0\.0\.1:(\d+)", log.read_text())

    with start_process(args, ready=listening, log=log, env=env) as process:
        process.ports = [int(port) for port in listening()]
        yield process


def ask(process, path, method="GET", **headers):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", process.ports[0], timeout=10)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory for the segments of this module."""
    directory = tmp_path_factory.mktemp("program") / "segments"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture(scope="module")
def running(directory):
    """One exporter for the tests that only ask."""
    with exporter(directory.parent / "log", "--dir", directory) as process:
        yield process


@pytest.fixture
def recorded(write, directory):
    """A segment with every metric of the catalog in it."""
    series = [(m, tuple(f'{label}-é"' for label in m.labels), [1.0]) for m in METRICS]
    writer = write(directory, *series)
    yield
    path = writer.segment.path
    writer.close()
    path.unlink()


@pytest.mark.usefixtures("recorded")
def test_the_page_in_both_formats(running):
    """Content types are exact; parsers find every metric of the catalog that is for this page."""
    status, headers, body = ask(running, "/metrics")
    expected = (200, "text/plain; version=0.0.4; charset=utf-8")
    assert expected == (status, headers["Content-Type"])
    names = {m.name.removesuffix("_total") for m in METRICS if m.page == "metrics"}
    assert names <= {family.name for family in text(body.decode())}
    assert b"perfsdk_query" not in body
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    status, headers, body = ask(running, "/metrics", Accept=accept)
    expected = (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert expected == (status, headers["Content-Type"])
    assert names <= {family.name for family in openmetrics(body.decode())}
    assert b"perfsdk_query" not in body


@pytest.mark.usefixtures("recorded")
def test_promtool_has_nothing_to_say(running):
    """`promtool check metrics` is silent about our own metrics and the whole catalog."""
    promtool = require("promtool")
    _, _, body = ask(running, "/metrics")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    expected = (0, b"", b"")
    assert expected == (checked.returncode, checked.stdout, checked.stderr)


def test_gzip(running):
    """Compressed when asked, and only then; caches are told."""
    _, headers, body = ask(running, "/metrics", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert b"perfsdk_exporter_build_info" in gzip.decompress(body)
    _, headers, body = ask(running, "/metrics", Accept_Encoding="gzip;q=0")
    assert headers["Content-Encoding"] is None
    assert b"perfsdk_exporter_build_info" in body


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
def test_methods(running, path):
    """GET and HEAD answer with the same status and type, HEAD without a body; others are 405."""
    status, headers, body = ask(running, path)
    assert (status, bool(body)) == (200, True)
    head_status, head_headers, head_body = ask(running, path, "HEAD")
    assert (head_status, head_body) == (200, b"")
    assert headers["Content-Type"] == head_headers["Content-Type"]
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = ask(running, path, method)
        assert status == 405
        assert "GET" in headers["Allow"]


@pytest.mark.parametrize("path", ["/metricz", "/metrics/", "/-/", "/favicon.ico", "/../etc/passwd"])
def test_unknown_paths(running, path):
    """Everything else is 404."""
    assert ask(running, path)[0] == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path, number):
    """Exit code 0 and no traceback, with a connection that is kept open."""
    log = tmp_path / "log"
    with exporter(log, "--dir", tmp_path / "none") as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.ports[0], timeout=10)
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        connection.close()
    assert "Traceback" not in log.read_text()


def test_several_addresses_another_path_and_json(tmp_path):
    """`--web.listen-address` may be repeated, and each log line is an object."""
    log = tmp_path / "log"
    with exporter(
        log,
        *("--web.listen-address", "127.0.0.1:0", "--web.telemetry-path", "/internal/metrics"),
        *("--log.format", "json", "--log.level", "debug", "--dir", tmp_path / "none"),
    ) as process:
        first, second = process.ports
        assert first != second
        for port in process.ports:
            process.ports = [port]
            assert ask(process, "/internal/metrics")[0] == 200
            assert ask(process, "/metrics")[0] == 404
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    urls = [line["url"] for line in lines if line["msg"] == "listening"]
    expected = [f"http://127.0.0.1:{port}/internal/metrics" for port in (first, second)]
    assert expected == urls


@pytest.mark.parametrize(
    ("environment", "service"),
    [
        ({}, "shop"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=my%20shop"}, "my shop"),
    ],
)
def test_the_directory_of_the_service_is_found(tmp_path, write, environment, service, monkeypatch):
    """Without a directory it reads where an SDK with the same environment writes."""
    monkeypatch.setattr("perfsdk.store.directory.SHARED_MEMORY", tmp_path)
    monkeypatch.delenv("PERFSDK_DIR")
    program = [sys.executable, "-c", PROGRAM_WITH_ROOT, tmp_path]
    with exporter(tmp_path / "log", program=program, env=environment) as process:
        assert b"requests_total" not in ask(process, "/metrics")[2]
        name = service.replace(" ", "_")
        root = tmp_path / f"perfsdk-{os.getuid()}"
        write(root / name, (REQUESTS, ("/a",), [7.0]))
        assert b'\nrequests_total{route="/a"} 7.0\n' in ask(process, "/metrics")[2]


def test_several_services_and_none_named(tmp_path, monkeypatch, capsys):
    """It ends with one line that lists them."""
    monkeypatch.setattr("perfsdk.store.directory.SHARED_MEMORY", tmp_path)
    monkeypatch.delenv("PERFSDK_DIR")
    for name in ("shop", "cart"):
        (tmp_path / f"perfsdk-{os.getuid()}" / name).mkdir(parents=True)
    assert main([]) == 2
    assert "cart, shop; say which one with --service" in only_line(capsys)


def only_line(capsys):
    """What was written to standard error, which must be one line of ours."""
    output, error = capsys.readouterr()
    assert not output
    assert error.startswith("perfsdk-exporter: error: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--nonesuch"], "unrecognized arguments: --nonesuch"),
        (["extra"], "unrecognized arguments: extra"),
        (["--web.listen-address", "8979"], "give [HOST]:PORT"),
        (["--web.listen-address", ":99999"], "give [HOST]:PORT"),
        (["--web.telemetry-path", "metrics"], "give a path such as /metrics"),
        (["--web.telemetry-path", "/"], "give a path such as /metrics"),
        (["--web.telemetry-path", "/{x}"], "give a path such as /metrics"),
        (["--log.level", "loud"], "--log.level"),
        (["--log.format", "xml"], "--log.format"),
        (["--service", " "], "give the name of a service"),
        (["--dir", ""], "give the path of a directory"),
        (["--dir"], "expected one argument"),
        (["--web.listen", ":0"], "unrecognized arguments"),
        (["--web.config.file", ""], "give the path of a file"),
        (["--web.max-requests", "-1"], "give a number from 0 to 1000000"),
        (["--web.max-requests", "many"], "give a number from 0 to 1000000"),
        (["--web.max-connections", "0"], "give a number from 1"),
    ],
)
def test_wrong_flags(arguments, part, capsys):
    """One line, exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert part in only_line(capsys)


@pytest.mark.parametrize("below", [".", "below"])
def test_a_directory_that_is_a_file(below, tmp_path, capsys):
    """One line, exit code 2, also when the file is on the way."""
    (tmp_path / "file").write_text("")
    assert main(["--dir", str(tmp_path / "file" / below)]) == 2
    assert "ot a directory" in only_line(capsys)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "No such file or directory; give a file we may read"),
        ("basic_auth_users: {a: b}", "basic_auth_users.a: not a bcrypt hash; make one with"),
        ("tls_server_config: {cert_file: x, key_file: y}", "cert_file: "),
    ],
)
def test_a_wrong_web_configuration(text, part, tmp_path, capsys):
    """One line with file and key, exit code 2."""
    path = tmp_path / "web.yml"
    if text is not None:
        path.write_text(text)
    assert main(["--dir", str(tmp_path), "--web.config.file", str(path)]) == 2
    line = only_line(capsys)
    assert f"--web.config.file {path}: " in line
    assert part in line


def test_prometheus_gets_in(tmp_path, directory):
    """The example with TLS and a password, and a real Prometheus that knows both."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    config = shutil.copy(EXAMPLES / "web-config.yml", tmp_path)
    log = tmp_path / "log"
    with exporter(log, "--dir", directory, "--web.config.file", config) as process:
        (port,) = process.ports
        options = {
            "scheme": "https",
            "tls_config": {"ca_file": str(authority.cert_file)},
            "basic_auth": {"username": "prometheus", "password": "change me"},
        }
        target = f"127.0.0.1:{port}"
        with start_prometheus(tmp_path, [target], scrape_options=options) as prometheus:
            wait_until(lambda: [s for s in query(prometheus.url, "up") if s.value == 1])
    assert f"url=https://{target}/metrics basic_auth=True client_certificates=False" in (
        log.read_text()
    )


def test_a_taken_port(tmp_path, capsys):
    """One line, exit code 1."""
    with listen(parse_address("127.0.0.1:0")) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--dir", str(tmp_path), "--web.listen-address", address]
        assert main(arguments) == 1
    assert f"--web.listen-address {address}: the port is taken" in only_line(capsys)


def test_version(capsys):
    """The program, its version and the Python that runs it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    python = ".".join(map(str, sys.version_info[:3]))
    expected = f"perfsdk-exporter {__version__} (Python {python})\n"
    assert expected == capsys.readouterr().out


def test_the_command_is_installed():
    """`perfsdk-exporter` is what `python -m perfsdk_exporter` is."""
    command = Path(sys.executable).parent / "perfsdk-exporter"
    assert subprocess.check_output([command, "--version"], text=True).startswith("perfsdk-exporter")


def test_every_flag_is_in_the_readme(capsys):
    """The table of flags in the documentation is complete."""
    with pytest.raises(SystemExit):
        main(["--help"])
    flags = set(re.findall(r"--[a-z][a-z.-]+", capsys.readouterr().out)) - {"--help"}
    readme = (Path(__file__).parents[2] / "exporter" / "README.md").read_text()
    documented = re.findall(r"^\| `(--[a-z.-]+)", readme, re.MULTILINE)
    assert flags == set(documented)
