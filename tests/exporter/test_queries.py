"""The table of queries over HTTP: on or off, for people and programs, whatever is in it."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk_exporter.collection import Collection
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.negotiation import prefers_json
from perfsdk_exporter.queries.document import render_document
from perfsdk_exporter.queries.page import SECURITY_POLICY, render_page
from perfsdk_exporter.queries.selection import (
    COLUMNS,
    MAX_LIMIT,
    Selection,
    SelectionError,
    read_selection,
    select,
)
from perfsdk_exporter.queries.statements import Finding, Statement, read_statements
from perfsdk_exporter.queries.wording import count, duration, per_call, share, visible
from perfsdk_exporter.web.protection import Protection
from tests.exporter.served import Double, ask, refusals, served
from tests.exporter.test_authentication import basic, hashed

LABELS = ("db_system_name", "db_namespace", "query_summary", "call_site")
VOID = {"meta", "input"}
README = (Path(__file__).parents[2] / "exporter" / "README.md").read_text()

SLOW = Statement(
    "postgresql",
    "shop",
    "SELECT ? FROM orders",
    "orders.py:7 in orders",
    calls=4.0,
    seconds=6.0,
    errors=1.0,
    rows=10.0,
    findings=[Finding("slow", "/orders", 3.0), Finding("n_plus_one", "/home", 1.0)],
)
OFTEN = Statement("sqlite", "a.db", "SELECT 1", "a.py:1 in f", calls=100.0, seconds=1.0, rows=100.0)
BATCH = Statement(
    "mariadb",
    "stock",
    "INSERT INTO t VALUES (?)",
    "",
    calls=2.0,
    seconds=3.0,
    parameter_sets=2000.0,
    findings=[Finding("slow", "/import", 1.0)],
)
OTHERS = Statement("postgresql", "", "<overflow>", "", calls=7.0, seconds=2.0)
FOUND = Statement("sqlite", "b.db", "SELECT 2", "b", findings=[Finding("slow", "/b", 9.0)])
ROWS = [SLOW, OFTEN, BATCH, OTHERS, FOUND]


def families_of(statements):
    """The counters that say this."""

    def family(name, values, labels=()):
        name = f"perfsdk_query_{name}_total"
        return Family(
            name=name, kind="counter", unit="", help="", labels=LABELS + labels, values=values
        )

    def key(row):
        return row.system, row.namespace, row.summary, row.call_site

    for name in ("calls", "seconds", "errors", "rows", "parameter_sets"):
        yield family(name, {key(row): getattr(row, name) for row in statements})
    findings = {(*key(row), f[0], f[1]): f[2] for row in statements for f in row.findings}
    yield family("findings", findings, ("kind", "http_route"))


class Collector(Double):
    """A collector that gives these statements."""

    def __init__(self, *statements, explanation=""):
        super().__init__()
        self.statements, self.explanation = statements, explanation

    def collect(self):
        """All as usual, and the statements."""
        found = super().collect()
        return Collection(
            families=found.families,
            directory=None,
            explanation=self.explanation,
            segments=found.segments,
            queries=list(families_of(self.statements)),
        )


class Page(HTMLParser):
    """The page as a browser takes it: tags are balanced, and what is in the table."""

    def __init__(self, html):
        super().__init__()
        self.open, self.links, self.tags, self.rows, self.selected = [], [], [], [], []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open
        assert html.startswith("<!DOCTYPE html>\n<html lang=")

    def handle_starttag(self, tag, attrs):
        """Remember what has to be closed, and where links lead."""
        given = dict(attrs)
        assert not {name for name in given if name.startswith("on") or name == "style"}
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "action")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "option" and "selected" in given:
            self.selected.append(given["value"])

    def handle_endtag(self, tag):
        """Only the innermost tag may be closed."""
        assert tag == self.open.pop()

    def handle_data(self, data):
        """Text of the page and of the cell."""
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


async def page_of(port, query="", **headers):
    """The page, parsed."""
    status, _, body = await ask(port, f"/queries{query}", **headers)
    assert 200 == status, body
    return Page(body.decode())


async def document_of(port, **parameters):
    """The document for some parameters."""
    query = urlencode({"format": "json", **parameters})
    status, headers, body = await ask(port, f"/queries?{query}")
    assert (200, "application/json; charset=utf-8") == (status, headers["Content-Type"])
    return json.loads(body)


# --- switched on and off ---


async def test_off_it_says_how_to_switch_it_on():
    """Unless it is asked for there is no table, and no link to one."""
    collector = Collector(*ROWS)
    async with served(collector) as port:
        for path in ("/queries", "/queries?format=json", "/queries?limit=0"):
            status, _, body = await ask(port, path)
            assert (404, 1) == (status, body.count(b"\n"))
            assert b"--web.queries" in body
        assert b"/queries" not in (await ask(port, "/"))[2]
        assert 1 == collector.collections


async def test_on_it_is_served_and_linked():
    """The landing page leads there, and it leads back."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        assert b'<a href="/queries">Queries</a>' in (await ask(port, "/"))[2]
        page = await page_of(port)
        assert "/" in page.links
        assert "SELECT ? FROM orders" in page.text


async def test_users_are_asked_for_here_too(tmp_path):
    """What protects the page of metrics protects this one."""
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users:\n  anna: {hashed(b'secret')}\n")
    protection = Protection(config)
    async with served(Collector(*ROWS), with_queries=True, protection=protection) as port:
        status, _, body = await ask(port, "/queries")
        assert (401, False) == (status, b"SELECT" in body)
        status, _, body = await ask(port, "/queries", Authorization=basic(b"anna:secret"))
        assert (200, True) == (status, b"SELECT" in body)


async def test_it_takes_a_place_as_scrapes_do():
    """It counts towards the limit, and its time is limited when the client says so."""
    collector = Collector(*ROWS)
    collector.go.clear()
    async with served(collector, with_queries=True, max_requests=1) as port:
        header = {"X_Prometheus_Scrape_Timeout_Seconds": "0.2"}
        status, _, body = await ask(port, "/queries", **header)
        assert (503, b"the page was not ready") == (status, body[:22])
        collector.go.set()
        assert 200 == (await ask(port, "/queries"))[0]
        assert {"timeout": 1.0} == await refusals(port)


async def test_a_table_that_cannot_be_read_is_an_error_of_a_line(caplog):
    """The reason is in the log alone."""
    collector = Collector(Statement("a", "b", "c", "d", calls="secret"))
    async with served(collector, with_queries=True) as port:
        status, _, body = await ask(port, "/queries")
        expected = b"rendering failed; the log of the exporter says why.\n"
        assert (500, expected) == (status, body)
        assert ["rendering failed"] == [record.message for record in caplog.records]


# --- formats ---


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json, text/plain, */*", True),
        ("application/json, text/html", False),
        ("application/json;q=0.5, text/html;q=0.4", True),
        ("application/json;q=0.4, text/html;q=0.5", False),
        ("application/json;q=0", False),
        ("application/json;q=x", False),
    ],
)
def test_who_gets_the_document(accept, expected):
    """Programs that name JSON and like it better than HTML; all others get the page."""
    assert expected is prefers_json(accept)


async def test_the_format_of_the_query_beats_the_header():
    """`format=` decides where there is one; caches are told what the answer depends on."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        wanted = {
            ("/queries", "application/json"): "application/json; charset=utf-8",
            ("/queries?format=html", "application/json"): "text/html; charset=utf-8",
            ("/queries?format=json", "text/html"): "application/json; charset=utf-8",
            ("/queries?format=", "text/html"): "text/html; charset=utf-8",
        }
        for (path, accept), expected in wanted.items():
            _, headers, _ = await ask(port, path, Accept=accept)
            assert expected == headers["Content-Type"]
            assert "Accept, Accept-Encoding" == headers["Vary"]


async def test_headers_keep_foreign_text_harmless():
    """Nothing is loaded or run, nothing is kept, and the style is the one that is allowed."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        for query in ("", "?format=json"):
            _, headers, body = await ask(port, f"/queries{query}")
            assert SECURITY_POLICY == headers["Content-Security-Policy"]
            assert "nosniff" == headers["X-Content-Type-Options"]
            assert "no-store" == headers["Cache-Control"]
            if not query:
                (style,) = re.findall(b"<style>(.*?)</style>", body, re.DOTALL)
                digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
                assert f"style-src 'sha256-{digest}'" in SECURITY_POLICY
    assert "default-src 'none'" in SECURITY_POLICY


async def test_compression_and_head():
    """As for the page of metrics: compressed when asked, HEAD without a body."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        _, headers, packed = await ask(port, "/queries", Accept_Encoding="gzip")
        assert "gzip" == headers["Content-Encoding"]
        assert gzip.decompress(packed) == (await ask(port, "/queries"))[2]
        assert (200, b"") == (await ask(port, "/queries", method="HEAD"))[::2]
        assert 405 == (await ask(port, "/queries", method="POST"))[0]


# --- content ---


async def test_the_document_field_by_field():
    """Every figure of a row, exactly; totals are of all statements."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        document = await document_of(port, limit=1)
    expected = {
        "summary": "SELECT ? FROM orders",
        "call_site": "orders.py:7 in orders",
        "system": "postgresql",
        "namespace": "shop",
        "calls": 4,
        "seconds": 6.0,
        "mean_seconds": 1.5,
        "share": 0.5,
        "errors": 1,
        "rows": 10,
        "rows_per_call": 2.5,
        "parameter_sets": 0,
        "findings": [
            {"kind": "slow", "http_route": "/orders", "requests": 3},
            {"kind": "n_plus_one", "http_route": "/home", "requests": 1},
        ],
    }
    assert [expected] == document.pop("statements")
    expected = {
        "explanation": "",
        "selection": {"sort": "total", "route": "", "kind": "", "system": "", "limit": 1},
        "totals": {
            "statements": 4,
            "calls": 113,
            "seconds": 12.0,
            "errors": 1,
            "rows": 110,
            "parameter_sets": 2000,
        },
        "matching": 5,
    }
    assert expected == document


async def test_every_field_is_documented():
    """The table in the documentation names the fields of the document, in their order."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        document = await document_of(port)
    fields = [*document, *document["statements"][0]]
    _, _, section = README.partition("| field | meaning |")
    rows = re.findall(r"^\| (`.+?) \|", section.partition("\n\n")[0], re.MULTILINE)
    assert fields == re.findall(r"`(\w+)`", " ".join(rows))
    for name in (*document["totals"], *document["statements"][0]["findings"][0]):
        assert f"`{name}`" in section
    parameters = README.partition("| parameter | default | meaning |")[2].partition("\n\n")[0]
    for name in (*Selection()._fields, *COLUMNS):
        assert f"`{name}`" in parameters


async def test_what_was_not_called_has_no_means():
    """A statement that has findings alone is there; what it cost is not known."""
    async with served(Collector(FOUND), with_queries=True) as port:
        document = await document_of(port)
        (row,) = document["statements"]
        assert (0, None, None) == (row["calls"], row["mean_seconds"], row["rows_per_call"])
        assert 0.0 == row["share"]
        page = await page_of(port)
    (cells,) = page.rows[1:]
    assert ["SELECT 2b", "sqliteb.db", *["-"] * 6, "slow /b 9 requests"] == cells


async def test_the_page_row_by_row():
    """The same content as people read it, by total time."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        page = await page_of(port)
    header, *rows = page.rows
    assert header[2:] == [
        "Calls",
        "Total",
        "Mean",
        "Share",
        "Errors",
        "Rows per call",
        "Findings",
    ]
    expected = [
        "SELECT ? FROM ordersorders.py:7 in orders",
        "postgresqlshop",
        *["4", "6.00 s", "1.50 s", "50.0%", "1", "2.5"],
        "slow /orders 3 requestsn_plus_one /home 1 request",
    ]
    assert expected == rows[0]
    expected = ["INSERT INTO t VALUES (?)line unknown", "mariadbstock", "22,000 sets", "3.00 s"]
    assert expected == rows[1][:4]
    assert ["all others, each with less time than those that have a row", "postgresql"] == rows[2][
        :2
    ]
    assert 5 == len(rows)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("", [SLOW, BATCH, OTHERS, OFTEN, FOUND]),
        ("total", [SLOW, BATCH, OTHERS, OFTEN, FOUND]),
        ("-total", [FOUND, OFTEN, OTHERS, BATCH, SLOW]),
        ("calls", [OFTEN, OTHERS, SLOW, BATCH, FOUND]),
        ("mean", [BATCH, SLOW, OTHERS, OFTEN, FOUND]),
        ("errors", [SLOW, OTHERS, BATCH, OFTEN, FOUND]),
        ("rows", [SLOW, OFTEN, OTHERS, BATCH, FOUND]),
        ("findings", [FOUND, SLOW, BATCH, OTHERS, OFTEN]),
        ("statement", [OTHERS, BATCH, OFTEN, FOUND, SLOW]),
        ("-statement", [SLOW, FOUND, OFTEN, BATCH, OTHERS]),
        ("call_site", [OTHERS, BATCH, OFTEN, FOUND, SLOW]),
        ("database", [BATCH, OTHERS, SLOW, OFTEN, FOUND]),
    ],
)
def test_orders(sort, expected):
    """Numbers from the largest, texts from A, `-` the other way; what is equal by statement."""
    assert expected == select(ROWS, read_selection({"sort": sort})).shown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"system": "sqlite"}, [OFTEN, FOUND]),
        ({"kind": "slow"}, [SLOW, BATCH, FOUND]),
        ({"route": "/home"}, [SLOW]),
        ({"route": "/orders", "kind": "slow"}, [SLOW]),
        ({"route": "/home", "kind": "slow"}, []),
        ({"kind": "slow", "system": "mariadb", "limit": "5"}, [BATCH]),
        ({"limit": "2"}, [SLOW, BATCH]),
        ({"route": "", "kind": "", "system": "", "limit": ""}, [SLOW, BATCH, OTHERS, OFTEN, FOUND]),
    ],
)
def test_filters(query, expected):
    """A finding of that kind in that route; shares stay those of all."""
    selected = select(ROWS, read_selection(query))
    assert (expected, 12.0) == (selected.shown, selected.seconds)


@pytest.mark.parametrize(
    "query",
    [{"sort": "time"}, {"sort": "--total"}, {"sort": "-"}]
    + [{"limit": text} for text in ("0", "-1", "1.5", "x", "1e3", "٣", "9" * 30)],
)
async def test_what_means_nothing_is_refused(query):
    """400 with a line that says what to give, for the page and the document."""
    with pytest.raises(SelectionError):
        read_selection(query)
    async with served(Collector(*ROWS), with_queries=True) as port:
        for more in ({}, {"format": "json"}):
            status, _, body = await ask(port, f"/queries?{urlencode({**query, **more})}")
            assert (400, 1, b"give") == (status, body.count(b"\n"), body.split()[1])
        assert {"bad_request": 2.0} == await refusals(port)


async def test_an_unknown_format_is_refused():
    """The line names those that there are."""
    async with served(Collector(), with_queries=True) as port:
        status, _, body = await ask(port, "/queries?format=xml")
        assert (400, b"format: give one of html, json.\n") == (status, body)


def test_a_large_limit_is_the_largest():
    """Nobody has to know it."""
    assert MAX_LIMIT == read_selection({"limit": "99999"}).limit


async def test_links_lead_to_what_they_say():
    """Columns sort, the sorted one turns round, findings and routes filter, filters stay."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        page = await page_of(port, "?system=postgresql&sort=calls&limit=50")
        queries = [parse_qs(urlsplit(link).query) for link in page.links if link.startswith("?")]
        kept = {"system": ["postgresql"], "limit": ["50"]}
        assert {**kept, "sort": ["-calls"]} in queries
        assert {**kept, "sort": ["mean"]} in queries
        assert kept in queries  # the default needs not be said
        assert {**kept, "sort": ["calls"], "kind": ["slow"]} in queries
        assert {**kept, "sort": ["calls"], "route": ["/orders"]} in queries
        assert {**kept, "sort": ["calls"], "format": ["json"]} in queries
        for link in page.links:
            if link.startswith("?"):
                assert 200 == (await ask(port, f"/queries{link}"))[0]
        assert ["postgresql"] == page.selected
        marks = [given["aria-sort"] for _, given in page.tags if "aria-sort" in given]
        assert ["descending"] == marks
        page = await page_of(port, "?sort=statement")
        marks = [given["aria-sort"] for _, given in page.tags if "aria-sort" in given]
        assert ["ascending"] == marks


async def test_what_is_not_shown_is_said():
    """A limit tells how many more there are, with a link to them."""
    async with served(Collector(*ROWS), with_queries=True) as port:
        page = await page_of(port, "?limit=2&kind=slow")
        assert "1 more match." in page.text
        assert f"?kind=slow&limit={MAX_LIMIT}" in page.links


async def test_many_findings_and_long_statements_are_folded():
    """All of it is there, what is too much behind a click that needs no script."""
    text = "SELECT " + ", ".join(f"column_{n}" for n in range(40))
    found = [Finding("slow", f"/{n}", 10.0 - n) for n in range(6)]
    row = Statement("a", "b", text, "c", calls=1.0, seconds=1.0, findings=found)
    async with served(Collector(row), with_queries=True) as port:
        page = await page_of(port)
    assert 2 == sum(tag == "details" for tag, _ in page.tags)
    assert text in page.rows[1][0]
    assert "2 more" in page.rows[1][-1]
    assert all(f"/{n}" in page.rows[1][-1] for n in range(6))


async def test_an_empty_table_says_what_to_do():
    """No statement yet, no directory yet, or none that matches."""
    async with served(Collector(), with_queries=True) as port:
        page = await page_of(port)
        assert "No statement has been recorded yet" in page.text
        assert "perfsdk.instrument(app)" in page.text
        assert [] == page.rows
        assert [] == (await document_of(port))["statements"]
    async with served(Collector(explanation="no <service>"), with_queries=True) as port:
        page = await page_of(port)
        assert "Nothing to read: no <service>" in page.text
        assert "perfsdk doctor" in page.text
        assert "no <service>" == (await document_of(port))["explanation"]
    async with served(Collector(*ROWS), with_queries=True) as port:
        page = await page_of(port, "?kind=none")
        assert "No statement matches." in page.text
        assert [] == page.rows
        assert ["none"] == page.selected


# --- foreign text ---


HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style></table>&lt;b&gt;&amp;",
    "{json} {0} %s \0 \x1b[31m \u202e \ud7ff",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_text(text):
    """In every place where a segment, or a query string, can put it."""
    row = Statement(
        text, text, text, text, calls=1.0, seconds=1.0, findings=[Finding(text, text, 1.0)]
    )
    query = urlencode({"kind": text, "route": text, "system": text})
    async with served(Collector(row), with_queries=True) as port:
        for path in ("", f"?{query}", f"?{query}x"):
            page = await page_of(port, path)
            assert not {"script", "img"} & {tag for tag, _ in page.tags}
            assert all(link[:1] in "/?" for link in page.links)
            if "x" != path[-1:]:
                assert visible(text) in page.rows[1][0]
        document = await document_of(port, kind=text, route=text, system=text)
    (found,) = document["statements"]
    assert [text] * 4 == [found[k] for k in ("summary", "call_site", "system", "namespace")]
    assert [{"kind": text, "http_route": text, "requests": 1}] == found["findings"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
values = st.floats(0.0, 1e300)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[texts] * 6, *[values] * 6), max_size=4), texts, texts)
def test_any_table_is_a_page_and_a_document(rows, route, explanation):
    """Whatever a segment holds: tags are balanced, JSON is strict, the text can be found."""
    statements = [
        Statement(*row[:4], *row[6:11], findings=[Finding(row[4], row[5], row[11])]) for row in rows
    ]
    found = read_statements(families_of(statements))
    for selection in (Selection(), Selection("-statement", route=route)):
        selected = select(found, selection)
        html = b"".join(render_page(selected, selection, explanation)).decode()
        page = Page(html)
        assert len(selected.shown) + bool(selected.shown) == len(page.rows)
        for statement in selected.shown:
            if statement.summary != "<overflow>":
                assert visible(statement.summary) in page.text
        document = b"".join(render_document(selected, selection, explanation))
        strict = json.loads(document, parse_constant=pytest.fail)
        shown = [row["summary"] for row in strict["statements"]]
        assert [statement.summary for statement in selected.shown] == shown
        assert document.isascii()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "0.00 µs"),
        (4.2e-7, "0.42 µs"),
        (0.0000123, "12.3 µs"),
        (0.0009994, "999 µs"),
        (0.00123456, "1.23 ms"),
        (0.09996, "100 ms"),
        (1.0, "1.00 s"),
        (59.94, "59.9 s"),
        (75.0, "1.25 min"),
        (36000.0, "10.0 h"),
        (3.6e9, "1,000,000 h"),
    ],
)
def test_durations(seconds, expected):
    """Three digits and the unit that fits."""
    assert expected == duration(seconds)


def test_other_figures():
    """Counts in groups, means with a decimal where it tells something, shares never 0 in vain."""
    assert ["0", "1,234,567"] == [count(0.0), count(1234567.0)]
    expected = ["-", "0", "3", "2.5", "12,346"]
    assert expected == [per_call(v) for v in (None, 0.0, 3.0, 2.5, 12345.6)]
    assert ["0.0%", "<0.1%", "0.1%", "100.0%"] == [share(v) for v in (0.0, 1e-9, 0.0005, 1.0)]
