"""Shows what was found as plain text of 80 columns, and each problem as one line."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH = 80
MAX_SHOWN_CHARACTERS = 200

_INDENT = "  "


class Section(NamedTuple):
    """One part of the report; each problem is one line that says what to do."""

    title: str
    lines: Sequence[str]
    problems: Sequence[str] = ()


def render(sections: Iterable[Section]) -> str:
    """The whole report; its last line is `no problems`, or the last of the problems."""
    shown = list(sections)
    problems = [one_line(problem, 500) for section in shown for problem in section.problems]
    parts = ["\n".join([section.title, *section.lines]) for section in shown]
    found = [f"problem: {problem}" for problem in dict.fromkeys(problems)]
    parts.append("\n".join(found or ["no problems"]))
    return "\n\n".join(parts) + "\n"


def table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Rows with aligned columns; the last column goes on in further lines where it is long."""
    texts = [[one_line(str(cell)) for cell in row] for row in rows]
    if not texts:
        return []
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)][:-1]
    lines = []
    for *first, last in texts:
        cells = [text.ljust(width) for text, width in zip(first, widths, strict=True)]
        head = _INDENT + "".join(f"{cell}  " for cell in cells)
        lines += _wrap(head, last)
    return lines


def note(text: str) -> list[str]:
    """A remark of one line or more."""
    return _wrap(_INDENT, one_line(text, 500))


def one_line(text: str, most_characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """Text of others without what would move the cursor; cut where it is long."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= most_characters else f"{line[:most_characters]}..."


def counted(number: int, noun: str) -> str:
    """As in `1 worker` and `2 workers`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(size_bytes: float) -> str:
    """Bytes for people, as in `16.0 MiB`."""
    if size_bytes < 1 << 20:
        return f"{size_bytes / 1024:.1f} KiB"
    if size_bytes < 1 << 30:
        return f"{size_bytes / (1 << 20):.1f} MiB"
    return f"{size_bytes / (1 << 30):.1f} GiB"


def _wrap(head: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(
        text,
        max(WIDTH, len(head) + 20),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,  # a path must stay whole to be copied
        break_on_hyphens=False,
    )
    return [line.rstrip() for line in wrapped] or [head.rstrip()]
