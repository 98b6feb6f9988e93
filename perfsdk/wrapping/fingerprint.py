"""The shape of a SQL statement: its text without literals, and what is suspicious about it."""

import re
from typing import NamedTuple

from perfsdk.wrapping.statements import RETURNS_ROWS

MAX_READ_CHARACTERS = 8192
"""Longer statements have no shape of their own: to read one takes a few microseconds a KB."""
MAX_SHAPE_CHARACTERS = 480
DEEP_OFFSET = 1000
"""Rows; those that are skipped are read all the same."""

_LITERAL = "\0"
"""Stands for a literal that was quoted, until parameters have been counted."""
# What looks behind comes second: an alternative that begins with a character is tried fast.
_TAG = r"\$(?<![\w$]\$)(?P<tag>(?:[^\W\d]\w*)?)\$"
_DOUBTFUL = re.compile(rf"['\"`]|{_TAG}")
_DOUBTFUL_WITH_DOUBLES = re.compile(rf"['\"`#]|{_TAG}")  # `#` begins a comment
_MARKS = ("'", '"', "`", "--", "/*", "$", "#")
"""Without one of them a statement has neither quoted literals nor comments."""
_DOUBLE_QUOTED_LITERALS = frozenset({"mariadb", "mysql"})
_DOUBLE_QUOTED_IF_NO_NAME = frozenset({"sqlite"})
"""These take what stands in double quotes for a text where there is no column of that name."""

_QUOTED = re.compile(
    rf"""(?P<comment>--[^\n]*|/\*.*?\*/)
        |(?P<literal>[BENXbenx](?<=\b.)'(?:[^']|'')*'|'(?:[^']|'')*'|{_TAG}.*?\$(?P=tag)\$)
        |(?P<double>"(?:[^"]|"")*")
        |`[^`]*`""",
    re.VERBOSE | re.DOTALL,
)
_DOUBLE = r'"(?:[^"]|"")*"'
_NAME = rf"(?:{_DOUBLE}|`[^`]*`|\w+)"
_SIMPLE = rf"(?:{_LITERAL}|%s|%\(\w+\)s|[?:@$]\w*|[-+]?[\w.]+)"
# Where a text makes no sense: columns of an INSERT, the assigned ones of an UPDATE as long as
# their values are simple, what follows these words or `)`, and parts of a name with a dot.
_NAMES = re.compile(
    rf"""\bINTO\s+{_NAME}(?:\s*\.\s*{_NAME})?\s*\((?:\s*{_NAME}\s*,)*\s*{_NAME}\s*\)
        |\bSET\s+(?:{_NAME}\s*=\s*{_SIMPLE}\s*,\s*)*{_NAME}\s*=
        |(?:\b(?:AS|EXISTS|(?<!DISTINCT\s)FROM|INDEX|INTO|JOIN|TABLE|UPDATE|VIEW)\s+|[.)]\s*){_DOUBLE}
        |{_DOUBLE}(?=\s*\.)
        |(?P<text>{_DOUBLE})""",
    re.VERBOSE | re.IGNORECASE,
)
_PARAMETER = r"%s|%\((?P<named>[^)]*)\)s|[?$](?P<number>\d+)|\?|(?<![:\w]):(?P<colon>[A-Za-z_]\w*)"
_UNNAMED_PARAMETER = re.sub(r"\?P<\w+>", "?:", _PARAMETER)
# All that begins with a digit, for `0b1`, `1_000` and `1AND` are numbers to some databases.
_VALUE = re.compile(rf"{_PARAMETER}|(?<![\w.$])\.?\d\w*(?:\.\w*)*(?:(?<=[eE])[+-]\d+)?")
_CAST = r"::\w+(?: \w+)*(?:\(\?(?:, ?\?)?\))?(?:\[\])*"
_ITEM = rf"(?:[-+]?\?(?:{_CAST})?|DEFAULT|FALSE|NULL|TRUE)"
_ONE_LIST = rf"\( ?{_ITEM}(?: ?, ?{_ITEM})* ?\)"
_LISTS = re.compile(rf"{_ONE_LIST}(?: ?, ?{_ONE_LIST})*", re.IGNORECASE)

_STAR = re.compile(
    r"""(?:(?<!EXISTS\s\()(?<!EXISTS\()(?<!EXISTS\s\(\s)(?<!EXISTS\(\s)
        \bSELECT\s(?:ALL\s|DISTINCT\s|TOP\s\?\s)?|,\s?)
        (?:[\w"`]+\.)*\*(?=\s?[,)]|\sFROM\s?(?![\s(]|UNNEST\s?\()|$)""",
    re.VERBOSE,
)
_WHERE = re.compile(r"\b(?:WHERE|LIMIT)\b")
_BOUNDED = re.compile(r"\b(?:WHERE|LIMIT|FETCH|TOP|ROWNUM)\b")
_FROM = re.compile(r"\bFROM\b")
_SKIPPED = re.compile(r"\bOFFSET (\d{1,18})|\bLIMIT (\d{1,18}) ?,", re.IGNORECASE)
_OFFSET_PARAMETER = re.compile(
    rf"\b(?:OFFSET|LIMIT(?= (?:{_UNNAMED_PARAMETER}) ?,)) (?:{_PARAMETER})", re.IGNORECASE
)
_ANY_PARAMETER = re.compile(_PARAMETER)
_MAX_POSITION_DIGITS = 9
_CHANGE_AFTER_WITH = re.compile(r"\) ?(?:DELETE|INSERT|MERGE|REPLACE|UPDATE)\b")
_RETURNING = re.compile(r"\bRETURNING\b")


class Shape(NamedTuple):
    """What a statement looks like.

    `suspicions` are the kinds of findings that its text shows; `is_unbounded` says that it
    selects all there is, which is a finding when that is much. `offset` is the parameter that
    says how many rows are skipped: its position, its name, or None. `returns_rows` is None where
    only the first word is known.
    """

    text: str
    suspicions: tuple[str, ...] = ()
    is_unbounded: bool = False
    offset: int | str | None = None
    returns_rows: bool | None = None


def shape_of(statement: str, system: str, verb: str) -> Shape:
    """The shape of a statement whose first word is `verb`, for a database of that kind.

    Literals, parameters and lists of them become `?`, comments go, blanks are one. Where it is
    doubtful what a literal is (a backslash, a quote left over), only the first word remains.
    What stands in double quotes is a name, but a literal for MariaDB and MySQL, and for SQLite
    wherever it could be one.
    """
    if len(statement) > MAX_READ_CHARACTERS or "\\" in statement:
        return Shape(f"{verb} ...")
    bare = _without_quoted(statement, system in _DOUBLE_QUOTED_LITERALS)
    if bare is None:
        return Shape(f"{verb} ...")
    bare = " ".join(bare.split()).rstrip("; ")
    if '"' in bare and system in _DOUBLE_QUOTED_IF_NO_NAME:
        bare = _NAMES.sub(lambda match: match[0] if match["text"] is None else _LITERAL, bare)
    text = _LISTS.sub("(?)", _VALUE.sub("?", bare).replace(_LITERAL, "?"))
    upper = text.upper()  # a plain search is a tenth of one that ignores the case
    skips = "OFFSET " in upper or "LIMIT " in upper
    return Shape(
        text=_cut(text),
        suspicions=_suspicions(verb, bare, upper, skips=skips),
        is_unbounded=verb == "SELECT" and "FROM" in upper and _is_unbounded(upper),
        offset=_offset_parameter(bare) if skips else None,
        returns_rows=_returns_rows(verb, upper),
    )


def _without_quoted(statement: str, with_doubles: bool) -> str | None:
    """The statement without comments and quoted literals; None: they are doubtful."""
    if not any(mark in statement for mark in _MARKS):
        return statement
    doubtful = _DOUBTFUL_WITH_DOUBLES if with_doubles else _DOUBTFUL
    if doubtful.search(statement) and doubtful.search(_QUOTED.sub(" ", statement)):
        return None
    return _QUOTED.sub(lambda match: _unquoted(match, with_doubles), statement)


def _suspicions(verb: str, bare: str, upper: str, *, skips: bool) -> tuple[str, ...]:
    suspicions = []
    if "*" in upper and _STAR.search(upper):
        suspicions.append("select_star")
    if verb in {"DELETE", "UPDATE"} and not _WHERE.search(upper):
        suspicions.append("unfiltered_write")
    if skips and any(int(found[1] or found[2]) > DEEP_OFFSET for found in _SKIPPED.finditer(bare)):
        suspicions.append("deep_offset")
    return tuple(suspicions)


def _is_unbounded(upper: str) -> bool:
    return _FROM.search(upper) is not None and _BOUNDED.search(upper) is None


def _unquoted(match: re.Match[str], with_doubles: bool) -> str:
    if match["comment"] is not None:
        return " "
    if match["literal"] is not None or (with_doubles and match["double"] is not None):
        return _LITERAL
    return match[0]


def _offset_parameter(bare: str) -> int | str | None:
    """Which parameter says how many rows are skipped."""
    found = _OFFSET_PARAMETER.search(bare)
    if found is None:
        return None
    if found["number"] is not None:
        return int(found["number"][:_MAX_POSITION_DIGITS]) - 1
    named = found["named"] or found["colon"]
    if named is not None:
        return str(named)
    return sum(1 for _ in _ANY_PARAMETER.finditer(bare, 0, found.end())) - 1


def _returns_rows(verb: str, upper: str) -> bool:
    """Whether rows come back; of `WITH x AS (...) INSERT ...` it is what follows that decides."""
    change = _CHANGE_AFTER_WITH.search(upper) if verb == "WITH" else None
    if verb in RETURNS_ROWS and change is None:
        return True
    if "RETURNING" not in upper:
        return False
    return _RETURNING.search(upper, change.end() if change else 0) is not None


def _cut(text: str) -> str:
    if len(text) <= MAX_SHAPE_CHARACTERS:
        return text
    return text[: MAX_SHAPE_CHARACTERS - 4] + " ..."
