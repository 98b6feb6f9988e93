"""Runs functions in forked children and programs in new interpreters, and never hangs."""

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 20


def in_child(work):
    """What `work()` returned in a forked child, through JSON; a failure there fails here."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a deadlock ends the child
            signal.alarm(MOST_SECONDS)
            os.write(sink, json.dumps(work()).encode())
            status = 0
        except BaseException:  # the child must never return into pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert 0 == status, f"the child ended with status {status}"
    return json.loads(answer)


def run(script, *arguments):
    """Run a script in a new interpreter; the finished process, which succeeded."""
    finished = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert 0 == finished.returncode, (finished.returncode, finished.stderr)
    return finished


def start(script, *arguments):
    """Start a script in a new interpreter with pipes; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
