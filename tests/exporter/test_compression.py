"""A compressed page is the page, made while it is written, whatever pieces it comes in."""

import gzip
import os
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk_exporter.formats import compression
from perfsdk_exporter.formats.compression import ENCODINGS, compress

DECOMPRESS = {"identity": bytes, "gzip": gzip.decompress}
if compression.zstd:
    DECOMPRESS["zstd"] = compression.zstd.decompress

all_encodings = pytest.mark.parametrize("encoding", DECOMPRESS)


@all_encodings
@given(chunks=st.lists(st.binary(max_size=300), max_size=8))
def test_the_page_comes_back(encoding, chunks):
    """Any pieces, empty ones too, are one stream that gives what went in."""
    expected = b"".join(chunks)
    assert expected == DECOMPRESS[encoding](b"".join(compress(chunks, encoding)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_page_shrinks_to_a_tenth(encoding):
    """Series repeat their names and labels."""
    chunks = [b'm_bucket{route="/orders/%d",le="0.005"} 17.0\n' % number for number in range(5000)]
    size = sum(map(len, compress(chunks, encoding)))
    assert size < sum(map(len, chunks)) / 10


@all_encodings
def test_it_is_made_while_it_is_written(encoding):
    """No more is held than a part of the page, and pieces leave before the last one came."""
    left = []
    noise = os.urandom(1 << 18)

    def chunks():
        for _ in range(64):
            yield noise
        left.append(total)

    total = 0
    tracemalloc.start()
    try:
        for piece in compress(chunks(), encoding):
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left[0] > 0
    assert peak < 4 << 20


def test_the_gzip_stream_says_nothing_of_the_time():
    """The same page is the same bytes."""
    header = b"".join(compress([b"page"], "gzip"))[:8]
    expected = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
    assert expected == header


@pytest.mark.parametrize("encoding", ["br", "", "GZIP"])
def test_another_coding_is_refused_before_anything_is_written(encoding):
    """The error names what there is."""
    with pytest.raises(ValueError, match="known are identity"):
        compress([], encoding)


def test_without_zstd_in_the_interpreter_it_is_not_offered():
    """Python can be built without it; then gzip is what there is."""
    code = (
        "import sys; sys.modules['backports.zstd'] = sys.modules['compression'] = None\n"
        "from perfsdk_exporter.formats.compression import ENCODINGS, compress\n"
        "from perfsdk_exporter.formats.negotiation import choose_encoding\n"
        "assert ENCODINGS == ('gzip',)\n"
        "assert choose_encoding('zstd, gzip;q=0.1') == 'gzip'\n"
        "assert choose_encoding('zstd') == 'identity'\n"
        "assert b''.join(compress([b'x'], 'gzip'))\n"
        "try:\n"
        "    compress([], 'zstd')\n"
        "except ValueError:\n"
        "    print('refused')\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "refused\n"
