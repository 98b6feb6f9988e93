"""`perfsdk doctor` finds the directory, and names what is wrong with it."""

import os
import shutil
import subprocess

import pytest

from perfsdk.catalog import WORKERS
from perfsdk.cli.doctor import examination
from perfsdk.store import directory as directories
from perfsdk.testing import Recording
from tests.cli.doctoring import directory_of_another_user, examine_files, run_doctor
from tests.store.processes import in_child

NO_WORKER = (
    "no worker reports; start the application and send it a request: a process makes its segment "
    "with the first thing that it records"
)
NOBODY = 65534

as_root = pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: only root has other users")
assert examination  # imported before a child becomes a user who may not read the sources


@pytest.fixture
def worker(perfsdk_dir):
    """This process, which writes into the directory of the test."""
    with Recording(perfsdk_dir) as recording:
        recording.recorder.gauge(WORKERS).set((), 1.0)
        yield recording


@pytest.fixture
def shared_memory(tmp_path, monkeypatch):
    """In place of /dev/shm: nothing says which directory it is, but what is in there."""
    monkeypatch.setattr(directories, "SHARED_MEMORY", tmp_path)
    monkeypatch.delenv("PERFSDK_DIR")
    return tmp_path


def test_a_directory_with_a_worker_is_right(worker, perfsdk_dir, capsys):
    """Path, mode and one live worker, and nothing to complain of."""
    report, problems = examine_files(capsys)
    assert [] == problems
    assert "Workers: 1 live, 0 ended and not folded yet" in report.text
    assert f"? ? ? 1 {os.getpid()}" in " ".join(report.text.split())
    assert str(perfsdk_dir) in report.row("path")
    assert "0700" == report.row("mode")


def test_a_missing_directory_is_one_line(tmp_path, capsys):
    """It says what makes the directory; nothing is said about workers."""
    missing = tmp_path / "missing"
    report, (problem,) = examine_files(capsys, "--dir", missing)
    assert problem.startswith(f"{missing} does not exist, so no process has recorded anything")
    assert "Workers:" not in report.text
    assert not missing.exists()


def test_an_empty_directory_has_no_worker(capsys):
    """Nobody wrote yet."""
    _, problems = examine_files(capsys)
    assert [NO_WORKER] == problems


def test_an_ended_worker_is_told_apart(worker, capsys):
    """A process that ended is none that reports, also before its file was folded."""
    worker._writer.close()
    report, problems = examine_files(capsys)
    assert [NO_WORKER] == problems
    assert "Workers: 0 live, 1 ended and not folded yet" in report.text


def test_the_doctor_leaves_the_directory_as_it_is(worker, perfsdk_dir, capsys):
    """Looking changes and leaves nothing."""
    before = sorted(perfsdk_dir.iterdir())
    examine_files(capsys)
    assert before == sorted(perfsdk_dir.iterdir())


def test_a_directory_for_everybody_is_named(worker, perfsdk_dir, capsys):
    """Another user could remove the files there."""
    perfsdk_dir.chmod(0o777)
    _, problems = examine_files(capsys)
    assert [f"{perfsdk_dir} can be written by everybody; chmod 700 {perfsdk_dir}"] == problems


def test_a_group_that_may_not_write_is_named(worker, perfsdk_dir, capsys, monkeypatch):
    """The mode that was set is compared with the one that is there."""
    monkeypatch.setenv("PERFSDK_DIR_MODE", "0770")
    _, problems = examine_files(capsys)
    assert [f"{perfsdk_dir} lacks rights for its group; chmod 2770 {perfsdk_dir}"] == problems


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_is_one_line(kind, tmp_path, capsys):
    """The store refuses it in the same words when the application starts."""
    path = tmp_path / "segments"
    path.write_text("") if kind == "file" else path.symlink_to(tmp_path)
    reasons = {
        "file": f"{path} is not a directory; remove it or give another one",
        "link": f"{path} is a symbolic link; give the directory itself",
    }
    _, problems = examine_files(capsys, "--dir", path)
    assert [reasons[kind]] == problems


@as_root
def test_a_directory_of_somebody_else_is_one_line(worker, perfsdk_dir, capsys):
    """Whose it is, and nothing about what is in it."""
    os.chown(perfsdk_dir, NOBODY, -1)
    report, problems = examine_files(capsys)
    assert [f"{perfsdk_dir} belongs to user {NOBODY}; give a directory of user 0"] == problems
    assert "Workers:" not in report.text


@as_root
def test_a_directory_that_cannot_be_written_is_named(capsys):
    """Told by making a file, by a user who is not root."""
    path = directory_of_another_user(NOBODY)

    def problems():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return examine_files(capsys, "--dir", path)[1]

    try:
        lacking, cannot, _ = in_child(problems)
    finally:
        shutil.rmtree(path)
    assert f"{path} lacks rights for its owner; chmod 700 {path}" == lacking
    assert cannot.startswith(f"{path}: user {NOBODY}")
    assert "cannot make a file there (Permission denied)" in cannot


@pytest.fixture
def full_tmpfs(tmp_path):
    """A tmpfs of 64 KiB without any space left; skips where mounting is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", tmp_path]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: a really full tmpfs needs the right to mount one")
    try:
        with pytest.raises(OSError, match="No space left"), (tmp_path / "ballast").open("wb") as f:
            f.write(bytes(1 << 20))
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_full_file_system_is_named(full_tmpfs, capsys):
    """Its type, what is left, and what to do."""
    report, (cannot, room, _) = examine_files(capsys, "--dir", full_tmpfs)
    assert "tmpfs" == report.row("file system")
    assert "0.0 KiB free of 64.0 KiB: 0 more workers of 16.0 MiB fit" == report.row("room")
    assert "cannot make a file there (No space left on device)" in cannot
    assert room.startswith(f"{full_tmpfs}: 0.0 KiB are left, a worker may take 16.0 MiB; make")


def test_the_only_service_is_taken(shared_memory, capsys):
    """As the exporter does: the application named it in its source, perhaps."""
    directory = shared_memory / f"perfsdk-{os.getuid()}" / "shop"
    directory.mkdir(parents=True, mode=0o700)
    report, problems = examine_files(capsys)
    assert [NO_WORKER] == problems
    assert f"{directory} (of the only service there is)" == report.row("directory")


def test_of_several_services_one_must_be_named(shared_memory, capsys):
    """They are listed; with `--service` it is that one."""
    root = shared_memory / f"perfsdk-{os.getuid()}"
    for name in ("mail", "shop"):
        (root / name).mkdir(parents=True, mode=0o700)
    report = run_doctor(capsys)
    problem = f"several services in {root}: mail, shop; say which one with --service"
    assert (1, [problem]) == (report.code, report.problems)
    report, problems = examine_files(capsys, "--service", "mail")
    assert [NO_WORKER] == problems
    assert f"{root / 'mail'} (default)" == report.row("directory")
    _, (problem,) = examine_files(capsys, "--service", "other")
    assert problem.endswith("(services there: mail, shop)")


def test_segments_of_another_user_are_told(shared_memory, capsys):
    """Who runs the application as another user sees why nothing is found."""
    (shared_memory / "perfsdk-4294967294").mkdir()
    _, (problem,) = examine_files(capsys)
    assert problem.endswith("(there are segments of user 4294967294)")
