"""A segment is locked before it is seen, takes little, and gives room out once."""

import errno
import fcntl
import math
import os
import stat
import time

import pytest

from perfsdk.store import segment as segment_module
from perfsdk.store.format import SCRATCH_CELLS, pack_record
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.store.segment import KEPT_FOR_SELF, LockUnavailableError, Segment, SegmentFullError
from tests.store.metrics import COUNTER, TOTAL, only_segment, read

MIB = 1 << 20


@pytest.fixture
def make_segment(tmp_path):
    """Makes segments and closes them."""
    segments = []

    def make(*, size_bytes=MIB, file_mode=0o600):
        segments.append(Segment.create(tmp_path, size_bytes=size_bytes, file_mode=file_mode))
        return segments[-1]

    yield make
    for segment in segments:
        segment.close()


def refuse(number, monkeypatch, *, calls_allowed=0):
    """Make every reservation of space fail, but for the first ones."""
    real = os.posix_fallocate
    calls = []

    def posix_fallocate(fd, offset, size):
        calls.append(offset)
        if len(calls) > calls_allowed:
            raise OSError(number, os.strerror(number))
        real(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", posix_fallocate)
    return calls


def test_a_file_is_locked_before_it_is_found(tmp_path, monkeypatch, make_segment):
    """Until the lock is held the file has a name that no reader looks at."""
    seen = []
    rename = os.rename

    def spy(source, target):
        with source.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        seen.append((source.name, find_segments(tmp_path), source.parent == target.parent))
        rename(source, target)

    monkeypatch.setattr(os, "rename", spy)
    segment = make_segment()
    identity = segment.header.identity.hex()
    assert [(f".{identity}.tmp", [], True)] == seen
    assert [tmp_path / f"{identity}.seg"] == find_segments(tmp_path) == [segment.path]


def test_the_lock_is_not_on_the_mapped_description(make_segment):
    """Closing what is mapped keeps the lock; closing the descriptor that locked releases it."""
    segment = make_segment()
    reader = read(segment.path)
    os.close(segment._fd)
    segment._fd = -1
    assert reader.is_live()
    segment.close()
    assert not reader.is_live()
    segment.values[0] = 1.0  # and what still holds the memory may still store into it
    reader.close()


def test_asking_for_life_leaves_no_lock(make_segment):
    """Readers of a dead segment neither make it look alive nor keep anyone from reaping it."""
    segment = make_segment()
    segment.close()
    readers = [read(segment.path) for _ in range(3)]
    assert [False] * 6 == [reader.is_live() for reader in readers * 2]
    with segment.path.open("rb") as reaping:
        fcntl.flock(reaping, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for reader in readers:
        reader.close()


def test_a_new_segment_takes_little_space(make_segment):
    """Of 16 MiB only the first steps are on the disk."""
    status = make_segment(size_bytes=16 * MIB).path.stat()
    assert status.st_size == 16 * MIB
    assert status.st_blocks * 512 <= 128 << 10


@pytest.mark.parametrize("mode", [0o600, 0o660])
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_given_whatever_the_umask(mode, umask, make_segment):
    """A umask neither opens nor closes the file."""
    before = os.umask(umask)
    try:
        segment = make_segment(file_mode=mode)
    finally:
        os.umask(before)
    assert mode == stat.S_IMODE(segment.path.stat().st_mode)


def test_nothing_is_left_of_a_segment_that_could_not_be_made(tmp_path, monkeypatch):
    """No file and no descriptor remain, wherever making it fails."""
    before = sorted(os.listdir("/proc/self/fd"))
    for failing in ("ftruncate", "pwrite", "posix_fallocate", "rename"):
        with monkeypatch.context() as patch:

            def fail(*_):
                raise OSError(errno.EIO, "broken")

            patch.setattr(os, failing, fail)
            with pytest.raises((OSError, SegmentFullError)):
                Segment.create(tmp_path, size_bytes=MIB, file_mode=0o600)
        assert not list(tmp_path.iterdir())
        assert before == sorted(os.listdir("/proc/self/fd"))


def test_without_locks_there_is_no_segment(tmp_path, monkeypatch):
    """A file system that cannot lock is told from one that cannot write."""

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LockUnavailableError):
        Segment.create(tmp_path, size_bytes=MIB, file_mode=0o600)
    assert not list(tmp_path.iterdir())


def test_cells_are_zero_aligned_and_given_once(make_segment):
    """No two allocations overlap, none touches the scratch cells."""
    segment = make_segment()
    taken = set(range(SCRATCH_CELLS))
    for index in range(2000):
        count, align = 1 + index % 19, (1, 8, 3)[index % 3]
        start = segment.allocate_cells(count, align=align)
        cells = range(start, start + count)
        assert 0 == start % align
        assert not taken.intersection(cells)
        assert not any(segment.values[cell] for cell in cells)
        for cell in cells:
            segment.values[cell] = math.pi
        taken.update(cells)


def test_the_bound_holds_and_keeps_room_for_self(make_writer, segments):
    """Filled up, a segment of 1 MiB is not larger, and metrics about ourselves still fit."""
    writer = make_writer(size_bytes=MIB)
    cells = []
    while cell := writer.series(COUNTER, [f"{len(cells)}" * 20]):
        cells.append(cell)
    writer.values[cells[0]] += 3.0
    path = only_segment(segments)
    assert len(cells) > 500
    last = f"{len(cells)}" * 20  # a shorter one may still fit
    assert [0] * 100 == [writer.series(COUNTER, [last]) for _ in range(100)]
    about_self = [writer.series(COUNTER, [f"self {i}"], for_self=True) for i in range(20)]
    assert 0 not in about_self
    assert MIB == path.stat().st_size
    assert path.stat().st_blocks * 512 <= MIB
    reader = read(path)
    assert len(cells) + 20 == len(reader.series)
    assert 3.0 == reader.values[cells[0]]
    reader.close()


def test_refused_series_take_no_cells(make_writer):
    """When a series cannot be described, the cells for it are not used up either."""
    writer = make_writer(size_bytes=MIB)
    while writer.series(COUNTER, ["x" * 4000]):
        pass
    before = writer.segment.cells_end
    assert [0] * 50 == [writer.series(COUNTER, ["x" * 4000]) for _ in range(50)]
    assert before == writer.segment.cells_end


def test_without_space_old_series_count_and_new_ones_come_later(make_writer, segments, monkeypatch):
    """A full disk turns new series away, is asked again after 5 s, and loses nothing else."""
    clock = [1000.0]
    monkeypatch.setattr(segment_module.time, "monotonic", lambda: clock[0])
    writer = make_writer()
    old = writer.series(TOTAL, [])
    with monkeypatch.context() as patch:
        calls = refuse(errno.ENOSPC, patch)
        while writer.series(COUNTER, ["x" * 1000]):
            pass
        assert 1 == len(calls)
        assert 0 != writer.series(COUNTER, ["self"], for_self=True)
        assert 0 == writer.series(COUNTER, ["x" * 1000])
        assert 1 == len(calls)  # not asked at every series
        clock[0] += 5.1
        assert 0 == writer.series(COUNTER, ["x" * 1000])
        assert 2 == len(calls)
        writer.values[old] += 1.0
    assert 0 == writer.series(COUNTER, ["x" * 1000])
    clock[0] += 5.1
    new = writer.series(COUNTER, ["new"])
    assert 0 != new
    writer.values[new] += 2.0
    reader = read(only_segment(segments))
    assert {1.0, 2.0} == {reader.values[cell] for cell in (old, new)}
    reader.close()


@pytest.mark.parametrize(
    "number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM, None]
)
def test_where_space_cannot_be_reserved_zeros_are_written(number, monkeypatch, make_segment):
    """File systems and systems without posix_fallocate get the same guarantee."""
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        refuse(number, monkeypatch)
    segment = make_segment(size_bytes=16 * MIB)
    assert segment.path.stat().st_blocks * 512 >= 96 << 10
    cell = segment.allocate_cells(40_000)
    assert segment.path.stat().st_blocks * 512 >= 40_000 * 8
    segment.values[cell] = segment.values[cell + 39_999] = 1.0
    segment.append_record(pack_record(["x" * 100_000]))
    assert segment.path.stat().st_blocks * 512 >= 420_000


def test_a_full_disk_without_fallocate_is_noticed_too(monkeypatch, make_segment):
    """Zeros that find no space turn the series away; what was there stays as it was."""
    monkeypatch.delattr(os, "posix_fallocate")
    segment = make_segment()
    cell = segment.allocate_cells(10)
    segment.values[cell] = 5.0

    def pwrite(*_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(SegmentFullError):
            segment.allocate_cells(20_000)
    segment._refused_until = 0.0
    assert cell + 10 == segment.allocate_cells(20_000)
    assert 5.0 == segment.values[cell]


def test_what_found_no_room_was_not_taken(make_segment):
    """After a refusal the same room is given to what fits."""
    segment = make_segment()
    cells_end, records_end = segment.cells_end, segment.records_end
    with pytest.raises(SegmentFullError):
        segment.allocate_cells(MIB)
    with pytest.raises(SegmentFullError):
        segment.append_record(pack_record(["x" * (MIB // 2)]))
    with pytest.raises(SegmentFullError):
        segment.make_room(MIB)
    assert (cells_end, records_end) == (segment.cells_end, segment.records_end)
    most = segment.header.records_size - records_end - KEPT_FOR_SELF - 32
    segment.append_record(pack_record(["x" * most]))
    reader = SegmentReader(segment.path)
    reader.refresh()
    assert 0 == reader.unreadable_records
    reader.close()


def test_a_segment_knows_whether_it_can_be_found(make_segment, tmp_path, monkeypatch):
    """Removed or replaced is not published; what cannot be told counts as published."""
    segment = make_segment()
    assert segment.is_published()
    with monkeypatch.context() as patch:

        def unreachable(*_, **__):
            raise PermissionError

        patch.setattr(os, "stat", unreachable)
        assert segment.is_published()  # a second file would count everything twice
    segment.path.rename(tmp_path / "elsewhere")
    assert not segment.is_published()
    segment.path.write_bytes(b"")
    assert not segment.is_published()
    in_memory = Segment.in_memory(size_bytes=MIB)
    assert not in_memory.is_published()


def test_the_start_is_a_time_of_day(make_segment):
    """`started` is in seconds since the epoch, for the exporter to order processes by."""
    before = time.time()
    assert before <= make_segment().header.started <= time.time()
