"""What the integration of Django promises whatever the backend."""

from contextlib import contextmanager

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.db.backends.utils import CursorWrapper

from tests.integrations.database_contract import SECRET, DatabaseContract
from tests.integrations.django_books import close, databases


class DjangoContract(DatabaseContract):
    """The contract on a temporary table; a subclass says `labels`, `settings` and `watch`."""

    library = "django.db"
    error_type = "IntegrityError"
    result = [(0,)]  # noqa: RUF012 - read only
    asks_for_literal = f"SELECT id FROM items WHERE name = '{SECRET}'"

    def settings(self):
        """Those of the database, as in DATABASES."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _database(self, _in_the_loop):
        with databases(default=self.settings()):
            yield

    @property
    def failure_labels(self):
        return {**self.labels, "db_operation_name": "INSERT"}

    @property
    def bounded(self):
        return {
            **{label: {value} for label, value in self.labels.items()},
            "db_operation_name": {"CREATE", "INSERT", "SELECT"},
            "db_collection_name": {"items", ""},
            "error_type": {"", self.error_type},
        }

    def owners(self):
        backends = {BaseDatabaseWrapper, *map(type, connections.all())}
        above = {each for backend in backends for each in backend.__mro__ if each is not object}
        return [CursorWrapper, SQLiteCursorWrapper, SyncToAsync, *above]

    @contextmanager
    def client(self):
        client = connections.create_connection("default")
        with client.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE items (id integer NOT NULL, name text)")
        yield client
        close(client)

    def execute(self, client, statement):
        with client.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def execute_many(self, client, number):
        with client.cursor() as cursor:
            sets = ((each, "name") for each in range(number))
            cursor.executemany("INSERT INTO items VALUES (%s, %s)", sets)

    def succeed(self, client):
        return self.execute(client, "SELECT count(*) FROM items WHERE id < 0")

    def succeed_inside_with(self, client):
        with transaction.atomic("default"):
            return self.succeed(client)

    def fail(self, client):
        self.execute(client, "INSERT INTO items VALUES (NULL, 'a')")

    def vary(self, client, number):
        with client.cursor() as cursor:
            cursor.execute("SELECT name FROM items WHERE id = %s", [number])
        self.execute(client, f"SELECT 'from table{number}' FROM items WHERE id = {number}")
