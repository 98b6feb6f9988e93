"""psycopg2: the contract, factories of the library and of the application, and named cursors."""

import functools
import io
import logging
from contextlib import closing, contextmanager, suppress
from time import perf_counter

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest
import sqlalchemy
from psycopg2 import sql

from perfsdk.integrations import psycopg2 as integration
from perfsdk.integrations import psycopg2_extras
from perfsdk.integrations import sqlalchemy as sqlalchemy_integration
from perfsdk.request import DB, Account, counted, current
from perfsdk.testing import Recording
from perfsdk.wrapping.known_statements import statements_of
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, CursorContract

SYSTEM = {"db_system_name": "postgresql", "db_namespace": "shop"}
SELECT = "SELECT name FROM items WHERE id = %s"


class TestContract(CursorContract):
    """The contract on a temporary table."""

    library = "psycopg2"
    labels = {**SYSTEM, "db_operation_name": "SELECT", "db_collection_name": "items"}  # noqa: RUF012 - read only
    failure_labels = {**labels, "db_operation_name": "INSERT"}  # noqa: RUF012 - read only
    error_type = "NotNullViolation"
    bounded = {  # noqa: RUF012 - read only
        "db_system_name": {"postgresql"},
        "db_namespace": {"shop"},
        "db_operation_name": {"CREATE", "INSERT", "SELECT"},
        "db_collection_name": {"items", ""},
        "error_type": {"", "NotNullViolation"},
    }
    result = [(0,)]  # noqa: RUF012 - read only
    existing_clients_are_not_measured = "the library's class cannot be changed"

    @pytest.fixture(autouse=True)
    def _server(self, postgresql):
        self.server = postgresql

    def owners(self):
        extensions = psycopg2.extensions
        return [psycopg2, psycopg2._psycopg, extensions, extensions.connection, extensions.cursor]

    @contextmanager
    def client(self):
        with closing(psycopg2.connect(self.server.dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE TEMP TABLE items (id integer NOT NULL, name text)")
            yield connection

    def succeed_inside_with(self, client):
        with client, client.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM items")
            return cursor.fetchall()

    def vary(self, client, number):
        cursor = client.cursor()
        cursor.execute(f"INSERT INTO items VALUES ({number}, 'name {number}')")
        cursor.execute(SELECT, (number,))
        cursor.execute(f"SELECT 'from x{number}' FROM items WHERE id = {number}".encode())

    @contextmanager
    def watch(self, client):
        """What the server's statistics count of this table."""
        seen = []
        with closing(psycopg2.extensions.connection(self.server.dsn)) as observer:
            observer.autocommit = True
            cursor = observer.cursor()
            cursor.execute("SELECT pg_stat_statements_reset()")
            yield seen
            cursor.execute(
                "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%items%' ORDER BY 1"
            )
            seen += cursor.fetchall()


@pytest.fixture
def recording(tmp_path):
    """Where the values go while psycopg2 and its extras are patched."""
    patches = Patches()
    with Recording(tmp_path / "recording") as recording:
        integration.patch(psycopg2, patches, recording.recorder)
        psycopg2_extras.patch(psycopg2.extras, patches, recording.recorder)
        yield recording
        patches.undo()


@pytest.fixture
def connect(recording, postgresql):
    """Connects to the server; what it gave is closed at the end."""
    made = []

    def connect(*args, **kwargs):
        made.append(psycopg2.connect(postgresql.dsn, *args, **kwargs))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


@pytest.fixture
def connection(connect):
    """A measured connection with an empty temporary table `t`; nothing is counted of it yet."""
    connection = connect()
    connection.autocommit = True
    psycopg2.extensions.cursor(connection).execute("CREATE TEMP TABLE t (a integer, b text)")
    return connection


@contextmanager
def request():
    """An account of a request, while it is served."""
    account = Account(perf_counter())
    token = current.set(account)
    yield account
    current.reset(token)


def summaries(recording):
    """The statements by their text without literals."""
    return {statement.summary: statement for statement in statements_of(recording.recorder)}


def test_a_connect_imported_before_is_measured(recording, postgresql):
    """What is patched is the function that `psycopg2.connect` calls."""
    assert "psycopg2" == psycopg2.connect.__module__
    assert not hasattr(psycopg2.connect, "__wrapped__")
    with closing(psycopg2.connect(postgresql.dsn)) as connection:
        connection.cursor().execute("SELECT 1")
    assert 1 == recording.count(DURATION, db_operation_name="SELECT", **SYSTEM)


def test_connections_and_cursors_look_like_the_library_s(connection):
    """Type checks hold, names and texts are the same."""
    cursor = connection.cursor()
    for made, original in (
        (connection, psycopg2.extensions.connection),
        (cursor, psycopg2.extensions.cursor),
        (connection.cursor("n"), psycopg2.extensions.cursor),
    ):
        assert isinstance(made, original)
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            assert getattr(original, name) == getattr(type(made), name)
    assert repr(connection).startswith("<connection object at ")
    assert repr(cursor).startswith("<cursor object at ")
    assert connection is cursor.connection
    assert connection.cursor_factory is None


@pytest.mark.parametrize(
    "factory",
    [
        psycopg2.extras.DictCursor,
        psycopg2.extras.RealDictCursor,
        psycopg2.extras.NamedTupleCursor,
    ],
)
@pytest.mark.parametrize("how", ["cursor", "position", "connect", "attribute", "connection"])
def test_cursors_of_extras_are_measured(recording, connect, factory, how):
    """Wherever the class is given, its rows come as ever and count once."""
    kind = factory.__name__.replace("Cursor", "Connection")
    given = {
        "connect": {"cursor_factory": factory},
        "connection": {"connection_factory": getattr(psycopg2.extras, kind)},
    }
    connection = connect(**given.get(how, {}))
    if how == "attribute":
        connection.cursor_factory = factory
        assert factory is connection.cursor_factory
    if how == "position":
        cursor = connection.cursor(None, factory)
    else:
        cursor = connection.cursor(**({"cursor_factory": factory} if how == "cursor" else {}))
    assert isinstance(cursor, factory)
    cursor.execute("SELECT 1 AS one, 2 AS two")
    row = cursor.fetchone()
    if factory is psycopg2.extras.NamedTupleCursor:
        assert (1, 2) == (row.one, row.two)
    else:
        assert (1, 2) == (row["one"], row["two"])
        assert {"one": 1, "two": 2} == dict(row)
    assert (1, 1.0) == (recording.count(ROWS), recording.sum(ROWS))
    assert 1 == recording.count(DURATION)


def test_connections_that_log_are_measured(recording, connect, caplog):
    """They log what they did before, and time it themselves."""
    logger = logging.getLogger("test_psycopg2")
    for factory in (
        psycopg2.extras.LoggingConnection,
        psycopg2.extras.MinTimeLoggingConnection,
    ):
        connection = connect(factory)
        assert isinstance(connection, factory)
        connection.initialize(logger)
        with caplog.at_level(logging.DEBUG, "test_psycopg2"):
            connection.cursor().execute("SELECT %s", ("a",))
        assert "SELECT 'a'" in caplog.text
        caplog.clear()
    assert 2 == recording.count(DURATION)


def test_classes_of_the_application_are_extended(recording, connect):
    """Their methods run, also those that execute while the connection is being made."""

    class Mine(psycopg2.extensions.connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tag = "x"
            with self.cursor() as cursor:
                cursor.execute("SET application_name TO 'mine'")

        def cursor(self, *args, **kwargs):
            kwargs.setdefault("cursor_factory", Cursor)
            return super().cursor(*args, **kwargs)

    class Cursor(psycopg2.extensions.cursor):
        def one(self):
            self.execute("SELECT 1")
            return self.fetchone()

    kinds = set()
    for _ in range(2):
        connection = connect(connection_factory=Mine)
        assert isinstance(connection, Mine)
        assert "x" == connection.tag
        cursor = connection.cursor()
        assert isinstance(cursor, Cursor)
        assert (1,) == cursor.one()
        kinds.add((type(connection), type(cursor)))
    assert 1 == len(kinds)
    assert 2 == recording.count(DURATION, db_operation_name="SET")
    assert 2 == recording.count(DURATION, db_operation_name="SELECT")


def test_callables_given_as_factories_are_left_alone(recording, connect, postgresql):
    """The application gets what it made, unmeasured."""
    plain = connect(connection_factory=lambda dsn, *_: psycopg2.extensions.connection(dsn))
    assert psycopg2.extensions.connection is type(plain)
    plain.cursor().execute("SELECT 1")
    cursor = connect().cursor(cursor_factory=functools.partial(psycopg2.extensions.cursor))
    assert psycopg2.extensions.cursor is type(cursor)
    cursor.execute("SELECT 1")
    assert [] == recording.series(DURATION)


def test_asynchronous_and_replication_connections_are_left_alone(recording, postgresql):
    """Their `execute` only sends, or streams: they work, and nothing is counted."""
    with closing(psycopg2.connect(postgresql.dsn, async_=True)) as connection:
        psycopg2.extras.wait_select(connection)
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        psycopg2.extras.wait_select(connection)
        assert [(1,)] == cursor.fetchall()
    replication = psycopg2.extras.PhysicalReplicationConnection
    with closing(psycopg2.connect(postgresql.dsn, connection_factory=replication)) as connection:
        assert isinstance(connection, replication)
        cursor = connection.cursor()
        assert isinstance(cursor, psycopg2.extras.ReplicationCursor)
        cursor.execute("IDENTIFY_SYSTEM")
        assert 1 == len(cursor.fetchall())
    assert [] == recording.series(DURATION)


def test_what_checks_for_real_connections_works(connection):
    """register_type, quote_ident, encrypt_password, adapters, large objects, transactions."""
    extensions = psycopg2.extensions
    cursor = connection.cursor()
    for scope in (connection, cursor):
        extensions.register_type(extensions.UNICODE, scope)
        assert '"a ""b"""' == extensions.quote_ident('a "b"', scope)
    assert extensions.encrypt_password("p", "u", connection, "md5").startswith("md5")
    for adapted in (psycopg2.extras.Json({"a": 1}), psycopg2.Binary(b"x"), ["a", "b"]):
        adapter = extensions.adapt(adapted)
        adapter.prepare(connection)
        assert b"" != adapter.getquoted()
    cursor.execute("SELECT %s::jsonb, %s", (psycopg2.extras.Json({"a": 1}), ["x"]))
    assert ({"a": 1}, ["x"]) == cursor.fetchone()
    psycopg2.extras.register_default_jsonb(connection, loads=lambda _: "mine")
    cursor.execute("SELECT '{}'::jsonb")
    assert ("mine",) == cursor.fetchone()
    assert b"SELECT 'a'" == cursor.mogrify("SELECT %s", ("a",))
    connection.autocommit = False
    large = connection.lobject()
    large.write("abc")
    large.close()
    connection.rollback()
    with suppress(ZeroDivisionError), connection, connection.cursor() as inner:
        inner.execute("INSERT INTO t VALUES (1)")
        _ = 1 / 0
    assert inner.closed
    cursor.execute("SELECT count(*) FROM t")
    assert (0,) == cursor.fetchone()


@pytest.mark.parametrize("kind", [list, iter, dict.fromkeys])
def test_an_executemany_counts_its_sets(recording, connection, kind):
    """One operation, whether the sets have a length or not, by position or by name."""
    cursor = connection.cursor()
    sets = [(n, "x") for n in range(5)]
    with request() as account:
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", kind(sets))
        cursor.executemany(query="INSERT INTO t VALUES (%s, %s)", vars_list=kind(sets))
    assert 10 == account.queries.parameter_sets
    assert 2 == recording.count(DURATION, db_operation_name="INSERT", db_collection_name="t")
    assert 2 == recording.count(DURATION)
    cursor.execute("SELECT count(*) FROM t")
    assert (10,) == cursor.fetchone()


def test_batches_of_extras_are_one_operation(recording, connection):
    """However many pages execute_values and execute_batch send."""
    cursor = connection.cursor(cursor_factory=psycopg2.extras.DictCursor)
    sets = [(n, "x") for n in range(25)]
    insert = "INSERT INTO t (a, b) VALUES %s"
    with request() as account:
        psycopg2.extras.execute_values(cursor, insert, sets, page_size=10)
        psycopg2.extras.execute_values(cur=cursor, sql=sql.SQL(insert), argslist=iter(sets))
        rows = psycopg2.extras.execute_values(
            cursor, insert + " RETURNING a", sets, None, 10, fetch=True
        )
        update = "UPDATE t SET b = 'y' WHERE a = %s"
        psycopg2.extras.execute_batch(cursor, update, [(1,), (2,)], page_size=1)
    assert 25 == len(rows)
    assert 3 * 25 + 2 == account.queries.parameter_sets
    breakdown = account.close(perf_counter())
    assert 4 == sum(breakdown.calls)
    assert 3 == recording.count(DURATION, db_operation_name="INSERT", db_collection_name="t")
    assert 1 == recording.count(DURATION, db_operation_name="UPDATE", db_collection_name="t")
    assert 4 == recording.count(DURATION)
    assert 25 == recording.sum(ROWS, db_operation_name="INSERT")
    with pytest.raises(ValueError, match="placeholder"):
        psycopg2.extras.execute_values(cursor, "INSERT INTO t VALUES (1)", sets)
    with pytest.raises(TypeError, match=r"execute_values\(\) missing 1 required"):
        psycopg2.extras.execute_values(cursor, insert)
    cursor.execute("SELECT count(*) FROM t WHERE b = 'y'")
    assert [6] == cursor.fetchone()


def test_batches_on_cursors_that_are_not_measured_are_none(recording, postgresql):
    """Extras measure by the cursor alone."""
    with closing(psycopg2.extensions.connection(postgresql.dsn)) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TEMP TABLE t (a integer)")
        psycopg2.extras.execute_values(cursor, "INSERT INTO t VALUES %s", [(1,), (2,)])
    assert [] == recording.series(DURATION)


def test_what_extras_ask_about_types_is_no_operation(recording, connection):
    """register_composite, register_range, register_hstore and register_json."""
    cursor = connection.cursor()
    cursor.execute("DROP TYPE IF EXISTS pair, spans")
    cursor.execute("CREATE TYPE pair AS (x integer, y integer)")
    cursor.execute("CREATE TYPE spans AS RANGE (subtype = float8)")
    before = recording.count(DURATION)
    caster = psycopg2.extras.register_composite("pair", connection)
    psycopg2.extras.register_range("spans", "Spans", connection)
    psycopg2.extras.register_json(connection)
    with pytest.raises(psycopg2.ProgrammingError, match="hstore"):
        psycopg2.extras.register_hstore(connection)
    assert before == recording.count(DURATION)
    cursor.execute("SELECT '(1,2)'::pair")
    assert caster.type(1, 2) == cursor.fetchone()[0]
    cursor.execute("DROP TYPE pair, spans")


def test_statements_of_every_form_are_known(recording, connection):
    """str, bytes and what psycopg2.sql composes; values composed into it are not read."""
    cursor = connection.cursor()
    table, column = sql.Identifier("t"), sql.Identifier("a")
    composed = sql.SQL("SELECT {} FROM {} WHERE b = {} AND a = {}").format(
        column, table, sql.Literal("hunter2"), sql.Placeholder()
    )
    for statement in (composed, composed.as_string(connection), b"SELECT a FROM t WHERE a = %s"):
        cursor.execute(statement, (1,))
    cursor.execute(sql.SQL("SELECT a FROM t"))
    cursor.execute("SELECT a FROM t -- \u00e4\u00f6".encode())
    cursor.execute(query="SELECT a FROM t WHERE a = %(a)s", vars={"a": 1})
    assert 6 == recording.count(DURATION, db_operation_name="SELECT", db_collection_name="t")
    assert 6 == recording.count(DURATION)
    assert "hunter2" not in str(list(summaries(recording)))
    for refused in (None, 1, [], sql.Composable):
        with pytest.raises((psycopg2.ProgrammingError, TypeError)):
            cursor.execute(refused)
    assert 6 == recording.count(DURATION)


def test_an_adapter_of_the_application_is_asked_once(recording, connection):
    """To know a statement, nothing of the application's is called."""
    asked = []

    class Point:
        def __conform__(self, _protocol):
            asked.append(self)
            return psycopg2.extensions.AsIs("1")

    cursor = connection.cursor()
    cursor.execute(sql.SQL("SELECT {}").format(sql.Literal(Point())))
    assert [(1,)] == cursor.fetchall()
    assert 1 == len(asked)


def test_rows_are_told_by_what_came(recording, connection):
    """RETURNING, SHOW and VALUES bring rows; INTO, WITH ... INSERT and DDL bring none."""
    cursor = connection.cursor()
    cursor.execute("INSERT INTO t SELECT generate_series(1, 7) RETURNING a")
    cursor.execute("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x")
    cursor.execute("SELECT a INTO TEMP u FROM t")
    cursor.execute("CREATE TEMP TABLE v AS SELECT 1")
    assert (1, 7.0) == (recording.count(ROWS), recording.sum(ROWS))
    cursor.execute("SELECT a FROM t WHERE a > 99")
    cursor.execute("VALUES (1), (2)")
    cursor.execute("SHOW server_version")
    cursor.execute("WITH x AS (SELECT 1) SELECT * FROM x")
    assert 1 == recording.count(ROWS, db_operation_name="SELECT")
    assert 0 == recording.sum(ROWS, db_operation_name="SELECT")
    assert 2 == recording.sum(ROWS, db_operation_name="VALUES")
    assert 1 == recording.sum(ROWS, db_operation_name="SHOW")
    assert 1 == recording.sum(ROWS, db_operation_name="WITH")


def test_many_columns_are_told(recording, connection):
    """A SELECT of 30 columns is wide; of 29 it is not."""
    cursor = connection.cursor()
    for columns, found in ((29, False), (30, True)):
        with request() as account:
            cursor.execute("SELECT " + ", ".join(map(str, range(columns))))
        kinds = {kind for _, kind in account.queries.findings}
        assert found == ("wide_select" in kinds)


def test_a_procedure_is_a_call(recording, connection):
    """With its rows, by the name of the procedure and no table."""
    with connection.cursor() as cursor:
        cursor.callproc("generate_series", (1, 3))
        assert [(1,), (2,), (3,)] == cursor.fetchall()
        with pytest.raises(psycopg2.errors.UndefinedFunction):
            cursor.callproc("no_such_procedure")
    labels = {**SYSTEM, "db_operation_name": "CALL", "db_collection_name": ""}
    assert 1 == recording.count(DURATION, **labels, error_type="")
    assert 1 == recording.count(DURATION, **labels, error_type="UndefinedFunction")
    assert (1, 3.0) == (recording.count(ROWS), recording.sum(ROWS, db_operation_name="CALL"))
    assert "CALL generate_series" in summaries(recording)


def test_copies_are_operations_of_their_table(recording, connection):
    """copy_from, copy_to and copy_expert, of a str or composed."""
    cursor = connection.cursor()
    cursor.copy_from(io.StringIO("1\tx\n2\ty\n"), "t")
    cursor.copy_from(io.StringIO("3\n"), table="t", columns=("a",))
    out = io.StringIO()
    cursor.copy_to(out, "t", columns=("a",))
    assert "1\n2\n3\n" == out.getvalue()
    for statement in (
        "COPY t TO STDOUT",
        'copy pg_temp."t" (a, b) to stdout with (format csv)',
        sql.SQL("COPY {} FROM STDIN").format(sql.Identifier("t")),
    ):
        cursor.copy_expert(statement, io.StringIO("4\tz\n"))
    assert 6 == recording.count(DURATION, db_operation_name="COPY", db_collection_name="t")
    cursor.copy_expert("COPY (SELECT 1) TO STDOUT", io.StringIO())
    assert 1 == recording.count(DURATION, db_operation_name="COPY", db_collection_name="")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        cursor.copy_expert("COPY nowhere TO STDOUT", io.StringIO())
    with pytest.raises(TypeError):
        cursor.copy_from(None, "t")
    cursor.execute("SELECT count(*) FROM t")
    assert (4,) == cursor.fetchone()
    assert 0 == recording.count(ROWS, db_operation_name="COPY")


def test_a_fetch_has_its_table_where_a_layer_above_counts_the_select(recording, connection):
    """As Django does, whose iterator leaves the fetches to the driver."""
    connection.autocommit = False
    connection.cursor().execute("INSERT INTO t SELECT generate_series(1, 3)")
    with connection.cursor("rows") as cursor:
        token = counted.set(1 << DB)
        try:
            cursor.execute("SELECT a FROM t")
        finally:
            counted.reset(token)
        assert 3 == len(cursor.fetchall())
    assert 0 == recording.count(DURATION, db_operation_name="SELECT")
    assert 1 == recording.count(DURATION, db_operation_name="FETCH", db_collection_name="t")


def test_each_fetch_of_a_named_cursor_is_an_operation(recording, connection):
    """The rows of a FETCH are its own; `execute` only declares the cursor."""
    connection.autocommit = False
    connection.cursor().execute("INSERT INTO t SELECT generate_series(1, 100)")
    with connection.cursor("rows") as cursor:
        cursor.execute("SELECT a FROM t")
        assert 1 == recording.count(DURATION, db_operation_name="SELECT", db_collection_name="t")
        assert 0 == recording.count(ROWS)
        assert (1,) == cursor.fetchone()
        assert 10 == len(cursor.fetchmany(10))
        assert 5 == len(cursor.fetchmany(size=5))
        assert 84 == len(cursor.fetchall())
        assert cursor.fetchone() is None
    labels = {"db_operation_name": "FETCH", "db_collection_name": "t"}
    assert 5 == recording.count(DURATION, **labels, **SYSTEM, error_type="")
    assert (5, 100.0) == (recording.count(ROWS, **labels), recording.sum(ROWS, **labels))
    assert 0 == recording.count(ROWS, db_operation_name="SELECT")


@pytest.mark.parametrize(
    "factory", [None, psycopg2.extras.DictCursor, psycopg2.extras.NamedTupleCursor]
)
def test_a_loop_over_a_named_cursor_fetches_many_at_a_time(recording, connection, factory):
    """One operation for `itersize` rows, and nothing for those that are here already."""
    connection.autocommit = False
    cursor = connection.cursor("rows", cursor_factory=factory)
    cursor.itersize = 10
    cursor.execute("SELECT generate_series(1, 25) AS n")
    assert cursor is iter(cursor) or factory is not None
    assert list(range(1, 26)) == [row[0] for row in cursor]
    assert 4 == recording.count(DURATION, db_operation_name="FETCH", error_type="")
    assert 4 == recording.count(DURATION, db_operation_name="FETCH")
    assert 25 == recording.sum(ROWS, db_operation_name="FETCH")
    assert [] == list(cursor)
    cursor.close()
    with pytest.raises(psycopg2.InterfaceError, match="closed"):
        next(cursor)


def test_a_loop_over_a_client_cursor_is_the_library_s_own(connection):
    """Its rows were counted when they came: nothing is in the way of taking them."""
    cursor = connection.cursor()
    for name in ("__iter__", "__next__", "fetchone", "fetchmany", "fetchall"):
        assert getattr(psycopg2.extensions.cursor, name) is getattr(type(cursor), name)


def test_a_named_cursor_that_was_declared_elsewhere_is_fetched_from(recording, connection):
    """What is fetched is not known then, the time and the rows are."""
    connection.autocommit = False
    connection.cursor().execute("DECLARE here CURSOR FOR SELECT generate_series(1, 3)")
    with connection.cursor("here") as cursor:
        assert [(1,), (2,), (3,)] == cursor.fetchall()
    assert 1 == recording.count(DURATION, db_operation_name="FETCH", db_collection_name="")
    assert 3 == recording.sum(ROWS, db_operation_name="FETCH")


def test_a_cancelled_statement_is_observed(recording, connection):
    """One that runs into its time limit, by the class that the library has for that."""
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout TO 20")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        cursor.execute("SELECT pg_sleep(20)")
    assert 1 == recording.count(DURATION, error_type="QueryCanceled")


def test_sqlalchemy_counts_alone(recording, postgresql):
    """Its engine on psycopg2, both measured, counts each statement once."""
    patches = Patches()
    sqlalchemy_integration.patch(sqlalchemy, patches, recording.recorder)
    try:
        address = postgresql.dsn.replace("postgresql:", "postgresql+psycopg2:")
        engine = sqlalchemy.create_engine(address)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TEMP TABLE t (a integer)"))
            rows = [{"a": n} for n in range(5)]
            connection.execute(sqlalchemy.text("INSERT INTO t VALUES (:a)"), rows)
            found = connection.execute(sqlalchemy.text("SELECT a FROM t"))
            assert 5 == len(found.fetchall())
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg2.extensions.connection)
        engine.dispose()
    finally:
        patches.undo()
    assert 3 == recording.count(DURATION)


def test_many_classes_are_extended_only_so_far(recording, connect):
    """Classes made on the fly do not pile up: those beyond the bound are left alone."""
    connection = connect()
    kinds = []
    for _ in range(120):
        made = type("Cursor", (psycopg2.extensions.cursor,), {})
        kinds.append(type(connection.cursor(cursor_factory=made)) is made)
    assert 100 == kinds.count(False)
    assert [True] * 20 == kinds[100:]
