"""A process that ended is reaped: the page says the same as before, and its file is gone."""

import errno
import fcntl
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfsdk_exporter.reaping import reaper as reaping
from perfsdk_exporter.reaping.archive import read_archive
from perfsdk_exporter.reaping.archive_lock import archive_lock
from perfsdk_exporter.reaping.archive_reader import ARCHIVE
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.segments.discovery import Segments
from tests.exporter.ended import KEPT, ended, living, reading, sums
from tests.store.metrics import ACTIVE, COUNTER, EVERY_KIND, NATIVE, SECONDS

ONE = (
    (COUNTER, ("a",), [0.1]),
    (NATIVE, (), [0.3, 1.0, 1.0, 2.0, 0.0], {3: [1.0, 0, 0, 1.0, 0, 0, 0, 0]}),
    (ACTIVE, (), [3.0]),
)
OTHER = (
    (COUNTER, ("a",), [0.2]),
    (COUNTER, ("b",), [7.0]),
    (SECONDS, ("mail",), [0.7, 1.0, 0.0, 2.0]),
    (NATIVE, (), [0.4, 0.0, 1.0, 2.0, 1.0], {3: [1.0, 0, 0, 0, 0, 0, 0, 0], 9: [0, 2.0] + [0] * 6}),
)
DAY = 24 * 3600.0


@dataclass
class Clocks:
    """Two clocks that a test moves: seconds since the epoch, and those that nobody sets."""

    now: float = 1_000_000.0
    steady: float = 100.0

    def go_on(self, seconds):
        self.now += seconds
        self.steady += seconds

    def reaper(self, **options):
        return Reaper(clock=lambda: self.now, steady_clock=lambda: self.steady, **options)


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def directory(segment_directory):
    return segment_directory


@pytest.fixture
def warnings(caplog):
    """What was logged: the messages since the test began."""
    caplog.set_level(logging.WARNING)
    return caplog


def names(directory):
    return set(os.listdir(directory))


def test_the_page_is_the_same_and_the_files_are_gone(directory):
    """Counters, sums, buckets and native blocks, exactly; a later one is added to them."""
    for series in (ONE, OTHER, ONE):
        ended(directory, *series)
    expected = sums(directory)
    reaper = Reaper()
    assert not reaper.reap(directory)
    assert expected == sums(directory)
    assert names(directory) == KEPT
    assert reaper.tally.segments == 3
    ended(directory, *OTHER)
    expected = sums(directory)
    assert not reaper.reap(directory)
    assert expected == sums(directory)
    assert names(directory) == KEPT


def test_gauges_of_the_dead_are_gone(directory):
    """Of every kind of metric counters and histograms are kept alone."""
    ended(directory, *((metric, (), [1.0] * 5) for metric in EVERY_KIND if metric is not NATIVE))
    Reaper().reap(directory)
    assert {("calls_total", (), 0): 1} == sums(directory)


def test_the_living_stay(directory):
    """A living process keeps its file and its gauges, and goes on to count into it."""
    writer = living(directory, *ONE)
    ended(directory, *ONE)
    reaper = Reaper()
    reaper.reap(directory)
    assert KEPT | {writer.segment.path.name} == names(directory)
    writer.values[writer.series(COUNTER, ("new",))] += 1.0
    found = sums(directory)
    assert (3, 2) == (found["active", (), 0], found["request_seconds", (), 1])
    assert 1 == found["keys_total", ("new",), 0]
    writer.close()
    del found["active", (), 0]
    reaper.reap(directory)
    assert found == sums(directory)


def test_a_sum_of_reals_never_goes_down(directory):
    """Hundreds of values like 0.1, folded one after the other: exact at each step."""
    reaper, expected = Reaper(), Fraction(0)
    with reading(directory) as read:
        for number in range(1, 150):
            real = 0.1 * number + 1e-9
            expected += Fraction(real)
            ended(directory, (COUNTER, ("a",), [real]))
            reaper.reap(directory)
            assert {("keys_total", ("a",), 0): expected} == read()
    total = read_archive(directory / ARCHIVE).totals.popitem()[1].series["a",]
    assert float(expected) == total.cells[0]
    assert total.low != 0.0


def test_nothing_to_reap_makes_no_file(directory):
    """Nor does a directory that is not there."""
    writer = living(directory, *ONE)
    Reaper().reap(directory)
    assert {writer.segment.path.name} == names(directory)
    writer.close()
    Reaper().reap(directory / "missing")
    Reaper().reap(directory / names(directory).pop())


real = st.floats(1e-6, 1e6)
histogram = st.tuples(real, *[st.integers(0, 1000)] * 3).map(lambda t: list(map(float, t)))
recorded = st.lists(
    st.tuples(st.just(COUNTER), st.sampled_from("ab").map(lambda c: (c,)), real.map(lambda x: [x]))
    | st.tuples(st.just(SECONDS), st.sampled_from("ab").map(lambda c: (c,)), histogram),
    max_size=4,
)
steps = st.lists(st.one_of(recorded, st.sampled_from(["reap", "other", "end"])), max_size=14)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(steps)
def test_any_order_gives_the_plain_sum(steps):
    """Processes begin, end and are reaped by two reapers in any order: always the same sum."""
    reapers = {"reap": Reaper(), "other": Reaper()}
    with tempfile.TemporaryDirectory() as path, reading(Path(path)) as read:
        alive, expected = [], {}
        for step in steps:
            if step == "end":
                for writer in alive[:1]:
                    alive.remove(writer)
                    writer.close()
            elif isinstance(step, str):
                reapers[step].reap(Path(path))
            else:
                alive.append(living(Path(path), *step))
                for metric, labels, cells in step:
                    for place, cell in enumerate(cells):
                        key = metric.name, labels, place
                        expected[key] = expected.get(key, 0) + Fraction(cell)
            assert expected == read()
        for writer in alive:
            writer.close()
        reapers["reap"].reap(Path(path))
        assert expected == read()
        assert names(path) <= KEPT


def test_many_take_several_passes(directory, monkeypatch):
    """One pass folds a bounded number of series; it says that there is more."""
    monkeypatch.setattr(reaping, "_SERIES_A_PASS", 5)
    for _ in range(5):
        ended(directory, *ONE)
    expected, reaper, passes = sums(directory), Reaper(), 1
    while reaper.reap(directory):
        assert expected == sums(directory)
        passes += 1
    assert passes == 3
    assert expected == sums(directory)
    assert names(directory) == KEPT


def test_another_exporter_goes_on_from_there(directory):
    """Restarted or beside another one: whoever reaps reads the archive that is there."""
    first, second = Reaper(), Reaper()
    for reaper in (first, second, first, Reaper(), second, first):
        ended(directory, *OTHER)
        expected = sums(directory)
        reaper.reap(directory)
        assert expected == sums(directory)
        assert names(directory) == KEPT


def test_while_another_exporter_reaps(directory):
    """Nobody waits for the lock: the dead stay on the page and are reaped later."""
    ended(directory, *ONE)
    expected, reaper = sums(directory), Reaper()
    with archive_lock(directory) as held:
        assert held
        assert not reaper.reap(directory)
        assert expected == sums(directory)
        assert ARCHIVE not in names(directory)
    reaper.reap(directory)
    assert names(directory) == KEPT
    assert expected == sums(directory)


def test_a_copy_is_never_reaped(directory):
    """Nobody locks a copy of a living process's file; folding it would hide the process."""
    writer = living(directory, *ONE)
    shutil.copy(writer.segment.path, directory / "0copy.seg")
    expected, reaper = sums(directory), Reaper()
    reaper.reap(directory)
    assert {writer.segment.path.name, "0copy.seg"} == names(directory)
    assert expected == sums(directory)
    writer.close()
    del expected["active", (), 0]
    for _ in range(3):
        reaper.reap(directory)
        assert expected == sums(directory)
        assert KEPT | {"0copy.seg"} == names(directory)
        ended(directory, (SECONDS, ("new",), [0.0] * 4))
        expected = sums(directory)


BAD = {
    "an invalid value": lambda d: ended(d, *ONE, (COUNTER, ("bad",), [-1.0])),
    "an invalid label": lambda d: ended(d, *ONE, (_reserved(), ("x",), [1.0])),
    "a wrong checksum": lambda d: _spoil(ended(d, *ONE)),
}


def _reserved():
    from perfsdk.catalog import Metric

    return Metric(name="m_total", kind="counter", help="M.", labels=("__name__",))


def _spoil(path):
    data = bytearray(path.read_bytes())
    data[data.index(b'"series"') + 3] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("case", BAD)
def test_what_is_invalid_stays_where_it_is(case, directory, warnings):
    """The archive is not poisoned, the file stays as it was, and is named once."""
    path = BAD[case](directory)
    before = path.read_bytes()
    ended(directory, *OTHER)
    expected, reaper = sums(directory), Reaper()
    for _ in range(2):
        reaper.reap(directory)
        assert expected == sums(directory)
        assert names(directory) == KEPT | {path.name}
        ended(directory, *OTHER)
        expected = sums(directory)
    assert before == path.read_bytes()
    assert [str(path)] == [record.fields["file"] for record in warnings.records]


def test_files_of_others_stay(directory, tmp_path):
    """What is not named like a segment of its own identity is nobody's to remove."""
    others = {"x.seg": b"garbage", "y.seg": b"", ".hidden": b"1", "archive.arc.bak": b"2"}
    for name, content in others.items():
        (directory / name).write_bytes(content)
    (directory / "link.seg").symlink_to(ended(tmp_path / "elsewhere", *ONE))
    (directory / "fifo.seg").mkdir()
    ended(directory, *ONE)
    Reaper().reap(directory)
    assert KEPT | others.keys() | {"link.seg", "fifo.seg"} == names(directory)


def test_old_series_are_dropped(directory, clocks):
    """24 hours after the last addition; a worker that only describes them does not count."""
    reaper = clocks.reaper()
    ended(directory, (COUNTER, ("old",), [1.0]), (COUNTER, ("kept",), [1.0]))
    reaper.reap(directory)
    clocks.go_on(DAY / 2)
    ended(directory, (COUNTER, ("old",), [0.0]), (COUNTER, ("kept",), [1.0]))
    reaper.reap(directory)
    clocks.go_on(DAY / 2 + 1)
    expected = sums(directory)
    clocks.reaper(retention_seconds=2 * DAY).reap(directory)
    assert expected == sums(directory)
    reaper.reap(directory)
    assert {("keys_total", ("kept",), 0): 2} == sums(directory)
    assert reaper.tally.dropped_series == 1


def test_the_archive_is_not_looked_through_all_the_time(directory, clocks):
    """Dropping waits for some minutes since the last look."""
    reaper = clocks.reaper(retention_seconds=10)
    ended(directory, *ONE)
    reaper.reap(directory)
    clocks.go_on(100)
    reaper.reap(directory)
    assert sums(directory)
    clocks.go_on(201)
    reaper.reap(directory)
    assert {} == sums(directory)
    assert names(directory) == KEPT


def test_what_a_living_process_has_is_not_dropped(directory, clocks):
    """By metric and labels, whatever else its description says; not after it is gone."""
    renamed = COUNTER.__class__(
        name=COUNTER.name, kind="counter", help="Other.", labels=("more", "name")
    )
    reaper = clocks.reaper()
    ended(directory, (COUNTER, ("a",), [1.0]), (COUNTER, ("b",), [1.0]))
    reaper.reap(directory)
    writer = living(directory, (renamed, ("", "a"), [0.0]))
    clocks.go_on(2 * DAY)
    reaper.reap(directory)
    found = sums(directory)
    assert 1 == found["keys_total", ("a",), 0]
    assert ("keys_total", ("b",), 0) not in found
    writer.close()
    reaper.reap(directory)
    clocks.go_on(2 * DAY)
    reaper.reap(directory)
    assert {} == sums(directory)


@pytest.mark.parametrize("days", [10_000, -5_000])
def test_a_clock_that_jumps_drops_nothing(directory, clocks, days):
    """Every series gets its whole time again, by the clock that nobody sets; then it goes."""
    reaper = clocks.reaper()
    clocks.now += 6_000 * DAY
    reaper.reap(directory)
    ended(directory, *OTHER)
    reaper.reap(directory)
    expected = sums(directory)
    clocks.now += days * DAY
    for _ in range(23):
        reaper.reap(directory)
        assert expected == sums(directory)
        clocks.go_on(3600)
    for _ in range(3):
        clocks.go_on(3600)
        reaper.reap(directory)
    assert {} == sums(directory)


def damage(path):
    """Spoil some cells of an archive; its content from now on."""
    with path.open("r+b") as file:
        file.seek(4100)
        file.write(b"damage")
    return path.read_bytes()


def test_damage_to_what_is_still_in_memory_is_mended(directory, warnings):
    """The exporter that wrote the archive writes it again with the next process that ends."""
    reaper = Reaper()
    ended(directory, *ONE)
    reaper.reap(directory)
    ended(directory, *OTHER)
    expected = sums(directory)
    damage(directory / ARCHIVE)
    reaper.reap(directory)
    assert expected == sums(directory)
    assert names(directory) == KEPT
    assert not warnings.messages


def test_a_damaged_archive_is_put_aside(directory, clocks, warnings):
    """It is not overwritten: renamed, counted, named; a few of them are kept."""
    for number in range(5):
        ended(directory, *ONE)
        clocks.reaper().reap(directory)
        damaged = damage(directory / ARCHIVE)
        ended(directory, *OTHER)
        _, unreadable = Segments().read(directory)
        assert [directory / ARCHIVE] == [found.path for found in unreadable]
        reaper = clocks.reaper()
        reaper.reap(directory)
        assert 1 == reaper.tally.damaged_archives
        kept = sorted(directory.glob("archive.damaged-*"))
        assert min(number + 1, 3) == len(kept)
        assert damaged == kept[-1].read_bytes()
        assert ("request_seconds", (), 1) in sums(directory)
    assert 5 == warnings.messages.count("damaged archive put aside")
    assert str(directory / ARCHIVE) == warnings.records[0].fields["file"]


def test_an_archive_of_a_newer_exporter_is_left_alone(directory, clocks, warnings):
    """Nothing is folded while it is there, and nothing of it is lost."""
    ended(directory, *ONE)
    reaper = clocks.reaper()
    reaper.reap(directory)
    data = bytearray((directory / ARCHIVE).read_bytes())
    data[8] += 1
    (directory / ARCHIVE).write_bytes(data)
    path = ended(directory, *OTHER)
    for _ in range(3):
        reaper.reap(directory)
        clocks.go_on(60)
    assert data == (directory / ARCHIVE).read_bytes()
    assert path.exists()
    assert 3 == reaper.tally.failures
    assert ["cannot reap"] == warnings.messages
    assert "format version 2" in warnings.records[0].fields["reason"]


def test_a_directory_that_cannot_be_written(directory, clocks, warnings, monkeypatch):
    """The page is right all the same; it is logged once, counted, and tried again later."""
    ended(directory, *ONE)
    expected, reaper, real = sums(directory), clocks.reaper(), os.open

    def read_only(path, flags, *mode, **options):
        if flags & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        for _ in range(5):
            reaper.reap(directory)
            assert expected == sums(directory)
        assert 1 == reaper.tally.failures
        clocks.go_on(60)
        reaper.reap(directory)
    assert 2 == reaper.tally.failures
    assert ["cannot reap"] == warnings.messages
    assert "no permission to write" in warnings.records[0].fields["reason"]
    clocks.go_on(60)
    reaper.reap(directory)
    assert names(directory) == KEPT
    assert expected == sums(directory)


READ_ONLY = """
import os, sys
from pathlib import Path
from perfsdk_exporter.reaping.reaper import Reaper
os.setgid(65534)
os.setuid(65534)
reaper = Reaper()
reaper.reap(Path(sys.argv[1]))
print(reaper.tally.segments, reaper.tally.failures)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="NOT TESTED: needs root to change users")
@pytest.mark.parametrize(
    ("mode", "file_mode", "expected"),
    [(0o755, 0o644, "0 1\n"), (0o2777, 0o666, "1 0\n")],
    ids=["may read", "may write"],
)
def test_an_exporter_under_another_user(mode, file_mode, expected, tmp_path):
    """Who may only read fails quietly; who is in the group reaps for both users."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        os.chown(path, 65533, 65534)
        path.chmod(mode)
        segment = Path(shutil.copy(ended(tmp_path / "ours", *ONE), path))
        os.chown(segment, 65533, 65534)
        segment.chmod(file_mode)
        before = sums(path)
        run = [sys.executable, "-c", READ_ONLY, str(path)]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        assert expected == done.stdout
        assert before == sums(path)
        if (path / ARCHIVE).exists():
            status = (path / ARCHIVE).stat()
            assert (0o660, 65534) == (stat.S_IMODE(status.st_mode), status.st_gid)
            shutil.copy(ended(tmp_path / "ours", *OTHER), path)
            Reaper().reap(path)
            assert names(path) == KEPT
            status = (path / ARCHIVE).stat()
            assert (0o660, 65534) == (stat.S_IMODE(status.st_mode), status.st_gid)
    finally:
        shutil.rmtree(path)


def test_a_file_that_cannot_be_removed_counts_once(directory, warnings, monkeypatch):
    """It stays in the list of the archive for as long as it is there, over many archives."""
    path = ended(directory, *ONE)
    reaper, real = Reaper(), os.unlink

    def refused(name, *args, **options):
        if Path(name) == path:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(name, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refused)
        for _ in range(4):
            expected = sums(directory)
            reaper.reap(directory)
            assert expected == sums(directory)
            assert path.exists()
            ended(directory, *OTHER)
    assert ["file not removed"] == warnings.messages
    expected = sums(directory)
    reaper.reap(directory)
    assert expected == sums(directory)
    assert names(directory) == KEPT


def test_an_archive_that_is_full(directory, clocks, warnings):
    """What has no room stays where it is, which is said once; others are folded."""
    reaper = clocks.reaper(most_bytes=9000)
    ended(directory, (COUNTER, ("a",), [1.0]))
    reaper.reap(directory)
    large = [(COUNTER, (f"{number}" * 50,), [1.0]) for number in range(9)]
    paths = {ended(directory, *large).name, ended(directory, *large).name}
    ended(directory, (COUNTER, ("a",), [1.0]))
    expected = sums(directory)
    reaper.reap(directory)
    assert expected == sums(directory)
    assert names(directory) == KEPT | paths
    assert os.path.getsize(directory / ARCHIVE) <= 9000
    (record,) = warnings.records
    assert "no room" in record.fields["reason"]


def test_leftovers_of_killed_processes_are_removed(directory, clocks):
    """Temporary archives, and segments without a name that nobody has locked for minutes."""
    ended(directory, *ONE)
    clocks.now = (directory / ".").stat().st_mtime
    old, young, locked = (directory / f".{digit * 32}.tmp" for digit in "abc")
    for path in (old, young, locked, directory / f".archive-{'d' * 32}.tmp"):
        path.write_bytes(b"x")
    foreign = directory / ".something.tmp"
    foreign.write_bytes(b"x")
    for path in (old, locked, foreign):
        os.utime(path, (clocks.now - 1000, clocks.now - 1000))
    with locked.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        clocks.reaper().reap(directory)
        assert KEPT | {young.name, locked.name, foreign.name} == names(directory)
    clocks.go_on(1000)
    clocks.reaper().reap(directory)
    assert KEPT | {foreign.name} == names(directory)


def test_leftovers_alone_are_removed_too(directory, clocks):
    """Also where no process has ended since."""
    path = directory / f".archive-{'d' * 32}.tmp"
    path.write_bytes(b"x")
    clocks.reaper().reap(directory)
    assert not path.exists()


def test_an_archive_that_the_user_removed_begins_again(directory):
    """Removing it is how to begin from zero: what was in memory does not come back."""
    reaper = Reaper()
    ended(directory, *ONE)
    reaper.reap(directory)
    (directory / ARCHIVE).unlink()
    ended(directory, *OTHER)
    expected = sums(directory)
    reaper.reap(directory)
    assert expected == sums(directory)


def test_nothing_stays_open(directory):
    """Reaping uses up no descriptors, whatever it meets."""
    before, reaper = len(os.listdir("/proc/self/fd")), Reaper()
    (directory / "x.seg").write_bytes(b"x")
    for _ in range(3):
        ended(directory, *ONE)
        ended(directory, *ONE, (COUNTER, ("bad",), [-1.0]))
        reaper.reap(directory)
    assert before == len(os.listdir("/proc/self/fd"))
