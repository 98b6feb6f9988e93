"""An archive gives back what was written, whole or not at all."""

import os
import stat
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfsdk.store import format as segment_format
from perfsdk.store.description import describe, parse_metric
from perfsdk.store.format import FormatError, unpack_header
from perfsdk_exporter.reaping.archive import read_archive, write_archive
from perfsdk_exporter.reaping.archive_reader import (
    ARCHIVE,
    CurrentArchive,
    DamagedError,
    open_archive,
)
from perfsdk_exporter.reaping.folding import MetricTotals, Total
from tests.store.metrics import COUNTER, NATIVE

COUNTS = parse_metric(describe(COUNTER))
REQUESTS = parse_metric(describe(NATIVE))
FOLDED = {bytes(range(16)), bytes(16)}

reals = st.floats(0.0, 1e300)


def counters(amount=2):
    """Totals of some counters."""
    found = {(f"{i}",): Total(array("d", [i + 0.5]), 1e-20, 9.0, {}) for i in range(amount)}
    return {COUNTS: MetricTotals(3.0, found)}


def natives():
    total = Total(array("d", [1.5, 1, 1, 1, 0]), -1e-17, 8.0, {-3: array("d", [1] + [0] * 7)})
    return {REQUESTS: MetricTotals(4.0, {(): total})}


@pytest.fixture
def archive(tmp_path):
    """The path of an archive with some of everything."""
    write_archive(tmp_path, {**counters(), **natives()}, FOLDED, now=1.0)
    return tmp_path / ARCHIVE


totals_of_counters = st.dictionaries(
    st.tuples(st.text(max_size=5)),
    st.tuples(reals, st.floats(-1.0, 1.0), reals).map(
        lambda t: Total(array("d", [t[0]]), t[1], t[2], {})
    ),
    min_size=1,
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(totals_of_counters, st.sets(st.binary(min_size=16, max_size=16), max_size=3))
def test_totals_and_identities_come_back(tmp_path, series, folded):
    """Every real to the last bit, every label, in the order in which they were."""
    totals = {COUNTS: MetricTotals(5.0, series), **natives()}
    written = write_archive(tmp_path, totals, folded, now=7.0)
    found = read_archive(tmp_path / ARCHIVE)
    assert totals == found.totals
    assert list(series) == list(found.totals[COUNTS].series)
    assert folded == found.folded
    assert (written.identity, written.size_bytes) == (found.identity, found.size_bytes)
    assert found.size_bytes == os.path.getsize(tmp_path / ARCHIVE)


def test_without_a_file_there_are_no_totals(tmp_path):
    """The first archive of a directory replaces none."""
    assert ({}, frozenset(), 0) == read_archive(tmp_path / ARCHIVE)[1:]


def test_more_identities_than_fit_into_one_record(tmp_path):
    """Thousands of files that cannot be removed are still in the list."""
    folded = {os.urandom(16) for _ in range(2500)}
    write_archive(tmp_path, {}, folded, now=1.0)
    assert folded == read_archive(tmp_path / ARCHIVE).folded


def test_of_one_name_the_newest_description_is_first(tmp_path):
    """Where no living process says what a metric is, the first of the archive does."""
    counter = parse_metric({**describe(COUNTER), "help": "Newer."})
    totals = {**counters(), **natives(), counter: MetricTotals(4.0, counters()[COUNTS].series)}
    write_archive(tmp_path, totals, (), now=1.0)
    assert [counter, COUNTS, REQUESTS] == list(read_archive(tmp_path / ARCHIVE).totals)


def test_bits_that_are_wrong_are_found(archive):
    """One wrong bit anywhere: the archive is damaged, or all that it says is still right."""
    whole, right = archive.read_bytes(), read_archive(archive)
    header = unpack_header(whole)
    used = [*range(88), *range(header.page, len(whole))]
    damaged = 0
    for offset in used:
        changed = bytearray(whole)
        changed[offset] ^= 1 << (offset % 8)
        archive.write_bytes(changed)
        try:
            assert right == read_archive(archive)
        except FormatError:
            damaged += 1
    assert damaged > len(used) - 40


def test_a_file_cut_off_anywhere_is_damaged(archive):
    """Also when nothing is left."""
    whole = archive.read_bytes()
    for size in [*range(150), *range(150, len(whole), 97), len(whole) - 1]:
        archive.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            read_archive(archive)


def test_zeros_where_values_were_are_damage(archive):
    """As a file system may leave it after the machine lost its power."""
    header = unpack_header(archive.read_bytes())
    with archive.open("r+b") as file:
        file.seek(header.page)
        file.write(bytes(header.values_size))
    with pytest.raises(DamagedError, match="checksum of the values"):
        read_archive(archive)


def make_newer(path):
    data = bytearray(path.read_bytes())
    data[8:12] = (segment_format.VERSION + 1).to_bytes(4, "little")
    path.write_bytes(data)


def make_link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("make", [make_newer, make_link, make_directory])
def test_what_is_not_ours_is_not_damaged(archive, make):
    """A newer exporter's archive, a link, a directory: an error, and nothing to put aside."""
    make(archive)
    with pytest.raises((FormatError, OSError)) as error:
        read_archive(archive)
    assert not isinstance(error.value, DamagedError)


@pytest.mark.parametrize(("mode", "expected"), [(0o700, 0o600), (0o2770, 0o660)])
def test_who_may_write_the_directory_may_write_the_archive(tmp_path, mode, expected):
    """Like the segments beside it, whatever the umask."""
    tmp_path.chmod(mode)
    before = os.umask(0o077)
    try:
        write_archive(tmp_path, {}, (), now=1.0)
    finally:
        os.umask(before)
    assert expected == stat.S_IMODE((tmp_path / ARCHIVE).stat().st_mode)


def test_a_refused_write_leaves_the_archive_before(archive, monkeypatch):
    """A full disk: the old one is still whole, and no temporary file stays."""
    before = archive.read_bytes()

    def full(fd, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            write_archive(archive.parent, {}, (), now=1.0)
    assert before == archive.read_bytes()
    assert [ARCHIVE] == os.listdir(archive.parent)


def test_what_two_archives_describe_alike_is_parsed_once(tmp_path):
    """Other values, more series: the series of the archive before are the same objects."""
    path, current = tmp_path / ARCHIVE, CurrentArchive()
    current.refresh(path)
    assert current.reader is None
    write_archive(tmp_path, counters(2), FOLDED, now=1.0)
    assert not current.is_current(path)
    current.refresh(path)
    series = list(current.reader.series)
    totals = counters(3)
    totals[COUNTS].series["0",].cells[0] = 77.0
    write_archive(tmp_path, totals, (), now=2.0)
    current.refresh(path)
    assert current.is_current(path)
    assert set() == current.folded
    assert all(a is b for a, b in zip(series, current.reader.series, strict=False))
    assert 3 == len(current.reader.series)
    assert 77.0 == current.reader.values[0]
    write_archive(tmp_path, natives(), (), now=3.0)
    current.refresh(path)
    assert [-3] == list(current.reader.series[0].blocks)
    current.close()


def test_nothing_stays_open(archive):
    """Whatever was found, descriptors are given back."""
    before = len(os.listdir("/proc/self/fd"))
    current = CurrentArchive()
    for _ in range(3):
        current.refresh(archive)
        write_archive(archive.parent, counters(), (), now=1.0)
    current.close()
    open_archive(archive).close()
    archive.write_bytes(b"x")
    with pytest.raises(DamagedError):
        current.refresh(archive)
    assert before == len(os.listdir("/proc/self/fd"))
