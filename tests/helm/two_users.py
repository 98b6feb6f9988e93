"""Runs application and exporter of a manifest as the users, groups and modes that it gives them."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import HOST, free_port, http_get, require, start_process

APPLICATION = """
import sys, time
from pathlib import Path
from fastapi import FastAPI
from fastapi.testclient import TestClient
from perfsdk import instrument

app = FastAPI()
instrument(app)
app.get("/orders")(lambda: [])
with TestClient(app) as client:
    for _ in range(int(sys.argv[1])):
        client.get("/orders")
    Path(sys.argv[2]).touch()
    sys.stdin.read() if sys.argv[3] == "stay" else None
"""


def need_root():
    """Only root may become other users; as anybody else the test is left out."""
    if os.getuid() != 0:
        pytest.skip("only root can run programs as two other users")


def volume(path, fs_group):
    """What the kubelet makes of an emptyDir: root's, for everybody, of the pod's group if any."""
    path.mkdir()
    if fs_group is not None:
        os.chown(path, 0, fs_group)
    path.chmod(0o777 if fs_group is None else 0o2777)
    for above in path.parents:
        if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    return path


def become(user, fs_group):
    """The beginning of a command that runs as this user, in the pod's group, with no rights."""
    groups = "--clear-groups" if fs_group is None else f"--groups={fs_group}"
    return [
        *(require("setpriv"), f"--reuid={user}", f"--regid={user}", groups),
        *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
    ]


@contextmanager
def application(user, fs_group, directory, mode, tmp_path, requests, name, *, stays=True):
    """A process that has served so many requests, and stays or has ended."""
    served = directory.parent / f"{name}-served"
    environment = {"PERFSDK_DIR": str(directory), "PERFSDK_DIR_MODE": mode}
    how = "stay" if stays else "end"
    command = [*become(user, fs_group), sys.executable, "-c", APPLICATION]
    yield from ()
