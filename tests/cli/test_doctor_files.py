"""`perfsdk doctor` names each file that cannot be read, and no file does more to it than that."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.catalog import INTEGRATION_INFO, PROCESS_START_TIME, WORKERS
from perfsdk.cli.doctor.segments import read_segments
from perfsdk.recorder import Recorder
from perfsdk.store.format import PAGE
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import Writer
from perfsdk.testing import Recording
from tests.cli.doctoring import examine_files
from tests.store.crafted import segment_of

NEW_ONE = "remove it; a process that lives makes a new one with all its numbers"


@pytest.fixture
def worker(perfsdk_dir):
    """This process, which writes into the directory of the test."""
    with Recording(perfsdk_dir) as recording:
        recording.recorder.gauge(WORKERS).set((), 1.0)
        yield recording


def test_each_unreadable_file_is_named_with_its_reason(worker, perfsdk_dir, capsys):
    """What is wrong with it and what to do; the live worker beside them still counts."""
    (original,) = find_segments(perfsdk_dir)
    content = original.read_bytes()
    (perfsdk_dir / "copy.seg").write_bytes(content)
    (perfsdk_dir / "future.seg").write_bytes(content[:8] + b"\x09" + content[9:])
    (perfsdk_dir / "garbled.seg").write_bytes(content[:20] + b"?" + content[21:])
    (perfsdk_dir / "link.seg").symlink_to(original)
    (perfsdk_dir / "short.seg").write_bytes(content[:5000])
    (perfsdk_dir / "text.seg").write_bytes(b"not a segment" * 20)
    report, problems = examine_files(capsys)
    assert "Workers: 1 live" in report.text
    assert [
        f"copy.seg: is a copy of {original.name}; remove it",
        (
            "future.seg: format version 9, this reader knows 1; install here and beside the "
            "exporter the perfsdk of the application"
        ),
        f"garbled.seg: header checksum does not hold; {NEW_ONE}",
        "link.seg: is a symbolic link; remove it",
        f"short.seg: truncated; {NEW_ONE}",
        f"text.seg: not a segment; {NEW_ONE}",
    ] == problems


def test_many_unreadable_files_are_not_all_named(worker, perfsdk_dir, capsys):
    """Ten, and how many more there are."""
    for number in range(13):
        (perfsdk_dir / f"{number:02}.seg").write_bytes(b"")
    _, problems = examine_files(capsys)
    assert 11 == len(problems)
    assert "3 more files that cannot be read; remove them" == problems[-1]


def test_what_a_file_says_cannot_move_the_cursor(perfsdk_dir, capsys):
    """Control characters in facts and labels of a file are shown as escapes."""
    labels = {"labels": ["where"], "name": "perfsdk_internal_errors_total", "kind": "counter"}
    content = bytearray(
        segment_of(["meta", {"service": "\x1b[2J"}], ["metric", 1, {**labels, "bounds": []}],
                   ["series", 1, 64, ["\x1b[31m\nproblem: none"]])
    )  # fmt: skip
    content[4096 + 64 * 8 : 4096 + 65 * 8] = b"\0\0\0\0\0\0\xf0\x3f"  # the real 1.0
    (perfsdk_dir / "hostile.seg").write_bytes(content)
    report, problems = examine_files(capsys)
    assert "\x1b" not in report.text
    assert 2 == len(problems)
    assert r"1 error inside perfsdk in \x1b[31m\nproblem: none;" in problems[1]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The bytes of a small segment, and where in it there is something."""
    writer = Writer(tmp_path_factory.mktemp("sample"), size_bytes=64 << 10)
    recorder = Recorder(writer)
    recorder.count_error("x.y")
    recorder.gauge(PROCESS_START_TIME).set(("0",), 1.7e9)
    recorder.gauge(INTEGRATION_INFO).set(("redis", "5.0", "active"), 1.0)
    content = writer.segment.path.read_bytes()
    records = writer.segment.header.records_offset
    writer.close()
    return content, (range(120), range(PAGE, PAGE + 800), range(records, records + 900))


@settings(max_examples=100)
@given(data=st.data())
def test_no_file_breaks_the_doctor(sample, data):
    """Whatever bytes are changed, the file is read or named."""
    content, places = bytearray(sample[0]), st.sampled_from([n for part in sample[1] for n in part])
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = byte
    with tempfile.TemporaryDirectory() as name:
        Path(name, "changed.seg").write_bytes(content)
        reading = read_segments(Path(name))
    assert 1 == reading.dead + len(reading.unreadable)
    assert all(number >= 0 for number in reading.counts.values())
