"""Shapes of statements: no literal is left, and what is suspicious is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.wrapping.fingerprint import MAX_SHAPE_CHARACTERS, shape_of

TEXTS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\\\0"), min_size=1
)


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT a FROM t WHERE b = 17", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a\n  FROM t1 -- why\n;", "SELECT a FROM t1"),
        ("SELECT a FROM t WHERE b IN (1, 2,3)", "SELECT a FROM t WHERE b IN (?)"),
        ("INSERT INTO t VALUES (%s, %s), (%s, %s)", "INSERT INTO t VALUES (?)"),
        ("SELECT 'it''s', E'x', $$y$$, $t$z$t$", "SELECT ?, ?, ?, ?"),
        ("SELECT -1.5e3, 0xFF, .5, a1, 1", "SELECT -?, ?, ?, a1, ?"),
        ("SELECT a::int FROM t WHERE b = :b", "SELECT a::int FROM t WHERE b = ?"),
        ("SELECT a FROM t WHERE b = %(b)s AND c = $1", "SELECT a FROM t WHERE b = ? AND c = ?"),
        ("SELECT 'a\\' FROM t WHERE b = 'c'", "SELECT ..."),
        ("SELECT 'left over", "SELECT ..."),
    ],
)
def test_literals_become_marks(statement, shape):
    """Names, keywords and their order stay."""
    assert shape == shape_of(statement, "postgresql", "SELECT" if "SEL" in statement else "").text


def test_double_quotes_are_literals_of_mysql_alone():
    """Elsewhere they are names."""
    statement = 'SELECT "a" FROM t'
    assert statement == shape_of(statement, "postgresql", "SELECT").text
    assert "SELECT ? FROM t" == shape_of(statement, "mariadb", "SELECT").text
    assert "SELECT ..." == shape_of("SELECT a # it's\n", "mysql", "SELECT").text


@given(TEXTS, st.integers(min_value=10**6))
def test_no_literal_is_left(text, number):
    """Whatever a string or a number is, the shape is that of any other."""
    quoted = text.replace("'", "''")
    statement = f"SELECT a FROM t WHERE b = '{quoted}' AND c IN ({number}, {number}) -- {number}"
    shape = shape_of(statement, "postgresql", "SELECT").text
    assert "SELECT a FROM t WHERE b = ? AND c IN (?)" == shape


@given(st.text())
def test_any_text_has_a_shape(text):
    """It never raises, and is bounded."""
    for system in ("postgresql", "mysql"):
        assert len(shape_of(text, system, "OTHER").text) <= MAX_SHAPE_CHARACTERS


@pytest.mark.parametrize(
    ("statement", "suspicions"),
    [
        ("SELECT * FROM t WHERE a = 1", ("select_star",)),
        ("SELECT a, b.* FROM b WHERE a = 1", ("select_star",)),
        ("SELECT DISTINCT * FROM t WHERE a = 1", ("select_star",)),
        ("SELECT count(*), 2 * 3, a.b * c FROM t", ()),
        ("SELECT a FROM t WHERE EXISTS (SELECT * FROM u)", ()),
        ("SELECT * FROM (SELECT a FROM t) q", ()),
        ("UPDATE t SET a = 1", ("unfiltered_write",)),
        ("DELETE FROM t", ("unfiltered_write",)),
        ("DELETE FROM t WHERE a = 1", ()),
        ("SELECT a FROM t LIMIT 9 OFFSET 1001", ("deep_offset",)),
        ("SELECT a FROM t LIMIT 9 OFFSET 1000", ()),
        ("SELECT a FROM t LIMIT 5000, 9", ("deep_offset",)),
    ],
)
def test_suspicions(statement, suspicions):
    """What the text alone shows."""
    assert suspicions == shape_of(statement, "mysql", statement.split()[0]).suspicions


@pytest.mark.parametrize(
    ("statement", "offset"),
    [
        ("SELECT a FROM t WHERE b = 'x' AND c = %s LIMIT %s OFFSET %s", 2),
        ("SELECT a FROM t LIMIT :size OFFSET :skipped", "skipped"),
        ("SELECT a FROM t LIMIT %(size)s OFFSET %(skipped)s", "skipped"),
        ("SELECT a FROM t OFFSET $3", 2),
        ("SELECT a FROM t OFFSET 5", None),
    ],
)
def test_the_parameter_of_an_offset(statement, offset):
    """By position or by name."""
    assert offset == shape_of(statement, "postgresql", "SELECT").offset


def test_whole_tables():
    """Neither a condition nor a limit; nothing is selected from is no table."""
    unbounded = {
        text: shape_of(text, "sqlite", "SELECT").is_unbounded
        for text in ("SELECT a FROM t", "SELECT a FROM t LIMIT 1", "SELECT 1")
    }
    assert [True, False, False] == list(unbounded.values())
