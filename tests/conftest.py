"""Every test starts clean, fails on an error of ours, and leaves nothing behind."""

import gc
import os
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from perfsdk import guard
from tests.servers import MISSING_PROGRAM, start_redis

OUR_VARIABLES = ("PERFSDK_", "OTEL_")
# multiprocessing keeps these for the life of the process.
HELPER_PROCESSES = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_caller(tmp_path_factory):
    """Servers of wider fixtures too see none of the caller's settings, nor the real directory."""
    with pytest.MonkeyPatch.context() as patch:
        _clean_environment(patch, tmp_path_factory.mktemp("session-segments"))
        yield


@pytest.fixture(autouse=True)
def perfsdk_dir(_no_settings_of_the_caller, monkeypatch, tmp_path_factory):
    """The directory of this test's segments, in PERFSDK_DIR for it and the processes it starts."""
    directory = tmp_path_factory.mktemp("segments")
    _clean_environment(monkeypatch, directory)
    return directory


def _clean_environment(patch, directory):
    for name in list(os.environ):
        if name.startswith(OUR_VARIABLES):
            patch.delenv(name)
    patch.setenv("PERFSDK_DIR", str(directory))


@pytest.fixture
def swallow_errors():
    """For tests of the guard: errors of ours are swallowed, as they are in an application."""


@pytest.fixture(autouse=True)
def _nothing_hidden_nothing_left(request, monkeypatch):
    """Errors of ours are raised; what a test leaves behind is removed and fails the test."""
    monkeypatch.setattr(guard, "reraise", "swallow_errors" not in request.fixturenames)
    children_before = _children()
    yield
    left = [*_instrumentation_left(), *_threads_left(), *_gc_callbacks_left()]
    left += _children_left(children_before)
    guard.reset()
    if left:
        pytest.fail(f"the test left behind: {'; '.join(left)}", pytrace=False)


def _instrumentation_left():
    instrumentation = sys.modules.get("perfsdk.instrumentation")
    if instrumentation is None or instrumentation._running is None:
        return []
    instrumentation.uninstrument()
    return ["an instrumented application (call uninstrument)"]


def _threads_left():
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("perfsdk")]
    for thread in ours:
        thread.join(timeout=5)  # they were told to end, which takes a moment
    return [f"thread {thread.name}" for thread in ours if thread.is_alive()]


def _gc_callbacks_left():
    names = [getattr(callback, "__module__", None) or "" for callback in gc.callbacks]
    return [f"a gc callback of {name}" for name in names if name.startswith("perfsdk")]


def _children_left(before):
    left = sorted(_children() - before)
    for pid in left:
        with suppress(OSError):  # it ended, or was waited for, meanwhile
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return [f"child process {pid}" for pid in left]


def _children():
    """PIDs of this process's children, without multiprocessing's own helpers."""
    pids = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended meanwhile
            pids.update(map(int, listing.read_text().split()))
    return {pid for pid in pids if not _is_helper(pid)}


def _is_helper(pid):
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # gone meanwhile
    return any(name in command for name in HELPER_PROCESSES)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real Redis for the whole run; a test empties what it needs empty."""
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def pytest_terminal_summary(terminalreporter):
    """Say loudly at the end which programs were missing and how many tests that cost."""
    missing = Counter()
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, program = reason.partition(MISSING_PROGRAM)
        if found:
            missing[program] += 1
    if missing:
        terminalreporter.section("programs missing", red=True, bold=True)
    for program, count in sorted(missing.items()):
        terminalreporter.write_line(
            f"{program} is not installed: {count} test(s) left out", red=True, bold=True
        )
