"""PyMySQL: the contract on a real MariaDB, all classes of cursors, procedures and batches."""

import importlib
import sys
from contextlib import contextmanager

import pymysql
import pymysql.cursors
import pytest

from perfsdk.integrations import INTEGRATIONS
from perfsdk.libraries import Libraries
from perfsdk.testing import Recording
from tests.integrations.mysql_contract import MysqlContract, MysqlCursors


class TestContract(MysqlContract):
    """The contract on a temporary table."""

    library = "pymysql"

    def owners(self):
        return [pymysql, pymysql.cursors.Cursor, pymysql.cursors.SSCursor, pymysql.Connection]

    @contextmanager
    def watch(self, client):
        """The statements that the server was sent."""
        sent = []
        send = client._execute_command

        def watched(command, sql):
            sent.append((command, sql))
            return send(command, sql)

        client._execute_command = watched
        yield sent
        del client._execute_command


class TestCursors(MysqlCursors):
    """What all drivers of this kind promise."""

    library = "pymysql"
    cursor_closed = "Cursor closed"


@pytest.fixture
def recorder_alone(tmp_path):
    """Where values go, while nothing is measured."""
    with Recording(tmp_path / "recording") as recording:
        yield recording


@pytest.mark.parametrize("when", ["before", "after"])
def test_under_the_name_of_mysqlclient_it_is_patched_once(recorder_alone, monkeypatch, when):
    """The integration of mysqlclient leaves PyMySQL alone that stands in for it."""
    for name in ("MySQLdb", "_mysql", "MySQLdb.constants"):
        monkeypatch.setitem(sys.modules, name, None)  # restored at the end
        del sys.modules[name]
    original = pymysql.cursors.Cursor.execute
    libraries = Libraries(recorder_alone.recorder)
    if when == "before":
        pymysql.install_as_MySQLdb()
    libraries.start(disabled=set(INTEGRATIONS) - {"MySQLdb", "pymysql"})
    if when == "after":
        pymysql.install_as_MySQLdb()
    assert pymysql is importlib.import_module("MySQLdb")
    libraries.write()
    assert original is pymysql.cursors.Cursor.execute.__wrapped__
    libraries.stop()
    assert original is pymysql.cursors.Cursor.execute
    statuses = recorder_alone.series("perfsdk_integration_info")
    assert {"pymysql"} == {
        labels["library"] for labels in statuses if labels["status"] != "disabled"
    }
