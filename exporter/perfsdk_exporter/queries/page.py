"""The table of queries as one HTML page that loads nothing and runs no script."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from perfsdk_exporter.queries.selection import MAX_LIMIT, TEXTS, Selected, Selection
from perfsdk_exporter.queries.statements import OVERFLOW, Finding, Statement
from perfsdk_exporter.queries.style import STYLE
from perfsdk_exporter.queries.wording import UNKNOWN, count, duration, per_call, share, visible

CONTENT_TYPE = "text/html; charset=utf-8"

SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src"
    f" 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
"""Nothing but the style of the page itself, whatever somebody gets into it."""


class _Link(NamedTuple):
    sort: str
    title: str
    explanation: str


_COLUMNS = (
    (
        _Link("statement", "Statement", "Without its literals"),
        _Link("call_site", "Call site", "The line of the application that first ran it"),
    ),
    (_Link("database", "Database", "Its kind and its name"),),
    (_Link("calls", "Calls", "As the application made them; a batch is one"),),
    (_Link("total", "Total", "Time of all calls"),),
    (_Link("mean", "Mean", "Time of a call"),),
    (_Link("total", "Share", "Of the time of all statements"),),
    (_Link("errors", "Errors", "Calls that raised"),),
    (_Link("rows", "Rows per call", "Returned, not affected"),),
    (_Link("findings", "Findings", "What hurts, in which route, in how many requests"),),
)
_LONG = 240
_FINDINGS_SHOWN = 4

_NOTHING = """<p class="note"><strong>No statement has been recorded yet.</strong> The table fills
by itself some seconds after a process has called a database: call
<code>perfsdk.instrument(app)</code> at its start, or start it with <code>perfsdk run</code>.
<code>perfsdk doctor</code> says which libraries are measured.</p>
"""

_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Queries - perfsdk-exporter</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Queries</h1>
"""
_LANDING = '<nav><a href="/">perfsdk-exporter</a></nav>\n'
_HEAD_END = "</header>\n"

_FOOT = """<footer>
<p>Totals of all processes, ended ones included, with a row for each statement, its database and
its line. A process has rows for the statements that cost it most; its others are one row. What a
finding means, and what to do about it, is in the log of the application. <a href="{json}">The same
as JSON</a>.</p>
</footer>
</body>
</html>
"""


def render_page(
    selected: Selected, selection: Selection, explanation: str, *, has_landing: bool = True
) -> Iterator[bytes]:
    """The page; `explanation` says why nothing was read, empty when something was.

    `has_landing`: there is a page to go back to, at `/`. Links to the page itself name no path.
    """
    yield (_HEAD + (_LANDING if has_landing else "") + _HEAD_END).encode()
    if explanation:
        yield _encode(f'<p class="note"><strong>Nothing to read: {_text(explanation)}</strong></p>')
    if not selected.statements:
        yield _NOTHING.encode()
    else:
        yield _encode(_summary(selected), _form(selected.statements, selection))
        if selected.matching:
            yield _encode("<table>", _header(selection), "<tbody>")
            seconds = selected.seconds
            for statement in selected.shown:
                yield _encode(_row(statement, seconds, selection))
            yield _encode("</tbody>", "</table>", _rest(selected, selection))
        else:
            yield _encode('<p class="note">No statement matches. <a href="?">Show all</a></p>')
    yield _FOOT.format(json=escape(selection.query(format="json"))).encode()


def _summary(selected: Selected) -> str:
    everything = selected.statements
    found = sum(1 for statement in everything if statement.findings)
    figures = (
        (count(selected.own_rows), "statements"),
        (count(sum(s.calls for s in everything)), "calls"),
        (duration(selected.seconds), "in databases"),
        (count(sum(s.errors for s in everything)), "errors"),
        (count(found), "with findings"),
    )
    parts = "".join(f"<div><dt>{what}</dt><dd>{figure}</dd></div>" for figure, what in figures)
    return f"<dl>{parts}</dl>"


def _form(statements: Iterable[Statement], selection: Selection) -> str:
    findings = [found for statement in statements for found in statement.findings]
    fields = (
        _choice("system", "Database", {s.system for s in statements}, selection.system),
        _choice("kind", "Finding", {found.kind for found in findings}, selection.kind),
        _choice("route", "Route", {found.http_route for found in findings}, selection.route),
    )
    return (
        f'<form method="get">{"".join(fields)}'
        f'<label>Rows <input name="limit" type="number" min="1" max="{MAX_LIMIT}"'
        f' value="{selection.limit}"></label>'
        f'<input type="hidden" name="sort" value="{escape(selection.sort)}">'
        '<button>Show</button> <a href="?">Reset</a></form>'
    )


def _choice(name: str, title: str, values: set[str], chosen: str) -> str:
    options = ['<option value="">any</option>']
    for value in sorted({*values, chosen} - {""}):
        mark = " selected" if value == chosen else ""
        options.append(f'<option value="{escape(value)}"{mark}>{_text(value)}</option>')
    return f'<label>{title} <select name="{name}">{"".join(options)}</select></label>'


def _header(selection: Selection) -> str:
    cells = []
    for links in _COLUMNS:
        shown = " ".join(_sorting(link, selection) for link in links)
        ascending = _is_ascending(selection)
        order = "ascending" if ascending else "descending"
        mark = f' aria-sort="{order}"' if "class=" in shown else ""
        cells.append(f'<th scope="col"{mark}>{shown}</th>')
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _sorting(link: _Link, selection: Selection) -> str:
    """A title that sorts by its column, the other way round when the table is already."""
    kind, wanted = "", link.sort
    if selection.sort.removeprefix("-") == link.sort and link.title != "Share":
        kind = ' class="up"' if _is_ascending(selection) else ' class="down"'
        wanted = link.sort if selection.sort.startswith("-") else f"-{link.sort}"
    href = escape(selection.query(sort=wanted))
    return f'<a{kind} href="{href}" title="{link.explanation}">{link.title}</a>'


def _is_ascending(selection: Selection) -> bool:
    return (selection.sort.removeprefix("-") in TEXTS) != selection.sort.startswith("-")


def _row(statement: Statement, all_seconds: float, selection: Selection) -> str:
    part = statement.seconds / all_seconds if all_seconds else 0.0
    database = f"{_text(statement.system)}<small>{_text(statement.namespace)}</small>"
    sets = statement.parameter_sets
    calls = count(statement.calls) + (f"<small>{count(sets)} sets</small>" if sets else "")
    cells: tuple[str, ...] = (
        f'<td class="text" data-title="Database">{database}</td>',
        _figure("Calls", calls),
        _figure("Total", duration(statement.seconds)),
        _figure("Mean", duration(statement.mean_seconds)),
        _figure(
            "Share", f'<span class="b{min(round(part * 20), 20) * 5}">{escape(share(part))}</span>'
        ),
        _figure("Errors", count(statement.errors), "bad" if statement.errors else ""),
        _figure("Rows per call", per_call(statement.rows_per_call)),
        f'<td class="text" data-title="Findings">{_findings(statement.findings, selection)}</td>',
    )
    if not statement.calls:
        # Its process has no row for it: what it cost is among the others.
        unknown = (_figure(links[0].title, UNKNOWN) for links in _COLUMNS[2:8])
        cells = (cells[0], *unknown, cells[-1])
    return f'<tr><th scope="row">{_what(statement)}</th>{"".join(cells)}</tr>'


def _what(statement: Statement) -> str:
    if statement.summary == OVERFLOW:
        return "<em>all others, each with less time than those that have a row</em>"
    text = _text(statement.summary)
    shown = f"<code>{text}</code>"
    if len(statement.summary) > _LONG:
        start = _text(statement.summary[:_LONG])
        shown = f"<details><summary><code>{start}</code></summary>{shown}</details>"
    return f"{shown}<small>{_text(statement.call_site or 'line unknown')}</small>"


def _findings(findings: list[Finding], selection: Selection) -> str:
    shown, hidden = findings[:_FINDINGS_SHOWN], findings[_FINDINGS_SHOWN:]
    listed = _list(shown, selection)
    if hidden:
        more = f"<summary>{len(hidden)} more</summary>{_list(hidden, selection)}"
        listed += f"<details>{more}</details>"
    return listed


def _list(findings: list[Finding], selection: Selection) -> str:
    return "".join(f"<p>{_finding(found, selection)}</p>" for found in findings)


def _finding(found: Finding, selection: Selection) -> str:
    kind = f'<a href="{escape(selection.query(kind=found.kind))}">{_text(found.kind)}</a>'
    route = found.http_route
    where = f'<a href="{escape(selection.query(route=route))}">{_text(route)}</a>' if route else ""
    requests = "1 request" if found.requests == 1 else f"{count(found.requests)} requests"
    return f"<b>{kind}</b> {where} <i>{requests}</i>"


def _rest(selected: Selected, selection: Selection) -> str:
    hidden = selected.matching - len(selected.shown)
    if not hidden:
        return ""
    more = escape(selection._replace(limit=MAX_LIMIT).query())
    return f'<p class="note">{count(hidden)} more match. <a href="{more}">Show them</a></p>'


def _figure(title: str, shown: str, kind: str = "") -> str:
    return f'<td class="{kind}" data-title="{title}">{shown}</td>'


def _text(text: str) -> str:
    return escape(visible(text))


def _encode(*parts: str) -> bytes:
    return ("\n".join(parts) + "\n").encode()
