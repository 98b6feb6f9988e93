"""Tells what a SQL statement does by its first word and its only table, never by its literals."""

import re
from typing import Any

OTHER = "OTHER"

VERBS = frozenset(
    """
    ALTER ANALYZE ATTACH BEGIN CALL CLOSE COMMIT COPY CREATE DECLARE DELETE DESCRIBE DETACH
    DROP END EXEC EXECUTE EXPLAIN FETCH GRANT INSERT LISTEN LOCK MERGE NOTIFY PRAGMA REFRESH
    REINDEX RELEASE REPLACE RESET REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TRUNCATE
    UPDATE USE VACUUM VALUES WITH
    """.split()  # noqa: SIM905 - as a list it takes a screen
)
"""The first words that are shown as they are; others are `OTHER`."""

RETURNS_ROWS = frozenset(
    {"DESCRIBE", "EXPLAIN", "FETCH", "PRAGMA", "SELECT", "SHOW", "VALUES", "WITH"}
)
"""The first words of statements that return rows; others do with RETURNING."""

WRITES = frozenset({"DELETE", "INSERT", "MERGE", "REPLACE", "TRUNCATE", "UPDATE"})

WITH_TABLE = frozenset({"DELETE", "INSERT", "MERGE", "REPLACE", "SELECT", "UPDATE"})

MAX_READ_CHARACTERS = 2048
"""Of longer statements the table is not sought: it takes about 0.3 us a word."""

_START = re.compile(r"(?:[\s(;]+|--[^\n]*(?:\n|$)|/\*.*?\*/)*([A-Za-z]*)", re.DOTALL)

_TOKEN = re.compile(
    r"""\w+ | \$\d+ | '(?:[^']|'')*' | "[^"]*" | `[^`]*` | \[[^\]]*\] | --[^\n]* | /\*.*?\*/
        | [^\w\s]""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = ("--", "/*")
_DOUBTFUL = frozenset("'\"`#$")
"""As tokens of their own: whether what follows is a literal depends on the database."""

_BEFORE_TABLE = frozenset({"FROM", "INTO", "JOIN", "UPDATE", "USING"})
_NOT_BEFORE_TABLE = {("DISTINCT", "FROM"), *((w, "UPDATE") for w in ("DO", "FOR", "KEY", "ON"))}
_WITH_FROM_INSIDE = frozenset({"EXTRACT", "OVERLAY", "SUBSTRING", "TRIM"})


def operation_name(statement: Any) -> str:
    """The first word of a statement, in upper case, if it is one of `VERBS`, else `OTHER`."""
    match = _START.match(statement) if isinstance(statement, str) else None
    verb = match[1].upper() if match else ""
    return verb if verb in VERBS else OTHER


def single_table(statement: Any) -> str:
    """The only table of a statement, without its schema; empty when that is not certain.

    What quotes and comments hold is not read; where that is doubtful (a backslash, a quote left
    over), there is no answer.
    """
    if operation_name(statement) not in WITH_TABLE or len(statement) > MAX_READ_CHARACTERS:
        return ""
    if "\\" in statement:
        return ""
    tokens = [t for t in _TOKEN.findall(statement) if not t.startswith(_COMMENT)]
    if not _DOUBTFUL.isdisjoint(tokens):
        return ""
    tables = _tables([*tokens, "", "", "", ""])
    return tables.pop() if len(tables) == 1 else ""


def _tables(tokens: list[str]) -> set[str]:
    """The names that follow FROM, JOIN and the like; none when something else follows one."""
    tables = set()
    words = [token.upper() for token in tokens]
    opened = []  # the words before the parentheses that are open
    before = ""
    for index, word in enumerate(words):
        if word == "(":
            opened.append(before)
        elif word == ")" and opened:
            opened.pop()
        elif word in _BEFORE_TABLE and (before, word) not in _NOT_BEFORE_TABLE:
            inside = opened[-1] if opened else ""
            if not (word == "FROM" and inside in _WITH_FROM_INSIDE) and words[index + 1] != "(":
                last = _last_part(words, index + 1)
                if not _is_name(tokens[last]) or _is_more(word, words[last + 1 : last + 4]):
                    return set()
                tables.add(tokens[last].strip('"`[]'))
        before = word
    return tables


def _last_part(words: list[str], index: int) -> int:
    """Where `c` of the name `a.b.c` is that starts at `index`."""
    if words[index] == "ONLY":
        index += 1
    elif words[index] == "OR":  # UPDATE OR IGNORE
        index += 2
    while words[index + 1] == ".":
        index += 2
    return index


def _is_name(token: str) -> bool:
    return token.isidentifier() or token[:1] in ('"', "`", "[")


def _is_more(word: str, following: list[str]) -> bool:
    """Whether the name is that of a function, or the first of a list of tables."""
    first, second, third = following
    if first == "(":
        return word != "INTO"
    return first == "," or (second == "," and _is_name(first)) or (first == "AS" and third == ",")
