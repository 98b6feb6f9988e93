"""The databases that integrations talk to: each once for the whole run."""

import pytest

from perfsdk.testing import Recording
from tests.mariadb import start_mariadb
from tests.postgresql import start_postgresql


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A real PostgreSQL; a test empties what it needs empty."""
    with start_postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory):
    """A real MariaDB; a test empties what it needs empty."""
    with start_mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def recording(tmp_path):
    """Where the test's values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording
