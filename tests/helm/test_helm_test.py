"""The script of `helm test` tells a sidecar that serves from one that does not."""

import json
import subprocess
import sys

import pytest

from tests.exporter.certificates import Authority
from tests.helm.rendering import CHART, containers, of_ci, of_kind
from tests.servers import HOST, free_port, http_get, start_process


def asked(url, headers="{}"):
    """What the container of the pod does with these arguments, by its own command."""
    (pod,) = of_kind(of_ci("helm4", "demo"), "Pod").values()
    program, flag, script, _, _ = containers(pod["spec"])["metrics"]["command"]
    assert ("python", "-c") == (program, flag)
    command = [sys.executable, flag, script, url, headers]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def page(perfsdk_dir, tmp_path):
    """Where an exporter serves its metrics."""
    url = f"http://{HOST}:{free_port()}"
    address = url.removeprefix("http://")
    command = [sys.executable, "-m", "perfsdk_exporter", f"--web.listen-address={address}"]
    with start_process(command, ready=lambda: http_get(f"{url}/-/ready"), log=tmp_path / "log"):
        yield f"{url}/metrics"


def test_a_sidecar_that_serves_passes(page):
    """Both pages are asked for, and the pod ends well."""
    done = asked(page)
    assert (0, "") == (done.returncode, done.stderr)
    assert ["/-/ready", "/metrics"] == [
        line.split(": ")[0].removeprefix(page.removesuffix("/metrics"))
        for line in done.stdout.splitlines()
    ]


def test_another_page_and_no_page_fail(page):
    """A page of something else, and a port on which nobody listens, fail with one line each."""
    done = asked(page.replace("/metrics", "/"))
    assert 1 == done.returncode
    assert done.stderr.endswith("/: not a page of perfsdk-exporter\n")
    done = asked(f"http://{HOST}:{free_port()}/metrics")
    assert 1 == done.returncode
    assert "Connection refused" in done.stderr
    assert 1 == done.stderr.count("\n")


def test_tls_and_a_password_are_no_obstacle(perfsdk_dir, tmp_path):
    """With a web configuration the pod sends what the probes send, and trusts any certificate."""
    Authority(tmp_path).issue("server", HOST)
    config = tmp_path / "web.yml"
    # The hash is of the password `probe`.
    config.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        "basic_auth_users: {probe: "
        f"{hashed('probe')}}}\n"
    )
    port = free_port()
    command = [
        *(sys.executable, "-m", "perfsdk_exporter", f"--web.listen-address={HOST}:{port}"),
        *("--web.config.file", config),
    ]
    log = tmp_path / "log"
    with start_process(command, ready=lambda: "listening" in log.read_text(), log=log):
        url = f"https://{HOST}:{port}/metrics"
        assert "401" in asked(url).stderr
        (pod,) = of_kind(of_ci("helm4", "full"), "Pod").values()
        headers = containers(pod["spec"])["metrics"]["command"][-1]
        assert {"Authorization"} == json.loads(headers).keys()
        done = asked(url, headers)
        assert (0, "") == (done.returncode, done.stderr)


def hashed(password):
    """A bcrypt hash that is quick to check."""
    import bcrypt

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def test_the_script_is_the_file_of_the_chart():
    """What the pod runs is files/test.py, to the last character."""
    (pod,) = of_kind(of_ci("helm4", "demo"), "Pod").values()
    script = containers(pod["spec"])["metrics"]["command"][2]
    assert (CHART / "files" / "test.py").read_text() == script
