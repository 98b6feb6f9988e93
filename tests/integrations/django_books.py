"""Authors and their books: models of Django for tests, in whatever databases a test names."""

from collections import Counter
from contextlib import contextmanager
from copy import deepcopy

from django.db import connections, models

import tests.frameworks.django_site  # noqa: F401 - configures Django for the process
from tests.integrations.database_contract import DURATION

POSTGRESQL = "django.db.backends.postgresql"
SQLITE = "django.db.backends.sqlite3"


class Author(models.Model):
    """Has books."""

    name = models.TextField()

    class Meta:
        app_label = "books_of_tests"

    def __str__(self):
        return self.name


class Book(models.Model):
    """Has an author."""

    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    title = models.TextField()

    class Meta:
        app_label = "books_of_tests"

    def __str__(self):
        return self.title


TABLE = Author._meta.db_table
BOOKS = Book._meta.db_table


@contextmanager
def databases(**settings):
    """Have Django know these databases, by their aliases, until the end of the block."""
    before = dict(connections.settings)
    connections.settings.update(connections.configure_settings({"default": {}, **settings}))
    for alias in settings:
        _forget(alias)
    try:
        yield
    finally:
        for alias in settings:
            _forget(alias)
        connections.settings.clear()
        connections.settings.update(before)


def _forget(alias):
    """Close the connection of this thread, if there is one; the next is a new one."""
    if hasattr(connections._connections, alias):
        close(connections[alias])
        delattr(connections._connections, alias)


def close(connection):
    """Close a connection, also to a database in memory, which Django keeps."""
    pool = getattr(connection, "pool", None)
    if connection.connection is not None and pool is None:
        connection.connection.close()
        connection.connection = None
    connection.close()
    if pool is not None:
        connection.close_pool()


def make_tables(alias="default", authors=0):
    """Empty tables, or some authors with two books each."""
    connection = connections[alias]
    existing = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in (Book, Author):
            if model._meta.db_table in existing:
                editor.delete_model(model)
        for model in (Author, Book):
            editor.create_model(model)
    numbers = range(1, authors + 1)
    Author.objects.using(alias).bulk_create(Author(id=n, name=f"name {n}") for n in numbers)
    books = [Book(author_id=n, title=f"{n} {part}") for n in numbers for part in "ab"]
    Book.objects.using(alias).bulk_create(books)


def sqlite(path):
    """Settings of a database in a file."""
    return {"ENGINE": SQLITE, "NAME": path}


def postgresql(server, **options):
    """Settings of a database on a server."""
    return {
        "ENGINE": POSTGRESQL,
        "NAME": server.database,
        "USER": server.user,
        "HOST": server.host,
        "PORT": server.port,
        "OPTIONS": deepcopy(options),
    }


def statements(recording):
    """How many statements there were, by verb and table, failed ones included."""
    counts = Counter()
    for labels in recording.series(DURATION):
        key = labels["db_operation_name"], labels["db_collection_name"]
        counts[key] += recording.count(DURATION, **labels)
    return counts
