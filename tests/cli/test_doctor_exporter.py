"""`perfsdk doctor` tells whether an exporter reads the workers that the directory shows."""

import itertools
import re
import subprocess
import sys
from contextlib import contextmanager, suppress

import bcrypt
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.catalog import PROCESS_START_TIME, WORKERS
from perfsdk.cli.doctor.exporter import NoPageError, complete_url, parse_page
from perfsdk.testing import Recording
from tests.cli.doctoring import run_doctor
from tests.e2e.running import segment_pids, start_exporter, start_uvicorn
from tests.exporter.certificates import Authority
from tests.servers import HOST, free_port, http_get, start_process, wait_until

BEGINNINGS = itertools.count(1.7e9, 0.25)
PASSWORD = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


@contextmanager
def recording_worker(directory):
    """This process as a worker that began at a time of its own."""
    with Recording(directory) as recording:
        recording.recorder.gauge(WORKERS).set((), 1.0)
        recording.recorder.gauge(PROCESS_START_TIME).set(("0",), next(BEGINNINGS))
        yield recording


@contextmanager
def start_protected(directory, tmp_path, configuration):
    """A real exporter with a web configuration; gives its port."""
    port = free_port()
    (tmp_path / "web.yml").write_text(configuration)
    log = tmp_path / "exporter.log"
    args = [sys.executable, "-m", "perfsdk_exporter", "--dir", directory]
    args += ["--web.listen-address", f"{HOST}:{port}"]
    args += ["--web.config.file", tmp_path / "web.yml"]
    with start_process(args, ready=lambda: "msg=listening" in log.read_text(), log=log):
        yield port


def test_a_healthy_application_has_no_problems(perfsdk_dir, tmp_path):
    """Two workers of a real server and a real exporter; the report fits a terminal."""
    with (
        start_uvicorn(tmp_path, workers=2) as shop,
        start_exporter(perfsdk_dir, tmp_path) as served,
    ):

        def both_have_recorded():
            http_get(shop.url)
            return len(segment_pids(perfsdk_dir)) == 2

        wait_until(both_have_recorded)
        pids = " ".join(map(str, segment_pids(perfsdk_dir)))
        command = [sys.executable, "-m", "perfsdk.cli", "doctor", "--exporter", served.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.endswith("\n\nno problems\n")
    assert "Workers: 2 live, 0 ended and not folded yet" in done.stdout
    python = ".".join(map(str, sys.version_info[:3]))
    assert re.search(rf"\n  default +\S+ +{re.escape(python)} +2 +{pids}\n", done.stdout)
    assert re.search(r"\n  live segments +2\n", done.stdout)
    # A path of this test may be longer than a line by itself.
    assert [] == [line for line in done.stdout.split("\n") if len(line) > 80 and "/" not in line]


def test_an_exporter_of_another_directory_is_told(perfsdk_dir, tmp_path, capsys):
    """By its number of workers, and by when they began where the number is the same."""
    other = tmp_path / "other"
    with start_exporter(other, tmp_path) as served, recording_worker(perfsdk_dir):
        report = run_doctor(capsys, "--exporter", served.url)
        (problem,) = report.problems
        assert f"the exporter at {served.url}/metrics reads 0 live segments, not 1: " in problem
        with recording_worker(other):
            report = run_doctor(capsys, "--exporter", served.url)
    (problem,) = report.problems
    assert problem.startswith(f"the exporter at {served.url}/metrics reads other processes: ")
    assert "with --dir" in problem


def test_a_missing_directory_is_compared_too(tmp_path, capsys):
    """An exporter that shows workers tells that the doctor looks at the wrong place."""
    other = tmp_path / "other"
    with start_exporter(other, tmp_path) as served, recording_worker(other):
        arguments = ("--dir", tmp_path / "missing", "--exporter", served.url)
        _, problem = run_doctor(capsys, *arguments).problems
    assert "reads 1 live segments, not 0: another directory" in problem


def test_a_file_that_the_exporter_alone_refuses_is_told(perfsdk_dir, tmp_path, capsys):
    """A value that no process writes: such a worker is not taken for a missing one."""
    with start_exporter(perfsdk_dir, tmp_path) as served, recording_worker(perfsdk_dir) as worker:
        recorder = worker.recorder
        recorder.count_error("x.y")
        recorder.writer.values[recorder._errors["x.y",]] = -1.0
        (problem,) = run_doctor(capsys, "--exporter", served.url).problems
    assert "cannot use 1 file that the doctor can read; its log names each" in problem


def test_an_exporter_with_passwords_is_there(perfsdk_dir, tmp_path, capsys):
    """What it reads cannot be told; that is no problem."""
    configuration = f"basic_auth_users: {{anna: {PASSWORD}}}\n"
    with (
        recording_worker(perfsdk_dir),
        start_protected(perfsdk_dir, tmp_path, configuration) as port,
    ):
        report = run_doctor(capsys, "--exporter", f"http://{HOST}:{port}")
    assert (0, []) == (report.code, report.problems)
    assert "answers, but wants a name and a password" in report.text


def test_an_exporter_with_tls_is_there(perfsdk_dir, tmp_path, capsys):
    """A certificate that is not trusted is no problem; plain HTTP to it is."""
    pair = Authority(tmp_path, "servers").issue("server", HOST)
    configuration = f"tls_server_config: {{cert_file: {pair.cert}, key_file: {pair.key}}}\n"
    with (
        recording_worker(perfsdk_dir),
        start_protected(perfsdk_dir, tmp_path, configuration) as port,
    ):
        secure = run_doctor(capsys, "--exporter", f"https://{HOST}:{port}")
        plain = run_doctor(capsys, "--exporter", f"http://{HOST}:{port}")
    assert (0, []) == (secure.code, secure.problems)
    assert "answers, but its certificate is not trusted here" in secure.text
    assert [
        (
            f"no exporter at http://{HOST}:{port}/metrics: it speaks no HTTP; if it has TLS, give "
            "--exporter with https://"
        )
    ] == plain.problems


def test_what_is_no_exporter_is_told(perfsdk_dir, tmp_path, capsys):
    """Another page, no page, and TLS to a server without."""
    with start_exporter(perfsdk_dir, tmp_path) as served, recording_worker(perfsdk_dir):
        secure = served.url.replace("http:", "https:")
        expected = {
            f"{served.url}/-/ready": "something else answers there; say with --exporter where",
            f"{served.url}/nothing": "what is there answers 404; say with --exporter where",
            f"{secure}/metrics": "it speaks no TLS; give --exporter with http://",
        }
        for url, reason in expected.items():
            (problem,) = run_doctor(capsys, "--exporter", url).problems
            assert problem.startswith(f"no exporter at {url}: {reason}")


def test_an_address_is_completed():
    """A path that is given stays; without one it is the exporter's own."""
    assert "http://host:1/metrics" == complete_url("http://host:1")
    assert "http://host:1/metrics" == complete_url("http://host:1/")
    assert "https://host/a?b=c" == complete_url("https://host/a?b=c")


@given(st.text(max_size=60))
def test_any_address_is_right_or_refused(text):
    """Nothing else than ValueError."""
    with suppress(ValueError):
        assert complete_url(text).startswith("http")


LINES = st.sampled_from(
    [
        'perfsdk_exporter_build_info{version="1",pythonversion="3"} 1.0',
        'perfsdk_exporter_segments{state="live"} 3.0',
        'perfsdk_exporter_segments{state="li\\"ve"} NaN',
        "perfsdk_exporter_segments 3",
        "perfsdk_exporter_segments{ 1 x",
        'process_start_time_seconds{worker="0"} 1.7e+09',
        "process_start_time_seconds +Inf",
    ]
)


@given(st.lists(LINES | st.text(max_size=40)).map("\n".join))
def test_any_page_is_an_exporters_or_refused(text):
    """Nothing else than NoPageError; what it tells is finite."""
    try:
        page = parse_page(text)
    except NoPageError:
        return
    assert page.version
    assert all(isinstance(number, int) for number in page.segments.values())
    assert page.started <= {1.7e9}


def test_a_proxy_of_the_environment_is_not_asked(perfsdk_dir, tmp_path, capsys, monkeypatch):
    """The exporter is a neighbour: no proxy leads there."""
    monkeypatch.setenv("http_proxy", f"http://{HOST}:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with start_exporter(perfsdk_dir, tmp_path) as served, recording_worker(perfsdk_dir):
        assert 0 == run_doctor(capsys, "--exporter", served.url).code
