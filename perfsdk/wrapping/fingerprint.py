"""The shape of a SQL statement: its text without literals, and what is suspicious about it."""

import re
from typing import NamedTuple

MAX_READ_CHARACTERS = 8192
"""Longer statements have no shape of their own: to read one takes a few microseconds a KB."""
MAX_SHAPE_CHARACTERS = 480
DEEP_OFFSET = 1000
"""Rows; those that are skipped are read all the same."""

_LITERAL = "\0"
"""Stands for a literal that was quoted, until parameters have been counted."""
_DOUBTFUL = frozenset("'\"`")
_DOUBLE_QUOTED_LITERALS = frozenset({"mariadb", "mysql"})

_QUOTED = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)
        |(?P<literal>\b[EBXN]'(?:[^']|'')*'|'(?:[^']|'')*'|\$(?P<tag>[a-z_]*)\$.*?\$(?P=tag)\$)
        |(?P<double>"(?:[^"]|"")*")
        |`[^`]*`""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_PARAMETER = r"%s|%\((?P<named>[^)]*)\)s|\?|\$(?P<number>\d+)|(?<![:\w]):(?P<colon>[A-Za-z_]\w*)"
_VALUE = re.compile(
    rf"{_PARAMETER}|(?<![\w.$])(?:0[xX][0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?!\w)"
)
_ONE_LIST = r"\( ?\?(?: ?, ?\?)* ?\)"
_LISTS = re.compile(rf"{_ONE_LIST}(?: ?, ?{_ONE_LIST})*")

_STAR = re.compile(
    r"""(?:(?<!EXISTS\s\()(?<!EXISTS\()\bSELECT\s(?:ALL\s|DISTINCT\s|TOP\s\?\s)?|,\s?)
        (?:[\w"`]+\.)*\*(?=\s?[,)]|\sFROM\s?(?![\s(])|$)""",
    re.VERBOSE | re.IGNORECASE,
)
_WHERE = re.compile(r"\b(?:WHERE|LIMIT)\b", re.IGNORECASE)
_BOUNDED = re.compile(r"\b(?:WHERE|LIMIT|FETCH|TOP|ROWNUM)\b", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_SKIPPED = re.compile(r"\bOFFSET (\d+)|\bLIMIT (\d+) ?,", re.IGNORECASE)
_OFFSET_PARAMETER = re.compile(rf"\bOFFSET (?:{_PARAMETER})", re.IGNORECASE)
_ANY_PARAMETER = re.compile(_PARAMETER)


class Shape(NamedTuple):
    """What a statement looks like.

    `suspicions` are the kinds of findings that its text shows; `is_unbounded` says that it
    selects all there is, which is a finding when that is much. `offset` is the parameter that
    says how many rows are skipped: its position, its name, or None.
    """

    text: str
    suspicions: tuple[str, ...] = ()
    is_unbounded: bool = False
    offset: int | str | None = None


def shape_of(statement: str, system: str, verb: str) -> Shape:
    """The shape of a statement whose first word is `verb`, for a database of that kind.

    Literals, parameters and lists of them become `?`, comments go, blanks are one. Where it is
    doubtful what a literal is (a backslash, a quote left over), only the first word remains.
    What stands in double quotes is a name, but a literal for MariaDB and MySQL.
    """
    if len(statement) > MAX_READ_CHARACTERS or "\\" in statement:
        return Shape(f"{verb} ...")
    with_doubles = system in _DOUBLE_QUOTED_LITERALS
    doubtful = _DOUBTFUL | {"#"} if with_doubles else _DOUBTFUL  # which begins a comment
    if not doubtful.isdisjoint(statement) and not doubtful.isdisjoint(_QUOTED.sub("", statement)):
        return Shape(f"{verb} ...")
    bare = _QUOTED.sub(lambda match: _unquoted(match, with_doubles), statement)
    bare = " ".join(bare.split()).rstrip("; ")
    text = _LISTS.sub("(?)", _VALUE.sub("?", bare).replace(_LITERAL, "?"))
    suspicions = []
    if "*" in text and _STAR.search(text):
        suspicions.append("select_star")
    if verb in {"DELETE", "UPDATE"} and not _WHERE.search(text):
        suspicions.append("unfiltered_write")
    if any(int(found[1] or found[2]) > DEEP_OFFSET for found in _SKIPPED.finditer(bare)):
        suspicions.append("deep_offset")
    unbounded = verb == "SELECT" and not _BOUNDED.search(text) and bool(_FROM.search(text))
    return Shape(_cut(text), tuple(suspicions), unbounded, _offset_parameter(bare))


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
        return int(found["number"]) - 1
    named = found["named"] or found["colon"]
    if named is not None:
        return str(named)
    return sum(1 for _ in _ANY_PARAMETER.finditer(bare, 0, found.end())) - 1


def _cut(text: str) -> str:
    if len(text) <= MAX_SHAPE_CHARACTERS:
        return text
    return text[: MAX_SHAPE_CHARACTERS - 4] + " ..."
