"""Where segments live, for whom they can be read, and what is refused."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.store import directory as directory_module
from perfsdk.store.directory import (
    DirectoryError,
    check_directory,
    default_root,
    ensure_directory,
    is_trusted,
    segment_directory,
    service_directory_name,
    services,
)
from perfsdk.store.format import FormatError
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.store.writer import Writer
from tests.store.metrics import TOTAL, only_segment, snapshot
from tests.store.processes import in_child

STRANGER = 54321
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: needs root to change owners")


@pytest.fixture
def shared_memory(tmp_path, monkeypatch):
    """Stands for /dev/shm."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(directory_module, "SHARED_MEMORY", place)
    return place


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    """The umask of the application, which must not matter."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path):
    """The permission bits of a file or directory."""
    return stat.S_IMODE(path.stat().st_mode)


def as_somebody_in(directory, work):
    """What `work()` returns in a child without root's rights and in that working directory."""

    def drop_rights():
        os.chdir(directory)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
        return work()

    return in_child(drop_rights)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("shop", "shop"),
        ("", "default"),
        (".", "default"),
        ("..", "default"),
        ("...", "default"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc", "_etc"),
        (".hidden", "hidden"),
        ("team/shop api\n", "team_shop_api_"),
        ("größe-1_2.x", "größe-1_2.x"),
        ("店", "店"),
        ("a\0b\udc80c", "a_b_c"),
        ("x" * 300, "x" * 100),
        ("ß" * 80, "ß" * 50),
    ],
)
def test_any_service_has_a_safe_directory_name(service, expected):
    """Slashes, dots and unicode neither leave the root nor make a hidden directory."""
    assert expected == service_directory_name(service)


@given(st.text(st.characters(), max_size=300))
def test_a_service_is_one_component_of_a_path(service):
    """Whatever the name is: one level below the root, at most 100 bytes, never hidden."""
    name = service_directory_name(service)
    assert 0 < len(os.fsencode(name)) <= 100
    assert "/" not in name
    assert not name.startswith(".")
    assert name == service_directory_name(name)


def test_the_default_is_in_shared_memory(shared_memory):
    """One directory a user, one below it for each service; the exporter finds them by name."""
    root = shared_memory / f"perfsdk-{os.getuid()}"
    assert root == default_root()
    assert root / "shop" == segment_directory(None, "shop")
    assert [] == services()
    ensure_directory(segment_directory(None, "shop"), 0o700)
    ensure_directory(segment_directory(None, "api"), 0o700)
    (root / "file").touch()
    assert ["api", "shop"] == services()
    assert [0o700, 0o700] == [mode(root), mode(root / "shop")]


def test_without_shared_memory_the_temporary_directory_is_used(tmp_path, monkeypatch):
    """A machine without /dev/shm, and one where it is read-only, have a default too."""
    monkeypatch.setattr(directory_module, "SHARED_MEMORY", tmp_path / "missing")
    expected = Path(tempfile.gettempdir()) / f"perfsdk-{os.getuid()}" / "default"
    assert expected == segment_directory(None, "")
    (tmp_path / "missing").mkdir(mode=0o500)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert expected == segment_directory(None, "")


def test_without_any_place_to_write_the_name_is_the_usual_one(tmp_path, monkeypatch):
    """On a read-only root file system a given directory must not fail for the default one."""

    def nowhere():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(directory_module, "SHARED_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert Path("/tmp") / f"perfsdk-{os.getuid()}" == directory_module.default_root()


def test_a_given_directory_does_not_move_with_the_process(tmp_path, monkeypatch):
    """A server that changes its working directory later goes on writing to the same place."""
    monkeypatch.chdir(tmp_path)
    before = segment_directory("segments", "shop")
    monkeypatch.chdir("/")
    assert tmp_path / "segments" == before
    assert tmp_path / "segments" == segment_directory(f"{tmp_path}/segments/", "shop")


@pytest.mark.usefixtures("umask")
def test_files_are_for_the_user_alone(make_writer, tmp_path):
    """0600 in 0700, whatever the umask; parents that are made let nobody else in or write."""
    directory = tmp_path / "a" / "b" / "segments"
    make_writer(directory).series(TOTAL, [])
    assert [0o700] * 3 == [
        mode(part) for part in (directory.parents[1], directory.parent, directory)
    ]
    assert 0o600 == mode(only_segment(directory))


@pytest.mark.usefixtures("umask")
def test_a_group_can_share_the_directory(make_writer, tmp_path):
    """0660 in a setgid 0770, whatever the umask; parents can be searched."""
    directory = tmp_path / "a" / "b" / "segments"
    make_writer(directory, directory_mode=0o770).series(TOTAL, [])
    assert [0o755, 0o755] == [mode(directory.parent.parent), mode(directory.parent)]
    assert 0o2770 == mode(directory)
    assert 0o660 == mode(only_segment(directory))


def test_a_directory_from_before_it_was_shared_becomes_shared(make_writer, tmp_path):
    """Bits are added to a directory of ours, none is taken away."""
    directory = tmp_path / "segments"
    directory.mkdir(mode=0o700)
    make_writer(directory, directory_mode=0o770).series(TOTAL, [])
    assert 0o2770 == mode(directory)
    make_writer(directory).series(TOTAL, [])
    assert 0o2770 == mode(directory)


def refused(directory):
    """The one line of both checks: at the start, and when the first file is to be made."""
    messages = []
    for check in (check_directory, lambda path: ensure_directory(path, 0o700)):
        with pytest.raises(DirectoryError) as caught:
            check(directory)
        messages.append(str(caught.value))
        assert "\n" not in messages[-1]
    return messages


def test_what_is_no_directory_is_refused(tmp_path):
    """A file in the place of the directory or of its parent is named, with what to do."""
    file = tmp_path / "file"
    file.touch()
    for message in refused(file):
        assert f"{file} is not a directory; remove it or give another one" == message
    for message in refused(file / "segments"):
        assert message.startswith(f"{file}/segments: Not a directory; ")


def test_symbolic_links_are_refused(tmp_path):
    """A link to a directory, to a file and to nothing: none is followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "file").touch()
    for target in ("real", "file", "missing", "link"):
        link = tmp_path / "link"
        link.symlink_to(tmp_path / target)
        for message in refused(link):
            assert f"{link} is a symbolic link; give the directory itself" == message
        link.unlink()
    assert [] == list((tmp_path / "real").iterdir())


def test_a_link_above_the_directory_is_fine(tmp_path, make_writer):
    """/var/run is a link on most machines."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "run")
    check_directory(tmp_path / "var" / "segments")
    make_writer(tmp_path / "var" / "segments").series(TOTAL, [])
    assert 1 == len(find_segments(tmp_path / "run" / "segments"))


def test_a_missing_directory_is_fine(tmp_path):
    """It is made with the first series; the check at the start makes nothing."""
    check_directory(tmp_path / "a" / "b" / "c")
    assert [] == list(tmp_path.iterdir())
    assert [] == find_segments(tmp_path / "a")


@needs_root
def test_another_users_directory_is_refused(tmp_path):
    """Neither written to nor taken for ours, whatever its permissions."""
    directory = tmp_path / "segments"
    directory.mkdir()
    os.chown(directory, STRANGER, STRANGER)
    for bits in (0o700, 0o777, 0o2770):
        directory.chmod(bits)
        for message in refused(directory):
            assert message == f"{directory} belongs to user {STRANGER}; give a directory of user 0"


@needs_root
def test_a_directory_of_our_group_is_ours(tmp_path, make_writer):
    """An emptyDir with fsGroup belongs to somebody else and to a group of the process."""
    directory = tmp_path / "segments"
    directory.mkdir()
    os.chown(directory, STRANGER, os.getgid())
    directory.chmod(0o2770)
    check_directory(directory)
    make_writer(directory, directory_mode=0o770).series(TOTAL, [])
    assert (os.getuid(), os.getgid()) == (
        only_segment(directory).stat().st_uid,
        only_segment(directory).stat().st_gid,
    )


@needs_root
def test_a_default_root_of_somebody_else_is_refused(shared_memory, tmp_path):
    """Everybody may make a directory or a link of that name in /dev/shm before us."""
    target = segment_directory(None, "shop")
    target.parent.mkdir()
    os.chown(target.parent, STRANGER, os.getgid())
    target.parent.chmod(0o777)
    for message in refused(target):
        assert message == f"{target.parent} is not a directory of user 0; remove it"
    target.parent.rmdir()
    target.parent.symlink_to(tmp_path)
    for message in refused(target):
        assert message == f"{target.parent} is not a directory of user 0; remove it"
    assert {"shm"} == {path.name for path in tmp_path.iterdir()}


@needs_root
def test_files_of_strangers_are_not_read(tmp_path, make_writer):
    """A file of another user is refused, unless the directory is shared with its group."""
    directory = tmp_path / "segments"
    make_writer(directory).series(TOTAL, [])
    path = only_segment(directory)
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(FormatError, match=f"belongs to another user .{STRANGER}"):
        SegmentReader(path)
    directory.chmod(0o2770)
    with pytest.raises(FormatError):
        SegmentReader(path)
    os.chown(directory, 0, STRANGER)
    assert is_trusted(path.stat(), directory=directory.stat())
    assert {("calls_total",): 0.0} == snapshot(directory)


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path):
    """Without the right to write, values stay in memory and one line says what to do."""
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o555)

    def record():
        reasons = []
        writer = Writer(Path("segments"), on_degraded=reasons.append)
        cell = writer.series(TOTAL, [])
        writer.values[cell] += 1.0
        for _ in range(3):
            writer.maintain()
        assert 1.0 == writer.values[cell]
        return reasons

    message = f"segments: {os.strerror(errno.EACCES)}; make it writable or give another"
    assert [message] == as_somebody_in(parent, record)
    assert [] == list(parent.iterdir())
