"""The operations of databases: remembered by statement, bounded, silent after the end."""

import pytest

from perfsdk.catalog import DB_CLIENT_OPERATION_DURATION, OVERFLOW
from perfsdk.testing import Recording
from perfsdk.wrapping.dbapi import (
    MAX_DATABASES,
    MAX_REMEMBERED_CHARACTERS,
    MAX_STATEMENTS,
    Databases,
    file_namespace,
)


@pytest.fixture
def databases(tmp_path):
    """The databases of one recorder."""
    with Recording(tmp_path / "recording") as recording:
        yield Databases(recording.recorder.histogram(DB_CLIENT_OPERATION_DURATION))


def test_a_statement_is_learned_once(databases):
    """The same object answers the second time; equal labels share a series."""
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    first = operations["SELECT * FROM users"]
    assert ("sqlite", "a.db", "SELECT", "users") == first.labels
    assert first.is_leaf
    assert first is operations["SELECT * FROM users"]
    assert first.successes is operations["SELECT id FROM users"].successes
    assert operations is databases.operations("sqlite", "a.db", is_leaf=True)


def test_memory_for_statements_is_bounded(databases):
    """Neither many nor long texts are kept."""
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    for number in range(MAX_STATEMENTS + 10):
        assert "SELECT" == operations[f"SELECT {number}"].labels[2]
    assert 10 == len(operations)
    assert "SELECT" == operations["SELECT " + "1" * MAX_REMEMBERED_CHARACTERS].labels[2]
    assert 10 == len(operations)


def test_databases_are_bounded(databases):
    """What is over shares one namespace."""
    for number in range(MAX_DATABASES + 10):
        operations = databases.operations("sqlite", f"{number}.db", is_leaf=False)
    assert OVERFLOW == operations["SELECT 1"].labels[1]
    assert operations is databases.operations("sqlite", "another.db", is_leaf=False)
    known = databases.operations("sqlite", "0.db", is_leaf=False)
    assert "0.db" == known["SELECT 1"].labels[1]


def test_nothing_is_known_after_the_end(databases):
    """Connections that outlive the patch are not measured, those opened later neither."""
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    assert operations["SELECT 1"] is not None
    databases.stop()
    assert operations["SELECT 1"] is None
    assert {} == operations
    assert databases.operations("sqlite", "b.db", is_leaf=True)["SELECT 1"] is None


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (":memory:", ":memory:"),
        ("", ":memory:"),
        (None, ":memory:"),
        (5, ":memory:"),
        ("/a/b.db", "b.db"),
        (b"/a/b.db", "b.db"),
        ("file:/a/b.db?mode=ro", "b.db"),
        ("file::memory:?cache=shared", ":memory:"),
        ("file:name?cache=shared&mode=memory", ":memory:"),
        ("/a/directory/", ":memory:"),
    ],
)
def test_the_name_of_a_file(database, expected):
    """Its base name, whatever was given to connect."""
    assert expected == file_namespace(database)
