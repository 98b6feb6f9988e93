"""The databases that integrations talk to: each once for the whole run."""

import pytest

from perfsdk.testing import Recording
from tests.mariadb import start_mariadb
from tests.memcached import start_memcached
from tests.postgresql import start_postgresql
from tests.redis_cluster import start_cluster, start_sentinel
from tests.servers import require_library


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


@pytest.fixture(scope="session")
def mysqldb():
    """The module of mysqlclient, which is built from its sources, with its cursors."""
    require_library("MySQLdb.cursors", "mysqlclient")
    return require_library("MySQLdb", "mysqlclient")


@pytest.fixture(scope="session")
def memcached(tmp_path_factory):
    """A real memcached; a test empties what it needs empty."""
    with start_memcached(tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    """A cluster of three masters."""
    with start_cluster(tmp_path_factory.mktemp("redis-cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel(tmp_path_factory):
    """A Sentinel, a master and its replica."""
    with start_sentinel(tmp_path_factory.mktemp("redis-sentinel")) as sentinel:
        yield sentinel


@pytest.fixture
def recording(tmp_path):
    """Where the test's values go."""
    with Recording(tmp_path / "recording") as recording:
        yield recording
