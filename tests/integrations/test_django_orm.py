"""Django's database layer: the contract, what is one operation, what is none, and rows."""

import asyncio
import os
import sqlite3
from contextlib import contextmanager

import django.db
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created
from django.test import override_settings

from perfsdk.integrations import django_orm as integration
from perfsdk.integrations import sqlite3 as sqlite3_integration
from perfsdk.request import DB, Account, current
from perfsdk.wrapping.patches import Patches
from tests.integrations.database_contract import (
    DURATION,
    ROWS,
)
from tests.integrations.django_books import (
    TABLE,
    Author,
    Book,
    close,
    databases,
    make_tables,
    sqlite,
    statements,
)
from tests.integrations.django_contract import DjangoContract


@pytest.fixture(autouse=True)
def _in_the_loop(monkeypatch):
    """Some tests run in an event loop, in which Django else refuses to work."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


class TestContract(DjangoContract):
    """The contract on SQLite in memory."""

    labels = {  # noqa: RUF012 - read only
        "db_system_name": "sqlite",
        "db_namespace": ":memory:",
        "db_operation_name": "SELECT",
        "db_collection_name": "items",
    }

    def settings(self):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}

    @contextmanager
    def watch(self, client):
        seen = []
        client.connection.set_trace_callback(seen.append)
        yield seen
        client.connection.set_trace_callback(None)


@pytest.fixture
def patches():
    """What is patched for one test, undone at its end."""
    patches = Patches()
    yield patches
    patches.undo()


@pytest.fixture
def patched(tmp_path, recording, patches):
    """Where the values go while Django, and sqlite3 below it, are patched."""
    with databases(default=sqlite(tmp_path / "shop.db"), other=sqlite(tmp_path / "other.db")):
        sqlite3_integration.patch(sqlite3, patches, recording.recorder)
        integration.patch(django.db, patches, recording.recorder)
        make_tables()
        # Setting up is over: what is counted from here on is what a test does.
        before = statements(recording)
        recording.since = lambda: statements(recording) - before
        yield recording


def rows(recording, operation="SELECT", table=TABLE):
    """How many statements told their rows, and how many rows that is."""
    labels = {"db_operation_name": operation, "db_collection_name": table}
    return recording.count(ROWS, **labels), recording.sum(ROWS, **labels)


def test_the_orm_counts_each_statement_once(patched):
    """sqlite3 below is silent; operation and table are known, rows are those fetched."""
    assert (0, 0) == rows(patched)
    Author.objects.bulk_create(Author(name=str(number)) for number in range(250))
    author = Author.objects.get(name="7")
    assert 250 == len(Author.objects.all())
    assert 250 == len(list(Author.objects.iterator(chunk_size=100)))
    assert 250 == Author.objects.count()
    assert not Author.objects.filter(name="none").exists()
    author.name = "new"
    author.save()
    Author.objects.filter(name="new").delete()
    words = {"INSERT": 1, "SELECT": 5, "UPDATE": 1, "DELETE": 1}
    assert {(word, TABLE): number for word, number in words.items()} == patched.since()
    assert (5, 1 + 250 + 250 + 1 + 0) == rows(patched)


def test_rows_are_told_once_for_each_statement(patched):
    """However they are fetched; a loop over the cursor does not tell, nor what is not fetched."""
    Author.objects.bulk_create(Author(name=str(number)) for number in range(5))
    select = f"SELECT id FROM {TABLE}"
    with connection.cursor() as cursor:
        cursor.execute(select)
        assert 2 == len([cursor.fetchone(), cursor.fetchone()])
        cursor.execute(select)
        assert 5 == len(cursor.fetchall())
        assert [] == cursor.fetchall()
        cursor.execute(select)
        assert [2, 2, 1, 0] == [len(cursor.fetchmany(2)) for _ in range(4)]
        cursor.execute(select)
        assert 5 == len(list(cursor))
        cursor.execute(select)
        cursor.execute(select)
        assert cursor.fetchone() is not None
    assert (4, 2 + 5 + 5 + 1) == rows(patched)
    assert {("SELECT", TABLE): 6, ("INSERT", TABLE): 1} == patched.since()


def test_what_django_does_on_its_own_is_none(patched):
    """Connecting, receivers of the signal, BEGIN, savepoints, COMMIT and health checks."""

    def receiver(connection, **_):
        connection.cursor().execute("PRAGMA cache_size = 100")

    connection_created.connect(receiver)
    try:
        connection.close()
        with transaction.atomic(), transaction.atomic():
            Author.objects.create(name="kept")
            with pytest.raises(LookupError), transaction.atomic():
                raise LookupError
        connection.health_check_enabled = True
        connection.close_if_unusable_or_obsolete()
        assert connection.is_usable()
    finally:
        connection_created.disconnect(receiver)
    assert {("INSERT", TABLE): 1} == patched.since()


def test_transactions_of_the_application_are_statements(patched):
    """Those that it executes itself."""
    with connection.cursor() as cursor:
        for statement in ("BEGIN", "SAVEPOINT a", "RELEASE SAVEPOINT a", "COMMIT"):
            cursor.execute(statement)
    words = ("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT")
    assert {(word, ""): 1 for word in words} == patched.since()


def test_cursors_of_debug_count_once(patched):
    """And what they ask the driver to show a query is none."""
    with override_settings(DEBUG=True):
        Author.objects.create(name="a")
        assert 1 == len(Author.objects.filter(name="a"))
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {TABLE} (name) VALUES (%s)", [["b"], ["c"]])
        assert 3 == len([query for query in connection.queries if TABLE in query["sql"]])
    assert {("INSERT", TABLE): 2, ("SELECT", TABLE): 1} == patched.since()


def test_aliases_are_databases_of_their_own(patched):
    """Each under its name; a test database has the name that it has."""
    make_tables("other")
    assert 0 == Author.objects.using("other").count()
    assert 0 == Author.objects.count()
    other = connections["other"]
    close(other)
    other.settings_dict["NAME"] = "file:test_other?mode=memory&cache=shared"
    with other.cursor() as cursor:
        cursor.execute("SELECT 1")
    selects = [
        series for series in patched.series(DURATION) if series["db_operation_name"] == "SELECT"
    ]
    assert {"other.db", "shop.db", ":memory:"} == {each["db_namespace"] for each in selects}
    assert 1 == patched.count(DURATION, db_namespace=":memory:")


def test_wrappers_of_execute_see_the_same(patched):
    """What they put before the text makes no statement of its own; one that raises is counted."""
    texts = []

    def comment(execute, sql, params, many, context):
        texts.append(sql)
        return execute(f"/* {len(texts)} */ {sql}", params, many, context)

    def refuse(*_):
        raise LookupError

    with connection.execute_wrapper(comment):
        assert [] == list(Author.objects.all())
        assert [] == list(Author.objects.all())
    with connection.execute_wrapper(refuse), pytest.raises(LookupError):
        Author.objects.create(name="a")
    assert 2 == len(texts)
    assert {("SELECT", TABLE): 2, ("INSERT", TABLE): 1} == patched.since()
    assert 1 == patched.count(DURATION, error_type="LookupError")


def test_batches_tell_their_sets(patched):
    """An executemany of a list, or of anything that comes one by one."""
    account = Account(0.0)
    token = current.set(account)
    try:
        with connection.cursor() as cursor:
            insert = f"INSERT INTO {TABLE} (name) VALUES (%s)"
            cursor.executemany(insert, [["a"], ["b"]])
            cursor.executemany(insert, param_list=iter([["c"], ["d"], ["e"]]))
    finally:
        current.reset(token)
    assert {("INSERT", TABLE): 2} == patched.since()
    assert 5 == account.queries.parameter_sets
    assert 5 == Author.objects.count()


def test_wide_rows_are_found(patched):
    """The ORM names every column, so that only the answer tells how many there are."""
    columns = ", ".join(f"id AS column_{number}" for number in range(40))
    Author.objects.create(name="a")
    account = Account(0.0)
    token = current.set(account)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {TABLE} WHERE id > 0")
            assert 40 == len(cursor.fetchone())
    finally:
        current.reset(token)
    assert "wide_select" in {kind for _, kind in account.queries.findings}


async def test_queries_in_a_thread_are_of_the_request_that_awaits_them(patched, monkeypatch):
    """Its account has their number and time; no thread that waits is told to block the loop."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")
    await sync_to_async(make_tables)()
    before = sum(statements(patched).values())
    account = Account(0.0)
    token = current.set(account)
    try:
        author = await Author.objects.acreate(name="a")
        assert author == await Author.objects.aget(id=author.id)
        assert [author.id] == [each.id async for each in Author.objects.filter(name="a")]
        await asyncio.gather(*(Book.objects.filter(id=number).afirst() for number in range(3)))
    finally:
        current.reset(token)
        await sync_to_async(connections.close_all)()
    assert 6 == sum(statements(patched).values()) - before
    assert set() == {kind for _, kind in account.queries.findings}
    breakdown = account.close(1e9)
    assert 6 == breakdown.calls[DB]
    assert breakdown.seconds[DB] > 0


async def test_a_query_in_the_loop_itself_is_found(patched):
    """As DJANGO_ALLOW_ASYNC_UNSAFE lets it happen."""
    assert "DJANGO_ALLOW_ASYNC_UNSAFE" in os.environ
    account = Account(0.0)
    token = current.set(account)
    try:
        assert 0 == Author.objects.count()
    finally:
        current.reset(token)
    assert {"blocking_in_loop"} == {kind for _, kind in account.queries.findings}


def test_without_the_integration_the_driver_statements(tmp_path, recording, patches):
    """As an application wants it that disables `django`."""
    with databases(default=sqlite(tmp_path / "shop.db")):
        sqlite3_integration.patch(sqlite3, patches, recording.recorder)
        make_tables()
        assert ("SELECT", TABLE) not in statements(recording)
        assert 0 == Author.objects.count()
        assert 1 == statements(recording)[("SELECT", TABLE)]
