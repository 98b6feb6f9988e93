"""Shapes of statements: no literal is left, and what is suspicious is seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.wrapping.fingerprint import (
    MAX_READ_CHARACTERS,
    MAX_SHAPE_CHARACTERS,
    Shape,
    shape_of,
)

SECRET = "hunter"
CONDITIONS = (
    "a = {}",
    "a<{} AND b>={}",
    "b IN ({}, {},{})",
    "c BETWEEN {} AND {}",
    "lower(d) = lower({})",
    "e[{}:{}] = {}::text",
    "f IN ({}) -- it's hunter\n",
    "g /* hunter's $a$ */ <> {}",
    '"it\'s" = {}',
    "h = ANY(ARRAY[{}, {}])",
)
"""Of a statement, with places for literals; what is in a comment is not shown either."""

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\\"))
PREFIXES = st.sampled_from(["", "E", "e", "B", "X", "N"])
TAGS = st.sampled_from(["", "a", "_b", "t1", "Ab9"])
FORMATS = st.sampled_from(["{}", "{:_}", "{:#x}", "{:#o}", "{:#b}", "{}.5", ".{}", "{}.", "{}e-7"])


@st.composite
def quoted(draw):
    """A literal in quotes, with what must not be seen."""
    text = draw(TEXTS) + SECRET + draw(TEXTS)
    tag = draw(TAGS)
    if draw(st.booleans()) and f"${tag}$" not in f"{text}$":
        return f"${tag}${text}${tag}$"
    quoted = text.replace("'", "''")
    return f"{draw(PREFIXES)}'{quoted}'"


@st.composite
def number(draw):
    """A literal that is a number, in any notation; the conditions have no digits."""
    return draw(FORMATS).format(draw(st.integers(min_value=0, max_value=10**30)))


@st.composite
def condition(draw):
    """The end of a statement, with places for literals."""
    return " OR ".join(draw(st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=6)))


def fill(data, condition):
    """The statement with literals in all places."""
    places = condition.count("{}")
    literals = data.draw(st.lists(number() | quoted(), min_size=places, max_size=places))
    return "SELECT a FROM t WHERE " + condition.format(*literals)


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT a FROM t WHERE b = 17", "SELECT a FROM t WHERE b = ?"),
        ("SELECT a\n  FROM t1 -- why\n;", "SELECT a FROM t1"),
        ("SELECT a FROM t WHERE b IN (1, 2,3)", "SELECT a FROM t WHERE b IN (?)"),
        ("INSERT INTO t VALUES (%s, %s), (%s, %s)", "INSERT INTO t VALUES (?)"),
        ("SELECT 'it''s', E'x', $$y$$, $t$z$t$", "SELECT ?, ?, ?, ?"),
        ("SELECT -1.5e3, 0xFF, .5, a1, 1", "SELECT -?, ?, ?, a1, ?"),
        ("SELECT 1_000, 0b101, 0o17, 2e-5, 1.", "SELECT ?, ?, ?, ?, ?"),
        ("SELECT a FROM v$stats WHERE b = 1AND c=2", "SELECT a FROM v$stats WHERE b = ? c=?"),
        ("SELECT a FROM t WHERE b IN (-1, NULL, 'c')", "SELECT a FROM t WHERE b IN (?)"),
        ("SELECT a FROM t WHERE b IN ($1::INT, $2::INT)", "SELECT a FROM t WHERE b IN (?)"),
        ("INSERT INTO t VALUES (%(a)s::NUMERIC(9, 2), null)", "INSERT INTO t VALUES (?)"),
        ("SELECT a FROM t LIMIT ?1 OFFSET ?2", "SELECT a FROM t LIMIT ? OFFSET ?"),
        ("SELECT a::int FROM t WHERE b = :b", "SELECT a::int FROM t WHERE b = ?"),
        ("SELECT a FROM t WHERE b = %(b)s AND c = $1", "SELECT a FROM t WHERE b = ? AND c = ?"),
        ("SELECT 'a\\' FROM t WHERE b = 'c'", "SELECT ..."),
        ("SELECT 'left over", "SELECT ..."),
        ("SELECT $$left over", "SELECT ..."),
        ("SELECT $t1$left over$T1$", "SELECT ..."),
        ("SELECT $t$a$T$b$t$, e'c', x'd'", "SELECT ?, ?, ?"),
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


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        (
            'SELECT "b"."id", b . "x" FROM "b" JOIN "c" ON ("b"."id" = "c"."b") WHERE "b"."x" = ?',
            'SELECT "b"."id", b . "x" FROM "b" JOIN "c" ON ("b"."id" = "c"."b") WHERE "b"."x" = ?',
        ),
        (
            'SELECT a FROM t WHERE b = "hunter" OR "hunter" = b',
            "SELECT a FROM t WHERE b = ? OR ? = b",
        ),
        ('SELECT a FROM t WHERE b IN ("hunter", "it\'s")', "SELECT a FROM t WHERE b IN (?)"),
        ('SELECT a FROM t WHERE b LIKE "h""unter"', "SELECT a FROM t WHERE b LIKE ?"),
        (
            'SELECT "hunter", a AS "as" FROM (SELECT 1) "c"',
            'SELECT ?, a AS "as" FROM (SELECT ?) "c"',
        ),
        (
            'SELECT a FROM t WHERE b IS NOT DISTINCT  FROM "hunter"',
            "SELECT a FROM t WHERE b IS NOT DISTINCT FROM ?",
        ),
        (
            'INSERT INTO "t" ("a", "b") VALUES ("hunter", ?)',
            'INSERT INTO "t" ("a", "b") VALUES (?)',
        ),
        ('INSERT INTO t VALUES ("hunter")', "INSERT INTO t VALUES (?)"),
        (
            'UPDATE "m"."t" SET "a" = %s, "b" = NULL, "c" = "hunter" WHERE "d" = 1',
            'UPDATE "m"."t" SET "a" = ?, "b" = NULL, "c" = ? WHERE ? = ?',
        ),
        (
            'CREATE TABLE IF NOT EXISTS "t" (a DEFAULT "hunter")',
            'CREATE TABLE IF NOT EXISTS "t" (a DEFAULT ?)',
        ),
        ('SELECT a FROM t WHERE b = "hunter', "SELECT ..."),
    ],
)
def test_double_quotes_of_sqlite_are_names_only_where_a_text_makes_no_sense(statement, shape):
    """It takes them for a text where it has no column of that name."""
    assert shape == shape_of(statement, "sqlite", statement.split(" ")[0]).text


def test_parameters_of_sqlite_are_counted_beside_texts_in_double_quotes():
    """What is skipped is found where it is."""
    shape = shape_of(
        'SELECT a FROM t WHERE b = "c?" AND d = ? LIMIT 5 OFFSET ?', "sqlite", "SELECT"
    )
    assert 1 == shape.offset


@settings(deadline=None)
@given(st.data(), condition())
def test_no_literal_in_double_quotes_is_left_of_sqlite(data, condition):
    """Whatever is in it, and whatever is around it."""
    places = condition.count("{}")
    texts = data.draw(st.lists(TEXTS, min_size=places, max_size=places))
    literals = ['"{}"'.format(f"{text}{SECRET}".replace('"', '""')) for text in texts]
    statement = "SELECT a FROM t WHERE " + condition.format(*literals)
    shape = shape_of(statement, "sqlite", "SELECT").text
    assert shape.startswith("SELECT a FROM t WHERE ")
    assert SECRET not in shape


@settings(deadline=None)
@given(st.data(), condition())
def test_no_literal_is_left(data, condition):
    """Neither what was in quotes nor a digit."""
    shape = shape_of(fill(data, condition), "postgresql", "SELECT").text
    assert shape.startswith("SELECT a FROM t WHERE ")
    assert SECRET not in shape
    assert not any(map(str.isdigit, shape))


@settings(deadline=None)
@given(st.data(), condition())
def test_the_shape_is_that_of_any_other_literals(data, condition):
    """Also of a string where there was a number."""
    one, other = (shape_of(fill(data, condition), "postgresql", "SELECT") for _ in range(2))
    assert one == other


@settings(deadline=None)
@given(st.text() | st.text("'\"`$#?:%()019aE-/*\n ,._;\\\0") | st.text("OFSETLIMT 9?$:,()"))
def test_any_text_has_a_shape(text):
    """It never raises, and is bounded."""
    for system in ("postgresql", "mysql", "sqlite"):
        assert len(shape_of(text, system, "OTHER").text) <= MAX_SHAPE_CHARACTERS


@pytest.mark.parametrize("before", ["OFFSET ", "OFFSET $", "LIMIT ", "LIMIT ?, OFFSET ?"])
def test_numbers_of_any_length_have_a_shape(before):
    """Python refuses to read very long ones; no database takes them."""
    shape = shape_of("SELECT a FROM t " + before + "9" * 5000, "postgresql", "SELECT")
    assert not any(map(str.isdigit, shape.text))


def test_long_statements_are_not_read():
    """What is read is cut; what is too long is told by its first word."""
    names = ", ".join(f"a{number}" for number in range(1000))
    assert shape_of(f"SELECT {names}"[:8000], "sqlite", "SELECT").text.endswith(" ...")
    too_long = f"SELECT {names}, {names}"
    assert MAX_READ_CHARACTERS < len(too_long)
    assert Shape("SELECT ...") == shape_of(too_long, "sqlite", "SELECT")


@pytest.mark.parametrize(
    ("statement", "suspicions"),
    [
        ("SELECT * FROM t WHERE a = 1", ("select_star",)),
        ("SELECT a, b.* FROM b WHERE a = 1", ("select_star",)),
        ("SELECT DISTINCT * FROM t WHERE a = 1", ("select_star",)),
        ("INSERT INTO t (a) SELECT * FROM UNNEST((1, 2))", ()),
        ("SELECT count(*), 2 * 3, a.b * c FROM t", ()),
        ("SELECT a FROM t WHERE EXISTS (SELECT * FROM u)", ()),
        ("SELECT a FROM t WHERE EXISTS ( SELECT * FROM u )", ()),
        ("SELECT * FROM (SELECT a FROM t) q", ()),
        ("SELECT '*', a FROM t WHERE a = ' * ' -- *", ()),
        ("SELECT *, 'b' FROM t LIMIT 9 OFFSET 2000", ("select_star", "deep_offset")),
        ("UPDATE t SET a = 'WHERE'", ("unfiltered_write",)),
        ("UPDATE t SET a = 1 LIMIT 5", ()),
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
        ("SELECT a FROM t WHERE b = ? LIMIT ?, ?", 1),
        ("SELECT a FROM t LIMIT %(skipped)s, %(size)s", "skipped"),
        ("SELECT a FROM t LIMIT ?1 OFFSET ?2", 1),
        ("SELECT a FROM t OFFSET %(skipped)s::INTEGER", "skipped"),
        ("SELECT a FROM t WHERE b = ? LIMIT ?", None),
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


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t", True),
        ("INSERT INTO t VALUES (1)", False),
        ("INSERT INTO t VALUES ('RETURNING')", False),
        ("INSERT INTO t VALUES (1) returning id", True),
        ("WITH x AS (SELECT 1) SELECT a FROM x FOR UPDATE", True),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT a FROM x", False),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT a FROM x RETURNING id", True),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", True),
        ("WITH x AS (DELETE FROM t RETURNING a) INSERT INTO u SELECT a FROM x", False),
        ("UPDATE t SET " + ", ".join(f"column_{n} = ?" for n in range(99)) + " RETURNING a", True),
        ("INSERT INTO t VALUES ('\\')", None),
    ],
)
def test_what_returns_rows(statement, expected):
    """A number of rows affected is none of rows; where the text is not read, it is not known."""
    assert expected is shape_of(statement, "postgresql", statement.split()[0]).returns_rows
