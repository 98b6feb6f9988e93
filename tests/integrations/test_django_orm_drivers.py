"""Django's backends: each driver, server-side cursors, procedures, and Django's own pool."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import django
import django.db
import psycopg
import psycopg_pool
import pytest
from django.db import connection, connections, transaction
from psycopg import sql

from perfsdk.integrations import django_orm as integration
from perfsdk.integrations import psycopg as psycopg_integration
from perfsdk.integrations import psycopg_pool as psycopg_pool_integration
from perfsdk.request import DB, POOL_WAIT, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import DURATION, ROWS, pool_figures
from tests.integrations.django_books import (
    TABLE,
    Author,
    databases,
    make_tables,
    postgresql,
    statements,
)
from tests.integrations.django_contract import DjangoContract
from tests.integrations.django_drivers import DRIVERS, MARIADB
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]


class TestContract(DjangoContract):
    """The contract on PostgreSQL, with psycopg 3."""

    labels = {  # noqa: RUF012 - read only
        "db_system_name": "postgresql",
        "db_namespace": "shop",
        "db_operation_name": "SELECT",
        "db_collection_name": "items",
    }

    @pytest.fixture
    def _in_the_loop(self, monkeypatch, postgresql):
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        self.server = postgresql

    def settings(self):
        return postgresql(self.server)

    @contextmanager
    def watch(self, client):
        """What the server's statistics count of this table."""
        seen = []
        with psycopg.connect(self.server.dsn, autocommit=True) as observer:
            observer.execute("SELECT pg_stat_statements_reset()")
            yield seen
            seen += observer.execute(
                "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%items%' ORDER BY 1"
            ).fetchall()


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request):
    """One after the other, with the server that it connects to."""
    # Of the module, so that a server which starts for it is not the test's own.
    server = request.getfixturevalue("mariadb" if request.param in MARIADB else "postgresql")
    if request.param == "mysqlclient":
        request.getfixturevalue("mysqldb")
    return request.param, server


def test_every_driver_is_counted_once(driver, tmp_path):
    """All integrations are there; neither transactions nor checks of connections are counted."""
    driver, server = driver
    where = [server.host, str(server.port), server.user, os.fspath(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.integrations.django_drivers", driver, *where],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    system = "mariadb" if driver in MARIADB else "postgresql"
    assert {
        "driver": MARIADB.get(driver, driver),
        "counts": {"INSERT": 3, "SELECT": 4, "UPDATE": 1, "DELETE": 1},
        "rows": 2100 + 1 + 10 + 0,
        "databases": [[system, "shop"]],
        "errors": 1,
    } == json.loads(done.stdout)


@pytest.fixture
def patched(recording):
    """Where the values go while Django, psycopg and its pools are patched."""
    patches = Patches()
    for module, each in (
        (django.db, integration),
        (psycopg, psycopg_integration),
        (psycopg_pool, psycopg_pool_integration),
    ):
        each.patch(module, patches, recording.recorder)
    yield recording
    patches.undo()


def test_a_server_side_cursor_counts_each_fetch(patched, postgresql_of_django):
    """The SELECT is Django's and has no rows yet; each FETCH is psycopg's, with its rows."""
    make_tables(authors=25)
    rows = patched.sum(ROWS)
    account = Account(0.0)
    token = current.set(account)
    try:
        assert 25 == len(list(Author.objects.iterator(chunk_size=1)))
    finally:
        current.reset(token)
    assert 1 == statements(patched)["SELECT", TABLE]
    assert 26 == statements(patched)["FETCH", TABLE]
    assert 25 == patched.sum(ROWS) - rows
    assert set() == {kind for _, kind in account.queries.findings}
    assert 27 == account.close(1e9).calls[DB]


def test_what_is_no_text_is_left_to_the_driver(patched, postgresql_of_django):
    """Composed statements count once, and so does COPY."""
    make_tables(authors=1)
    before = statements(patched)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(TABLE)))
        assert [(1,)] == cursor.fetchall()
        with cursor.copy(f"COPY {TABLE} TO STDOUT") as copy:
            assert 1 == len(list(copy))
    words = [word for word, _ in (statements(patched) - before).elements()]
    assert ["COPY", "SELECT"] == sorted(words)


def test_procedures_count_once_with_their_rows(patched, postgresql_of_django):
    """A function that returns rows, and a failure."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION numbers(until integer) RETURNS SETOF integer "
            "LANGUAGE sql AS 'SELECT generate_series(1, until)'"
        )
        cursor.callproc("numbers", [3])
        assert [(1,), (2,), (3,)] == cursor.fetchall()
        with pytest.raises(django.db.ProgrammingError):
            cursor.callproc("nonesuch", [3])
    assert 1 == patched.count(DURATION, db_operation_name="CALL", error_type="")
    failed = {"db_operation_name": "CALL", "error_type": "ProgrammingError"}
    assert 1 == patched.count(DURATION, **failed)
    assert 3 == patched.sum(ROWS, db_operation_name="CALL")
    assert {("CREATE", ""): 1, ("CALL", ""): 2} == statements(patched)


def test_the_database_of_a_service_is_that_of_the_connection(
    patched, postgresql, tmp_path, monkeypatch
):
    """Settings without a name leave it to libpq."""
    service = tmp_path / "services.conf"
    service.write_text(
        f"[books]\nhost={postgresql.host}\nport={postgresql.port}\n"
        f"user={postgresql.user}\ndbname={postgresql.database}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", os.fspath(service))
    settings = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"service": "books"}}
    with databases(default=settings), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert 1 == patched.count(DURATION, db_namespace="shop", db_system_name="postgresql")


@pytest.fixture
def postgresql_of_django(postgresql_settings):
    """Django's default database is on the server."""
    with databases(default=postgresql_settings()):
        yield


@pytest.fixture
def postgresql_settings(postgresql):
    """`postgresql_settings(**options)`: those of the server's database."""
    server, settings = postgresql, globals()["postgresql"]
    return lambda **options: settings(server, **options)


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools since 5.1")
def test_waiting_for_django_s_pool(patched, postgresql, postgresql_settings):
    """It is a component of the request; the pool's figures are there, and statements count once."""
    pool_options = {"min_size": 1, "max_size": 1, "timeout": 10}
    with databases(default=postgresql_settings(pool=pool_options)):
        make_tables(authors=1)
        connection.close()
        before = statements(patched)
        released = threading.Event()

        def hold():
            with transaction.atomic():
                assert 1 == Author.objects.count()
                held.set()
                released.wait(30)
            connection.close()

        held = threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(30)
        assert (1, 0, 1, 1, 0) == pool_figures(patched)
        account = Account(0.0)

        def wait():
            token = current.set(account)
            assert 1 == Author.objects.count()
            current.reset(token)
            connection.close()

        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: 1 == pool_figures(patched)[4])
        released.set()
        for thread in (holder, waiter):
            thread.join(30)
        wait_until(lambda: (0, 1, 1, 1, 0) == pool_figures(patched))
        breakdown = account.close(1e9)
        assert (1, 1) == (breakdown.calls[DB], breakdown.calls[POOL_WAIT])
        assert breakdown.seconds[POOL_WAIT] > 0
        name = f"127.0.0.1:{postgresql.port}/shop"
        for series in patched.series("db_client_connection_max"):
            assert {"db_client_connection_pool_name": name} == series
        assert {("SELECT", TABLE): 2} == statements(patched) - before


def test_wide_rows_are_found(patched, postgresql_of_django):
    """As the ORM lists every column, the answer tells how many there are."""
    columns = ", ".join(f"{number} AS column_{number}" for number in range(40))
    account = Account(0.0)
    token = current.set(account)
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute(f"SELECT {columns}")
    finally:
        current.reset(token)
    assert {"wide_select"} == {kind for _, kind in account.queries.findings}
