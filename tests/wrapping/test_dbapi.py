"""The operations of databases: remembered by statement, bounded, silent after the end."""

import pytest

from perfsdk.catalog import OVERFLOW
from perfsdk.testing import Recording
from perfsdk.wrapping import dbapi
from perfsdk.wrapping.dbapi import (
    LEARNED_A_MINUTE,
    LEARNED_CHARACTERS_A_MINUTE,
    MAX_DATABASES,
    MAX_STATEMENTS,
    MAX_TEXTS,
    Databases,
    file_namespace,
)
from perfsdk.wrapping.fingerprint import MAX_READ_CHARACTERS
from perfsdk.wrapping.known_statements import statements_of


@pytest.fixture
def databases(tmp_path):
    """The databases of one recorder."""
    with Recording(tmp_path / "recording") as recording:
        yield Databases(recording.recorder, parameters=2)


def test_a_statement_is_learned_once(databases):
    """The same object answers the second time; equal labels share a series."""
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    first = operations["SELECT * FROM users"]
    assert ("sqlite", "a.db", "SELECT", "users") == first.labels
    assert first.is_leaf
    assert first is operations["SELECT * FROM users"]
    assert first.successes is operations["SELECT id FROM users"].successes
    assert operations is databases.operations("sqlite", "a.db", is_leaf=True)


def test_memory_for_statements_is_bounded(databases, monkeypatch):
    """Neither many nor long texts are kept, nor many statements."""
    monkeypatch.setattr(dbapi, "LEARNED_A_MINUTE", 10**6)
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    for number in range(MAX_TEXTS + 10):
        assert "SELECT" == operations[f"SELECT {number}"].labels[2]
    assert 10 == len(operations)
    assert 1 == len(operations.statements())
    assert "SELECT" == operations["SELECT " + "1" * MAX_READ_CHARACTERS].labels[2]
    assert 10 == len(operations)
    for number in range(MAX_STATEMENTS + 10):
        assert "SELECT" == operations[f"SELECT a{number}"].labels[2]
    assert MAX_STATEMENTS + 1 == len(operations.statements())


def test_many_texts_are_told_by_their_first_word(databases):
    """A hundred thousand with literals in them cost neither memory nor reading."""
    operations = databases.operations("sqlite", "a.db", is_leaf=True)
    for number in range(100_000):
        operations[f"SELECT name FROM users WHERE id = {number}"]
    assert len(operations) <= MAX_TEXTS
    shapes = {statement.summary: statement.calls for statement in operations.statements()}
    assert {"SELECT name FROM users WHERE id = ?", "SELECT"} == set(shapes)
    assert "users" == operations["SELECT name FROM users WHERE id = 1"].labels[3]


def test_long_texts_are_few(databases, monkeypatch):
    """Characters are counted too, of those that are read and of those that are kept."""
    operations = databases.operations("mysql", "shop", is_leaf=True)
    long = " OR ".join(["a = 1"] * 900)
    assert len(long) <= MAX_READ_CHARACTERS
    for number in range(1000):
        operations[f"SELECT name FROM users WHERE id = {number} OR {long}"]
    assert 100 < len(operations) <= LEARNED_CHARACTERS_A_MINUTE / len(long)
    assert "SELECT" in {statement.summary for statement in operations.statements()}
    monkeypatch.setattr(dbapi, "LEARNED_A_MINUTE", 10**6)
    monkeypatch.setattr(dbapi, "LEARNED_CHARACTERS_A_MINUTE", 1 << 30)
    monkeypatch.setattr(dbapi, "MAX_CHARACTERS", 100 * len(long))
    kept = []
    for number in range(1, 150):
        operations[f"SELECT name FROM users WHERE id = {-number} OR {long}"]
        kept.append(len(operations))
    assert 99 <= max(kept[5:]) <= 100
    assert kept[-1] < max(kept)


def test_texts_that_are_not_read_leave_the_others_their_share(databases):
    """They are told by their first word alone, always in the same way."""
    operations = databases.operations("mysql", "shop", is_leaf=True)
    longest = "SELECT name FROM users WHERE id IN (" + "1, " * MAX_READ_CHARACTERS + "2)"
    for _ in range(2 * LEARNED_A_MINUTE):
        assert "SELECT ..." == operations[longest].summary
    assert "SELECT a FROM t" == operations["SELECT a FROM t"].summary


def test_what_has_no_text_is_fixed(databases):
    """Such as the FETCH of a cursor, which is told by the statement that it belongs to."""
    operations = databases.operations("postgresql", "shop", is_leaf=True)
    fetch = operations.fixed("FETCH", operations["SELECT id FROM users"])
    assert ("postgresql", "shop", "FETCH", "users") == fetch.labels
    assert "FETCH: SELECT id FROM users" == fetch.summary
    assert fetch is operations.fixed("FETCH", operations["SELECT id FROM users"])
    assert ("SCRIPT", "") == operations.fixed("SCRIPT").labels[2:]


def test_statements_of_a_recorder_are_found(databases, tmp_path):
    """All of them, of every database, and none of another recorder."""
    for name in ("a.db", "b.db"):
        databases.operations("sqlite", name, is_leaf=True)["SELECT 1"]
    found = [(s.namespace, s.summary) for s in statements_of(databases.recorder)]
    assert [("a.db", "SELECT ?"), ("b.db", "SELECT ?")] == sorted(found)
    with Recording(tmp_path / "other") as other:
        assert [] == list(statements_of(other.recorder))


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
