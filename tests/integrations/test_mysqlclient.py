"""mysqlclient: the contract on a real MariaDB, all classes of cursors, procedures and batches."""

import importlib.metadata
from contextlib import closing, contextmanager

import pytest

from perfsdk.integrations import INTEGRATIONS
from perfsdk.integrations import mysqlclient as integration
from perfsdk.libraries import Libraries
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, counts
from tests.integrations.mysql_contract import MysqlContract, MysqlCursors

try:
    import MySQLdb
    import MySQLdb.cursors
except ImportError:
    pass  # the fixture says so

pytestmark = pytest.mark.usefixtures("mysqldb")


class TestContract(MysqlContract):
    """The contract on a temporary table."""

    library = "MySQLdb"

    def owners(self):
        classes = MySQLdb.cursors
        used = [classes.BaseCursor, classes.CursorUseResultMixIn, classes.CursorStoreResultMixIn]
        return [MySQLdb, MySQLdb.connections.Connection, *used, *used[0].__subclasses__()]

    @contextmanager
    def watch(self, client):
        """The statements that the server was sent."""
        sent = []
        send = client.query

        def watched(query):
            sent.append(bytes(query))
            return send(query)

        client.query = watched
        yield sent
        del vars(client)["query"]  # the class lets nothing be deleted by `del`


class TestCursors(MysqlCursors):
    """What all drivers of this kind promise, and what is this one's own."""

    library = "MySQLdb"
    cursor_closed = "cursor closed"
    binary = (bytes, bytearray)
    wrong_statement = (AssertionError, TypeError, AttributeError)

    def test_what_is_left_over_when_the_next_result_is_asked_for_is_no_fetch(
        self, connection, recording
    ):
        """The application asked for none."""
        with connection.cursor(MySQLdb.cursors.SSCursor) as cursor:
            cursor.execute("SELECT id FROM items; SELECT name FROM items")
            assert 1 == cursor.nextset()
            assert 3 == len(cursor.fetchall())
            assert None is cursor.nextset()
        assert 1 == counts(recording)["FETCH", ""]
        assert 3 == recording.sum(ROWS, db_operation_name="FETCH")

    @pytest.mark.parametrize("given", ["db", "database", "position"])
    def test_the_database_is_the_one_given_to_connect(self, mariadb, recording, given):
        """By whichever name; none is the empty one."""
        address = {"host": mariadb.host, "port": mariadb.port, "user": mariadb.user}
        with closing(MySQLdb.connect(**address)) as without:
            without.cursor().execute("SELECT 1")
        assert 1 == recording.count(DURATION, db_namespace="")
        args = (mariadb.host, mariadb.user, "", "shop", mariadb.port)
        named = (
            MySQLdb.connect(*args)
            if given == "position"
            else MySQLdb.connect(**address, **{given: "shop"})
        )
        with closing(named):
            named.cursor().execute("SELECT 1")
        assert 1 == recording.count(DURATION, db_namespace="shop")

    def test_a_closed_connection_raises_what_the_library_raises(self, mariadb, recording):
        """Also one that has executed nothing before."""
        connection = MySQLdb.connect(host=mariadb.host, port=mariadb.port, user=mariadb.user)
        cursor = connection.cursor()
        connection.close()
        with pytest.raises(MySQLdb.OperationalError):
            cursor.execute("SELECT 1")
        assert 1 == recording.count(DURATION, error_type="OperationalError")

    def test_its_version_is_told(self, recording):
        """The module itself has none; the status of the integration shows it."""
        libraries = Libraries(recording.recorder)
        libraries.start(disabled=set(INTEGRATIONS) - {"MySQLdb"})
        libraries.write()
        libraries.stop()
        version = importlib.metadata.version("mysqlclient")
        labels = {"library": "MySQLdb", "version": version, "status": "active"}
        assert 1 == recording.value("perfsdk_integration_info", **labels)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [((), {"db": "a"}, "a"), ((), {"database": "b"}, "b"), (("h", "u", "p", "c"), {}, "c")],
)
def test_a_connection_of_an_older_version_learns_its_database(args, kwargs, expected):
    """Those before 2.2.5 do not keep what they were given."""

    class Connection:
        def __init__(self, *args, **kwargs):
            self.given = args, kwargs

    patches = Patches()
    patches.replace(Connection, "__init__", integration._noting_database)
    made = Connection(*args, **kwargs)
    patches.undo()
    assert (expected, (args, kwargs)) == (made.db, made.given)
    assert not hasattr(Connection(), "db")
