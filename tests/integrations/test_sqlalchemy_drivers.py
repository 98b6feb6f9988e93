"""SQLAlchemy on each driver: counted once while the driver is measured too, rows as it tells."""

from importlib import import_module

import pytest
import sqlalchemy
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from perfsdk import catalog
from perfsdk.integrations import INTEGRATIONS
from perfsdk.wrapping.patches import Patches

DURATION = catalog.DB_CLIENT_OPERATION_DURATION.name
ROWS = catalog.DB_CLIENT_RETURNED_ROWS.name

POSTGRESQL = ("psycopg", "psycopg2", "asyncpg", "psycopg_async")
MARIADB = ("pymysql", "aiomysql", "mysqldb")
ALL = ("pysqlite", "aiosqlite", *POSTGRESQL, *MARIADB)
ASYNC = {"aiosqlite", "aiomysql", "asyncpg", "psycopg_async"}
BELOW = {"pysqlite": "sqlite3", "psycopg_async": "psycopg", "mysqldb": "MySQLdb"}

each = pytest.mark.parametrize("driver", ALL, indirect=True)

metadata = sqlalchemy.MetaData()
things = sqlalchemy.Table(
    "things",
    metadata,
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("name", sqlalchemy.String(30)),
)


@pytest.fixture
def patches():
    """What is patched for one test, undone at its end."""
    patches = Patches()
    yield patches
    patches.undo()


@pytest.fixture(scope="session")
def driver(request):
    """The driver of a test; its server starts before, as what outlasts a test has to."""
    if request.param in POSTGRESQL:
        request.getfixturevalue("postgresql")
    elif request.param in MARIADB:
        request.getfixturevalue("mariadb")
    if request.param == "mysqldb":
        request.getfixturevalue("mysqldb")
    return request.param


def _url(request, tmp_path, driver):
    """Where the database of a driver is."""
    if driver in POSTGRESQL:
        server = request.getfixturevalue("postgresql")
        return f"postgresql+{driver}://{server.user}@{server.host}:{server.port}/shop"
    if driver in MARIADB:
        server = request.getfixturevalue("mariadb")
        return f"mysql+{driver}://{server.user}@{server.host}:{server.port}/shop"
    return f"sqlite+{driver}:///{tmp_path}/shop"


async def _run(url, work):
    """Have `work` done with a connection, in a greenlet where the driver is asynchronous."""
    if url.split("+")[1].split(":")[0] not in ASYNC:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return work(connection)
        finally:
            engine.dispose()
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def _patch(recording, patches, driver):
    """SQLAlchemy and what is below it, where there is an integration of that."""
    name = BELOW.get(driver, driver)
    for library in ("sqlalchemy", name):
        if library in INTEGRATIONS:
            module = import_module(library)
            import_module(INTEGRATIONS[library]).patch(module, patches, recording.recorder)


def _counts(recording, metric=DURATION):
    """How many observations each operation has."""
    counts = {}
    for labels in recording.series(metric):
        name = labels["db_operation_name"]
        counts[name] = counts.get(name, 0) + recording.count(metric, **labels)
    return counts


@pytest.fixture
def prepare(request, tmp_path, recording, patches, driver):
    """Make the table with three rows, patch, and give the address."""

    async def prepare():
        url = _url(request, tmp_path, driver)

        def work(connection):
            metadata.drop_all(connection)
            metadata.create_all(connection)
            rows = [{"id": number, "name": f"name {number}"} for number in range(1, 4)]
            connection.execute(insert(things), rows)
            connection.commit()

        await _run(url, work)
        _patch(recording, patches, driver)
        return url

    return prepare


@each
async def test_counted_once_with_the_rows_that_were_returned(recording, prepare, driver):
    """Ten statements are ten; what transactions, savepoints and set-up send is none."""
    url = await prepare()

    def work(connection):
        with connection.begin():
            for _ in range(5):
                assert 3 == len(connection.execute(select(things)).all())
            with connection.begin_nested():
                connection.execute(things.update().values(name="new"))
            nested = connection.begin_nested()
            connection.execute(things.delete())
            nested.rollback()
        rows = [{"id": number, "name": "x"} for number in range(10, 210)]
        connection.execute(insert(things), rows)
        connection.rollback()
        assert 2 == len(connection.execute(select(things).where(things.c.id > 1)).all())
        assert "new" == connection.scalar(text("SELECT name FROM things WHERE id = 1"))
        connection.rollback()

    await _run(url, work)
    assert {"SELECT": 7, "UPDATE": 1, "DELETE": 1, "INSERT": 1} == _counts(recording)
    system = {"pysqlite": "sqlite", "aiosqlite": "sqlite"}
    name = "mariadb" if driver in MARIADB else system.get(driver, "postgresql")
    assert {(name, "shop")} == {
        (labels["db_system_name"], labels["db_namespace"]) for labels in recording.series(DURATION)
    }
    # SQLite tells no number of rows, and one row alone is not counted.
    one_by_one = driver == "pysqlite"
    assert {"SELECT": 6 if one_by_one else 7} == _counts(recording, ROWS)
    assert (17 if one_by_one else 18) == recording.sum(ROWS)


@pytest.mark.parametrize("driver", [d for d in ALL if d not in MARIADB], indirect=True)
async def test_rows_of_returning_are_returned_rows(recording, prepare, driver):
    """Those of one INSERT, and those of an INSERT in several batches."""
    url = await prepare()

    def work(connection):
        rows = [{"id": number, "name": "x"} for number in range(10, 2210)]
        returned = connection.execute(insert(things).returning(things.c.id), rows).all()
        assert 2200 == len(returned)
        one = insert(things).values(id=5000, name="y").returning(things.c.id, things.c.name)
        assert [(5000, "y")] == [tuple(row) for row in connection.execute(one).all()]

    await _run(url, work)
    assert {"INSERT": 2} == _counts(recording)
    assert {"INSERT": 2} == _counts(recording, ROWS)
    assert 2201 == recording.sum(ROWS)


@each
async def test_errors_count_once(recording, prepare, driver):
    """Under the class of the driver, or of what SQLAlchemy puts around an asynchronous one."""
    url = await prepare()

    def work(connection):
        with pytest.raises(sqlalchemy.exc.IntegrityError) as raised:
            connection.execute(insert(things), {"id": 1, "name": "twice"})
        connection.rollback()
        return type(raised.value.orig).__name__

    name = await _run(url, work)
    assert 1 == recording.count(DURATION, error_type=name)
    assert {"INSERT": 1} == _counts(recording)


@pytest.mark.parametrize("driver", [*POSTGRESQL, *MARIADB], indirect=True)
async def test_server_side_cursors_count_no_rows_twice(recording, prepare, driver):
    """The execute is one operation; fetches are the driver's own, with the rows they bring."""
    url = await prepare()

    def work(connection):
        options = connection.execution_options(yield_per=2)
        assert 3 == sum(len(part) for part in options.execute(select(things)).partitions())

    await _run(url, work)
    assert 1 == _counts(recording)["SELECT"]
    assert {"SELECT", "FETCH"} >= _counts(recording).keys()
    assert recording.sum(ROWS) in {0, 3}


@pytest.mark.parametrize("driver", POSTGRESQL, indirect=True)
async def test_a_sequence_is_asked_once(recording, prepare, driver):
    """SQLAlchemy executes it with a context that has no statement."""
    url = await prepare()

    def work(connection):
        numbers = sqlalchemy.Sequence("numbers")
        numbers.create(connection)
        assert 1 == connection.scalar(numbers)
        connection.rollback()

    await _run(url, work)
    assert 1 == _counts(recording)["CREATE"]
    assert 1 <= _counts(recording)["SELECT"] <= 2  # one asks whether there is such a sequence


@pytest.mark.parametrize("driver", ["asyncpg"], indirect=True)
async def test_pings_and_resets_are_none(recording, prepare, driver):
    """Its adapter begins, commits, rolls back and pings by statements."""
    url = await prepare()
    engine = create_async_engine(url, pool_pre_ping=True)
    for _ in range(3):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            await connection.commit()
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert {"SELECT": 6} == _counts(recording)


# A backslash: where it stands, of the text only the first word is read.
AFFECTING = {
    "postgresql": (
        "WITH x AS (SELECT 4 AS id) INSERT INTO things SELECT id, E'\\t' FROM x",
        "SELECT id INTO TEMP others FROM things",
    ),
    "mariadb": ("SELECT name FROM things WHERE id = 1 INTO @name",),
}


@pytest.mark.parametrize("driver", [*POSTGRESQL, *MARIADB], indirect=True)
async def test_rows_affected_are_not_returned(recording, prepare, driver):
    """What comes back decides, also where the text does not tell."""
    url = await prepare()

    def work(connection):
        for statement in AFFECTING["mariadb" if driver in MARIADB else "postgresql"]:
            connection.exec_driver_sql(statement)
        assert 0 == recording.count(ROWS)
        assert [] == connection.exec_driver_sql("SELECT id FROM things WHERE id < 0").all()
        connection.rollback()

    await _run(url, work)
    assert (1, 0.0) == (recording.count(ROWS), recording.sum(ROWS))
