"""Statements: the verb from a bounded list, the table only when it is certain, no literals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.wrapping.statements import OTHER, VERBS, operation_name, single_table


@pytest.mark.parametrize(
    ("statement", "operation", "table"),
    [
        ("select * from users", "SELECT", "users"),
        ("SELECT a FROM public.\"Users\" u WHERE x = 'from b'", "SELECT", "Users"),
        ("SELECT a FROM [my table]", "SELECT", "my table"),
        ("SELECT a FROM `t` WHERE b IN (1, 2)", "SELECT", "t"),
        ("SELECT count(*) FROM (SELECT * FROM a) AS q", "SELECT", "a"),
        ("SELECT * FROM a AS x LEFT JOIN a AS y ON 1", "SELECT", "a"),
        ("SELECT * FROM a ORDER BY x, y LIMIT 1, 2", "SELECT", "a"),
        ("SELECT * FROM ONLY a", "SELECT", "a"),
        ("SELECT extract(year FROM d) FROM t", "SELECT", "t"),
        ("SELECT a FROM t WHERE b IS DISTINCT FROM c", "SELECT", "t"),
        ("SELECT * FROM t WHERE id = $1 FOR UPDATE SKIP LOCKED", "SELECT", "t"),
        ("(SELECT a FROM t)", "SELECT", "t"),
        ("/* from x */ -- from y\n SELECT a FROM t", "SELECT", "t"),
        ("INSERT INTO t(a) VALUES (1)", "INSERT", "t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2", "INSERT", "t"),
        ("INSERT OR REPLACE INTO t VALUES (1)", "INSERT", "t"),
        ("INSERT INTO t SELECT * FROM u", "INSERT", ""),
        ("UPDATE OR IGNORE t SET a = 1", "UPDATE", "t"),
        ("DELETE FROM t WHERE a IN (SELECT a FROM t)", "DELETE", "t"),
        ("DELETE FROM t USING u WHERE 1", "DELETE", ""),
        ("MERGE INTO t USING s ON 1", "MERGE", ""),
        ("SELECT * FROM a, b", "SELECT", ""),
        ("SELECT * FROM a x, b", "SELECT", ""),
        ("SELECT * FROM a AS x, b", "SELECT", ""),
        ("SELECT * FROM a /* x */ , b", "SELECT", ""),
        ("SELECT * FROM a JOIN b ON 1", "SELECT", ""),
        ("SELECT * FROM a JOIN b USING (c)", "SELECT", ""),
        ("SELECT * FROM f(1)", "SELECT", ""),
        ("SELECT * FROM 'a'", "SELECT", ""),
        ("SELECT * FROM ?", "SELECT", ""),
        ("SELECT 1", "SELECT", ""),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH", ""),
        ("CREATE TABLE t (a)", "CREATE", ""),
        ("PRAGMA user_version", "PRAGMA", ""),
        ("FROBNICATE t", OTHER, ""),
        ("", OTHER, ""),
        (" ; ", OTHER, ""),
        ("-- only this", OTHER, ""),
        ("/* not closed SELECT", OTHER, ""),
        ("SELECT FROM", "SELECT", ""),
        ("SELECT * FROM a.", "SELECT", ""),
        ("UPDATE OR", "UPDATE", ""),
    ],
)
def test_operation_and_table(statement, operation, table):
    """One certain table, or none; a verb of the list, or OTHER."""
    assert (operation, table) == (operation_name(statement), single_table(statement))


@pytest.mark.parametrize(
    "statement",
    [
        r"SELECT 'it\'s from secret'",
        r"SELECT 'C:\' FROM t WHERE x = ' FROM secret'",
        "SELECT 'not closed FROM secret",
        "SELECT $$ FROM secret $$",
        "SELECT a FROM t # it's FROM secret",
        "SELECT a /* /* */ ' */ FROM secret",
    ],
)
def test_where_a_literal_may_be_code_nothing_is_told(statement):
    """Dialects quote and comment in different ways: in doubt no name."""
    assert "" == single_table(statement)


def test_what_is_no_text_is_other():
    """Bytes, composed statements, None."""
    for statement in (None, b"SELECT 1 FROM t", ["SELECT"], 5):
        assert (OTHER, "") == (operation_name(statement), single_table(statement))


def test_very_long_statements_have_no_table():
    """They are not read to the end."""
    assert "" == single_table(f"SELECT * FROM t WHERE id IN ({'1,' * 5000}1)")


@given(st.text(), st.sampled_from(["", "SELECT a FROM t WHERE ", "INSERT INTO t ", "DELETE FROM "]))
def test_no_text_breaks_it(text, before):
    """Labels of any text are a verb of the list and a name without quotes."""
    assert operation_name(before + text) in {OTHER, *VERBS}
    table = single_table(before + text)
    assert "'" not in table


@given(st.text(st.characters(blacklist_characters="'\\\0", codec="utf-8")))
def test_what_a_literal_holds_is_never_a_table(text):
    """Whatever is inside of quotes, the table is the one outside."""
    statement = f"SELECT '{text} FROM secret' FROM t WHERE a = '{text}'"
    assert single_table(statement) in {"t", ""}
