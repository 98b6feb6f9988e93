"""Writers that are closed, and readers of what they wrote."""

import pytest

from perfsdk.store.writer import Writer
from tests.store.metrics import read


@pytest.fixture
def segments(tmp_path):
    """The directory of this test's segments; a writer makes it."""
    return tmp_path / "segments"


@pytest.fixture
def make_writer(segments):
    """Makes writers into the directory of the test, and closes them."""
    writers = []

    def make(directory=segments, **options):
        writers.append(Writer(directory, **options))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


@pytest.fixture
def writer(make_writer):
    """A writer into the directory of the test."""
    return make_writer()


@pytest.fixture
def open_reader():
    """Opens readers with a fresh snapshot, and closes them."""
    readers = []

    def make(path):
        readers.append(read(path))
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def file(tmp_path):
    """A path for a file that may be anything."""
    return tmp_path / "file.seg"
