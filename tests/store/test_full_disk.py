"""No disk, however full, kills the process that records: a store never becomes a SIGBUS."""

import os
import resource
import subprocess

import pytest

from tests.store.metrics import TOTAL, read, snapshot
from tests.store.processes import run

RECORD_UNTIL_FULL = """
import os, sys
from pathlib import Path
from perfsdk.store import segment
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import Writer
from tests.store.metrics import COUNTER, SECONDS, TOTAL

directory, mode = Path(sys.argv[1]), sys.argv[2]
if mode == "zeros":
    del os.posix_fallocate
clock = [1000.0]
segment.time.monotonic = lambda: clock[0]
reasons = []
writer = Writer(directory / "segments", on_degraded=reasons.append)
old = writer.series(TOTAL, [])
assert find_segments(directory / "segments") and not reasons, reasons

def fill(most_bytes=1 << 20):
    with open(directory / "ballast", "ab", buffering=0) as ballast:
        try:
            for _ in range(most_bytes // 4096):
                ballast.write(bytes(4096))
        except OSError:
            assert most_bytes == 1 << 20

fill(100 << 10 if mode == "own" else 1 << 20)
cells = []
while cell := writer.series(SECONDS, [f"queue {len(cells)}"]):
    cells.append(cell)
fill()
assert len(cells) > 100, len(cells)
writer.values[old] += 1.0
for cell in [0, *cells]:
    for i in range(4):
        writer.values[cell + i] += 1.0
assert writer.series(COUNTER, ["dropped"], for_self=True)
assert not writer.series(SECONDS, ["more"])
(directory / "ballast").unlink()
assert not writer.series(SECONDS, ["more"])
clock[0] += 5.1
new = writer.series(SECONDS, ["more"])
assert new
writer.values[new] += 1.0
print(len(cells))
"""


@pytest.fixture
def small_tmpfs(tmp_path):
    """A tmpfs of 300 KiB; skips where mounting is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k,mode=0700", "tmpfs", tmp_path]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: a really full tmpfs needs the right to mount one")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("mode", ["ballast", "own", "zeros"])
def test_a_full_tmpfs_kills_nobody(small_tmpfs, mode):
    """Old series count on, new ones wait until there is space, and the process ends well."""
    count = int(run(RECORD_UNTIL_FULL, small_tmpfs, mode).stdout)
    values = snapshot(small_tmpfs / "segments")
    assert count + 3 == len(values)
    assert {1.0, 0.0} == set(values.values())
    assert 0.0 == values["keys_total", "dropped"]
    assert 1.0 == values["wait_seconds", "more"]


FORK_ON_A_FULL_DISK = """
import os, sys
from pathlib import Path
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import Writer
from tests.store.metrics import COUNTER

directory = Path(sys.argv[1])
reasons = []
writer = Writer(directory / "segments", on_degraded=reasons.append)
writer.facts({"long": "x" * 20_000})
cells = [writer.series(COUNTER, [f"{i}" * 100]) for i in range(400)]
assert all(cells)
pid = os.fork()
if pid == 0:
    # There is room for the first steps of a second file, not for all these series.
    for _ in range(3):
        assert writer.revive()
        writer.values[cells[-1]] += 1.0
        writer.series(COUNTER, ["new"])
    assert 1 == len(reasons), reasons
    assert 1 == len(find_segments(directory / "segments"))
    assert not list((directory / "segments").glob(".*"))
    os._exit(0)
assert 0 == os.waitpid(pid, 0)[1]
"""


def test_a_layout_that_finds_no_space_leaves_no_files(small_tmpfs):
    """A child whose series do not fit on the disk records in memory, says so once, leaves none."""
    run(FORK_ON_A_FULL_DISK, small_tmpfs)


MAINTAIN_ON_A_FULL_DISK = """
import os, shutil, sys
from pathlib import Path
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import Writer
from tests.store.metrics import COUNTER

directory = Path(sys.argv[1])
segments = directory / "segments"
reasons = []
writer = Writer(segments, on_degraded=reasons.append)
cells = [writer.series(COUNTER, [f"{i}" * 100]) for i in range(400)]
writer.values[cells[-1]] += 2.0
shutil.rmtree(segments)  # the blocks stay taken while the file is mapped
for _ in range(3):
    writer.maintain()
    assert not find_segments(segments)
    assert not list(segments.glob(".*"))
assert 1 == len(reasons), reasons
writer.values[cells[-1]] += 1.0
assert 3.0 == writer.values[cells[-1]]
"""


def test_a_lost_file_that_finds_no_space_leaves_no_files(small_tmpfs):
    """A writer whose directory is gone keeps its values in memory until there is space."""
    run(MAINTAIN_ON_A_FULL_DISK, small_tmpfs)


LIMITED = """
import resource, sys
from pathlib import Path
from perfsdk.store.writer import Writer
from tests.store.metrics import COUNTER

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
reasons = []
writer = Writer(Path(sys.argv[1]), on_degraded=reasons.append)
cells = [writer.series(COUNTER, [str(i)]) for i in range(5000)]
for cell in cells:
    writer.values[cell] += 1.0
writer.maintain()
print(reasons)
"""


@pytest.mark.parametrize("limit", [0, 4096, 1 << 20])
def test_a_limit_on_file_sizes_kills_nobody(segments, limit):
    """Under `ulimit -f` the process records into its memory and says why, in one line."""
    expected = f'["{segments}: File too large"]\n'.replace('"', "'")
    assert expected == run(LIMITED, segments, limit).stdout
    assert not list(segments.glob("*"))


def test_a_limit_on_open_files_kills_nobody(make_writer):
    """Without a free descriptor values go to memory, and to a file when there is one again."""
    reasons = []
    writer = make_writer(on_degraded=reasons.append)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        cell = writer.series(TOTAL, [])
        writer.values[cell] += 2.0
        writer.maintain()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 1 == len(reasons)
    assert "Too many open files" in reasons[0]
    writer.maintain()
    reader = read(writer.segment.path)
    assert 2.0 == reader.values[cell]
    reader.close()
