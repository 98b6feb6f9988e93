"""Application and exporter of the manifest share a directory though they are two users."""

import os
import re
import stat
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.servers import HOST, http_get, start_process, wait_until

MANIFEST = Path(__file__).parent.parent.parent / "deploy" / "kubernetes" / "shop.yaml"

# All that is needed is imported before: Python may lie where only root can read.
BECOME = """
import ast, importlib, os, pkgutil, sys, time
import perfsdk, perfsdk_exporter
for package in (perfsdk, perfsdk_exporter):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not {"cli", "frameworks", "integrations", "__main__"} & set(found.name.split(".")):
            importlib.import_module(found.name)
from perfsdk_exporter.__main__ import main
"codecs too".encode("idna")
user, groups = ast.literal_eval(sys.argv.pop(1))
os.setgroups(groups)
os.setgid(user)
os.setuid(user)
"""
APPLICATION = """
import asyncio
async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def call(app):
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        pass
    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
app = perfsdk.instrument(answer)
for _ in range(3):
    asyncio.run(call(app))
print("served", flush=True)
while len(sys.argv) > 1:
    time.sleep(60)
"""


class Pod(NamedTuple):
    """What the manifest says of the two containers' users, their group, and the directory."""

    application: int
    exporter: int
    group: int
    directory: Path
    mode: str
    exporter_args: tuple[str, ...]


@pytest.fixture(scope="module")
def pod():
    """The pod of the manifest; only root can become its users."""
    if os.getuid() != 0:
        pytest.skip("only root can run programs as two other users")
    spec = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]
    (exporter,), (app,) = spec["initContainers"], spec["containers"]
    environment = {one["name"]: one.get("value") for one in app["env"]}
    return Pod(
        app["securityContext"]["runAsUser"],
        exporter["securityContext"]["runAsUser"],
        spec["securityContext"]["fsGroup"],
        Path(environment["PERFSDK_DIR"]),
        environment["PERFSDK_DIR_MODE"],
        tuple(exporter["args"]),
    )


@pytest.fixture
def directory(pod):
    """PERFSDK_DIR below what the kubelet makes of the emptyDir: root's, of the pod's group.

    Not in `tmp_path`: pytest shuts the directory above it against other users at every start.
    """
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o711)
        volume = Path(above) / "volume"
        volume.mkdir()
        os.chown(volume, 0, pod.group)
        volume.chmod(0o2777)
        yield volume / pod.directory.name


def as_user(user, group, program, *args):
    """A command that runs a program as a user of the pod."""
    return [sys.executable, "-c", BECOME + program, str((user, [group])), *args]


def application(pod, directory, mode, *args):
    """The command and the environment of a worker that serves three requests, and may stay."""
    command = as_user(pod.application, pod.group, APPLICATION, *args)
    return command, {"PERFSDK_DIR": str(directory), "PERFSDK_DIR_MODE": mode}


@contextmanager
def live_worker(pod, directory, log, mode):
    """A worker that has served its requests and stays."""
    command, environment = application(pod, directory, mode, "stay")
    served = lambda: "served" in log.read_text()  # noqa: E731 - a name for the line below
    with start_process(command, ready=served, log=log, env=environment):
        yield


def ended_worker(pod, directory, mode):
    """A worker that has served its requests and is gone."""
    command, environment = application(pod, directory, mode)
    subprocess.run(command, check=True, env={**os.environ, **environment}, timeout=60)


@contextmanager
def exporter(pod, directory, log):
    """The exporter with the arguments of the manifest; the address of its metrics."""
    args = [
        arg.replace(str(pod.directory), str(directory)).replace(":8979", f"{HOST}:0")
        for arg in pod.exporter_args
    ]
    command = as_user(pod.exporter, pod.group, "sys.exit(main())", *args)

    def address():
        found = re.search(r" url=(\S+)", log.read_text())
        return found and found[1]

    with start_process(command, ready=address, log=log):
        yield address()


def requests(page):
    """How many requests the page counts."""
    found = re.findall(
        r"^http_server_request_duration_seconds_count{.*} (\S+)$", page, re.MULTILINE
    )
    return sum(map(float, found))


def segments(page):
    """Files by state."""
    found = re.findall(r'^perfsdk_exporter_segments{state="(\w+)"} (\S+)$', page, re.MULTILINE)
    return {state: float(count) for state, count in found}


def test_the_exporter_reads_and_folds_what_another_user_wrote(pod, directory, tmp_path):
    """Live and ended workers of one user are on the page of the other, who folds the ended one.

    After that a new worker writes on, and the page has all requests.
    """
    assert pod.application != pod.exporter
    with ExitStack() as stack:
        url = stack.enter_context(exporter(pod, directory, tmp_path / "exporter.log"))
        assert requests(http_get(url)) == 0
        stack.enter_context(live_worker(pod, directory, tmp_path / "live.log", pod.mode))
        ended_worker(pod, directory, pod.mode)
        assert requests(http_get(url)) == 6

        def folded():
            page = http_get(url)
            return page if segments(page)["dead"] == 0 else None

        page = wait_until(folded, message="the ended worker is folded")
        assert {"live": 1, "dead": 0, "unreadable": 0} == segments(page)
        assert requests(page) == 6
        stack.enter_context(live_worker(pod, directory, tmp_path / "later.log", pod.mode))
        assert requests(http_get(url)) == 9
        assert (directory / "archive.arc").stat().st_uid == pod.exporter
    assert pod.application == directory.stat().st_uid
    for path in (directory, *directory.iterdir()):
        assert pod.group == path.stat().st_gid, path
        assert not path.stat().st_mode & stat.S_IRWXO, path


def test_without_the_mode_for_a_group_the_exporter_sees_nothing(pod, directory, tmp_path):
    """What the manifest sets is needed: with 0700 the other user is refused, and says so."""
    ended_worker(pod, directory, "0700")
    refused = pytest.raises(AssertionError, match=f"belongs to user {pod.application}")
    with refused, exporter(pod, directory, tmp_path / "exporter.log"):
        pass
