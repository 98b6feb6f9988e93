"""A fork that Python is not told of, as those of uWSGI, is seen by way of uWSGI's own hook."""

import json
import subprocess
import sys

import pytest

CODE = """
import ctypes, json, os, sys, types

uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
told = []
uwsgi.post_fork_hook = lambda: told.append("application")

from perfsdk.store.fork_hooks import at_fork

for name in ("first", "second"):
    at_fork(
        before=lambda name=name: told.append(f"before {name}"),
        after_in_parent=lambda name=name: told.append(f"parent {name}"),
        after_in_child=lambda name=name: told.append(f"child {name}"),
    )
pid = {fork}()
if pid == 0:
    uwsgi.post_fork_hook()
    print(json.dumps(told), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps(told))
"""
BEFORE, IN_CHILD = ["before second", "before first"], ["child first", "child second"]
IN_PARENT = ["parent first", "parent second"]


@pytest.mark.parametrize(
    ("fork", "parent"),
    [("ctypes.PyDLL(None).fork", []), ("os.fork", [*BEFORE, *IN_PARENT])],
    ids=["Python is not told", "Python is told"],
)
def test_each_call_once(fork, parent):
    """The child calls all in Python's order, once if told twice, and the application's at last."""
    command = [sys.executable, "-c", CODE.replace("{fork}", fork)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    child, told_parent = map(json.loads, printed.splitlines())
    assert [*BEFORE, *IN_CHILD, "application"] == child
    assert parent == told_parent
