"""A worker's number is the smallest free one, its own while it lives, and reused afterwards."""

import os
import shutil
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from perfsdk.runtime.worker import WorkerNumber
from perfsdk.store.reader import find_segments
from tests.store.processes import in_child, start

HOLD = """
import sys
from pathlib import Path
from perfsdk.runtime.worker import WorkerNumber
number = WorkerNumber(Path(sys.argv[1]), file_mode=0o600)
print(number.take())
sys.stdin.read()
"""


@pytest.fixture
def make(tmp_path):
    """Makes numbers of one directory, as so many processes would; closed at the end."""
    made = []

    def make_number(directory=tmp_path, file_mode=0o600):
        made.append(WorkerNumber(directory, file_mode=file_mode))
        return made[-1]

    yield make_number
    for number in made:
        number.close()


def files(directory):
    """The names of the files there, sorted."""
    return sorted(os.listdir(directory))


def test_each_has_the_smallest_free_one_and_keeps_it(make, tmp_path):
    """Asking again changes nothing; what is given back is taken by the next."""
    first, second, third = make(), make(), make()
    assert [0, 1, 2, 0, 1] == [each.take() for each in (first, second, third, first, second)]
    second.close()
    assert None is second.take()
    assert [1, 3] == [make().take(), make().take()]
    assert [f"worker-{number}.lock" for number in range(4)] == files(tmp_path)
    assert {0} == {path.stat().st_size for path in tmp_path.iterdir()}


def test_replaced_workers_leave_no_more_files(make, tmp_path):
    """However many come and go, there are as many files as lived at one time; none is a segment."""
    staying = make()
    staying.take()
    for _ in range(50):
        coming = make()
        assert 1 == coming.take()
        coming.close()
    assert ["worker-0.lock", "worker-1.lock"] == files(tmp_path)
    assert [] == find_segments(tmp_path)


def test_a_killed_process_frees_its_number(make, tmp_path):
    """The kernel does it, whatever the process was doing."""
    worker = start(HOLD, tmp_path)
    assert "0\n" == worker.stdout.readline()
    assert 1 == make().take()
    worker.kill()
    worker.communicate()
    assert 0 == make().take()


def test_a_forked_child_has_its_own(make):
    """And by closing what it inherited it neither frees nor keeps the number of its parent."""
    parent = make()
    assert 0 == parent.take()
    assert 1 == in_child(parent.take)
    assert 1 == make().take()


def test_a_child_that_never_asks_keeps_no_number(make):
    """A parent that ends frees its number, though a child of it lives on."""
    parent = make()
    assert 0 == parent.take()
    (source, sink), (ready, here) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(sink)
        os.write(here, b"!")
        os.read(source, 1)  # until the parent's end is closed
        os._exit(0)
    os.close(source)
    assert b"!" == os.read(ready, 1)
    os.close(ready)
    os.close(here)
    parent.close()
    assert 0 == make().take()
    os.close(sink)
    os.waitpid(pid, 0)


def test_a_started_program_inherits_nothing(make):
    """The descriptor is closed on exec."""
    number = make()
    number.take()
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, close_fds=False
    ) as program:
        number.close()
        assert 0 == make().take()
        program.stdin.close()


def test_threads_of_one_process_have_one_number(make):
    """Also when all ask at once."""
    number, barrier = make(), threading.Barrier(8)

    def take(_):
        barrier.wait()
        return number.take()

    with ThreadPoolExecutor(8) as threads:
        assert [0] * 8 == list(threads.map(take, range(8)))


def test_who_asks_at_once_gets_different_numbers(make):
    """Eight that race for the first eight numbers have them all."""
    barrier = threading.Barrier(8)

    def take(number):
        barrier.wait()
        return number.take()

    numbers = [make() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert set(range(8)) == set(threads.map(take, numbers))


def test_without_a_directory_there_is_none(make, tmp_path):
    """Nobody makes one for it; when it is there, there is a number."""
    directory = tmp_path / "later"
    number = make(directory)
    assert None is number.take()
    directory.mkdir()
    assert 0 == number.take()
    shutil.rmtree(directory)
    assert None is number.take()
    directory.mkdir()
    other = make(directory)
    assert [0, 1] == [other.take(), number.take()]


def test_what_is_no_file_of_ours_is_left_alone(make, tmp_path):
    """A link, a directory, a pipe under the name: the next number is taken, nothing is touched."""
    target = tmp_path / "target"
    (tmp_path / "worker-0.lock").symlink_to(target)
    (tmp_path / "worker-1.lock").mkdir()
    os.mkfifo(tmp_path / "worker-2.lock", 0o600)
    assert 3 == make().take()
    assert not target.exists()
    assert stat.S_ISFIFO((tmp_path / "worker-2.lock").stat().st_mode)


def test_a_group_may_share_the_directory(make, tmp_path):
    """The files have the mode of the segments, whatever the umask."""
    before = os.umask(0o777)
    try:
        make(file_mode=0o660).take()
        make(file_mode=0o600).take()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in files(tmp_path)]
    assert [0o660, 0o600] == modes


def test_where_files_cannot_be_locked_there_is_none(make, monkeypatch):
    """No number rather than one that two processes have; no descriptor is left open."""

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("perfsdk.runtime.worker.fcntl.flock", refuse)
    number = make()
    before = os.listdir("/proc/self/fd")
    assert None is number.take()
    assert len(before) == len(os.listdir("/proc/self/fd"))


def test_there_is_a_last_number(make, monkeypatch):
    """Beyond it processes have none, until one is free."""
    monkeypatch.setattr("perfsdk.runtime.worker.MOST_WORKERS", 2)
    first, second, third = make(), make(), make()
    assert [0, 1, None] == [first.take(), second.take(), third.take()]
    first.close()
    assert 0 == third.take()
