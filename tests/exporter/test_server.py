"""The routes, in the test's own event loop: it stays free while a page is made."""

import asyncio
import gzip
import http.client
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from perfsdk_exporter.collection import Collector
from perfsdk_exporter.families import Family, Histogram
from perfsdk_exporter.formats.compression import zstd
from perfsdk_exporter.location import Location
from perfsdk_exporter.web.refusals import REASONS
from perfsdk_exporter.web.scraping import named, timeout_seconds
from perfsdk_exporter.web.server import make_application
from tests.exporter.conftest import ACTIVE
from tests.exporter.served import Double, ask, refusals, served, until

VOID = {"meta", "link", "br"}


class Balance(HTMLParser):
    """Checks that tags are closed in the right order; collects text and links."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        """Remember what has to be closed."""
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_endtag(self, tag):
        """Only the innermost tag may be closed."""
        assert tag == self.open.pop()

    def handle_data(self, data):
        """All text, for a look at what it says."""
        self.text += data


@pytest.fixture
async def client(collector):
    """A client of the application with another telemetry path."""
    async with TestClient(TestServer(make_application(collector, "/m"))) as client:
        yield client


async def test_the_loop_is_free_while_a_collection_waits(client, collector):
    """Health is answered during a scrape; the scrape is answered after it."""
    collector._lock.acquire()
    scrape = asyncio.create_task(client.get("/m"))
    try:
        assert (await client.get("/-/healthy")).status == 200
        assert not scrape.done()
    finally:
        collector._lock.release()
    assert (await scrape).status == 200


async def test_concurrent_scrapes_are_all_answered(client, write, segment_directory):
    """Scrapes at the same time see whole pages."""
    write(segment_directory, (ACTIVE, (), [1.0]))
    responses = await asyncio.gather(*(client.get("/m") for _ in range(10)))
    pages = [await response.text() for response in responses]
    assert all("\nactive 1.0\n" in page for page in pages)


async def test_the_landing_page(client, write, segment_directory):
    """Valid HTML with the directory, the segments and links to all other pages."""
    write(segment_directory, (ACTIVE, (), [1.0]))
    (segment_directory / "x.seg").mkdir()
    response = await client.get("/")
    expected = "text/html; charset=utf-8"
    assert expected == response.headers["Content-Type"]
    html = await response.text()
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    page = Balance()
    page.feed(html)
    assert not page.open
    expected = ["/m", "/-/healthy", "/-/ready"]
    assert expected == page.links
    expected = f"Directory{segment_directory}Live segments1Dead segments0Unreadable files1"
    assert expected in page.text.replace("\n", "")


async def test_the_landing_page_explains_and_escapes(tmp_path):
    """Why there is nothing to read is said there, whatever the names are."""
    collector = Collector(Location(str(tmp_path / "<b>" / "x"), None))
    (tmp_path / "<b>").write_text("")
    async with TestClient(TestServer(make_application(collector, "/m"))) as client:
        html = await (await client.get("/")).text()
    collector.close()
    assert "Nothing to read" in html
    assert "&lt;b&gt;/x: Not a directory" in html
    assert "<b>" not in html


def family(name, kind="gauge", **values):
    """A family with one value, or with those given."""
    return Family(name=name, kind=kind, unit="", help="", **(values or {"values": {(): 1.0}}))


FAMILIES = [
    family("a_total", "counter"),
    family("b"),
    family("c", "histogram", histograms={(): Histogram(buckets=[1.0], sum=1.0)}),
    family("d", "summary", histograms={(): Histogram(buckets=[1.0], sum=1.0)}),
    family("target_info"),
]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ["a_total", "b", "c", "d", "target_info"]),
        (["a_total"], ["a_total"]),
        (["a"], ["a_total"]),
        (["b", "c"], ["b", "c"]),
        (["c_bucket"], ["c"]),
        (["c_sum", "c_count"], ["c"]),
        (["d_count"], ["d"]),
        (["d_bucket", "a_sum", "b_count"], []),
        (["target"], ["target_info"]),
        (["B", "", "b{}"], []),
    ],
)
def test_names(names, expected):
    """A family is asked for by its name in either format or by that of a sample; else by none."""
    assert expected == [family.name for family in named(FAMILIES, names)]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
async def test_a_page_of_some_families(accept):
    """`name[]` may be repeated; our own metrics can be asked for too; nothing is an empty page."""
    async with served(Double(*FAMILIES)) as port:
        query = "name[]=b&name%5B%5D=perfsdk_exporter_refusals_total&name[]=none"
        _, _, page = await ask(port, f"/metrics?{query}", Accept=accept)
        lines = page.decode().splitlines()
        types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        suffix = "" if accept == "application/openmetrics-text" else "_total"
        assert ["b", f"perfsdk_exporter_refusals{suffix}"] == types
        status, _, page = await ask(port, "/metrics?name[]=none", Accept=accept)
        assert (status, page.replace(b"# EOF\n", b"")) == (200, b"")


@pytest.mark.parametrize(
    ("header", "expected"),
    [("10", 9.5), ("10.0", 9.5), ("1", 0.5), ("0.5", 0.25), ("1e3", 999.5)]
    + [(text, None) for text in ("", "0", "-1", "nan", "inf", "-inf", "soon", "1;2", "1e999")],
)
def test_the_timeout_of_a_scrape(header, expected):
    """A little less than the header says, never less than half of it; nonsense is ignored."""
    assert expected == timeout_seconds(header)


async def test_a_page_that_is_not_ready_in_time():
    """A line that says so instead of a scrape that hangs; the next one gets its page."""
    collector = Double(*FAMILIES)
    collector.go.clear()
    async with served(collector) as port:
        header = {"X_Prometheus_Scrape_Timeout_Seconds": "0.2"}
        status, _, body = await ask(port, "/metrics", **header)
        expected = b"the page was not ready within 0.1 s; give the scrape more time.\n"
        assert (503, expected) == (status, body)
        collector.go.set()
        assert (await ask(port, "/metrics"))[0] == 200
        assert await refusals(port) == {"timeout": 1.0}


async def test_who_gave_up_costs_no_collection():
    """Scrapes that wait for their turn leave the queue when their time is over."""
    collector = Double()
    collector.go.clear()
    async with served(collector) as port:
        header = {"X_Prometheus_Scrape_Timeout_Seconds": "0.2"}
        answers = await asyncio.gather(*(ask(port, "/metrics", **header) for _ in range(5)))
        assert [503] * 5 == [status for status, _, _ in answers]
        collector.go.set()
        assert (await ask(port, "/metrics"))[0] == 200
        assert collector.collections <= 2


async def test_too_many_scrapes():
    """Above the limit the answer is a line; health is told all the time; 0 is no limit."""
    collector = Double()
    collector.go.clear()
    async with served(collector, max_requests=1) as port:
        first = asyncio.create_task(ask(port, "/metrics"))
        await asyncio.to_thread(collector.started.wait)
        for path in ("/metrics", "/"):
            status, _, body = await ask(port, path)
            expected = b"1 requests are being served; try again later.\n"
            assert (503, expected) == (status, body)
        assert (await ask(port))[0] == 200
        collector.go.set()
        assert (await first)[0] == 200
        assert await refusals(port) == {"busy": 2.0}
    async with served(Double(), max_requests=0) as port:
        assert (await ask(port, "/metrics"))[0] == 200


async def test_who_went_away_leaves_its_place():
    """A client that closes its connection waits for no page any more."""
    collector = Double()
    collector.go.clear()
    async with served(collector, max_requests=1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.to_thread(collector.started.wait)
        writer.close()
        collector.started.clear()
        header = {"X_Prometheus_Scrape_Timeout_Seconds": "0.2"}

        async def free():
            _, _, body = await ask(port, "/metrics", **header)
            return b"not ready" in body

        await until(free)
        collector.go.set()


async def test_a_collection_that_fails(monkeypatch, caplog):
    """500 with a line, on the page and on the landing page; the reason is in the log alone."""
    collector = Double()

    def fail():
        raise ZeroDivisionError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(collector, "collect", fail)
        async with served(collector) as port:
            for path in ("/metrics", "/"):
                status, _, body = await ask(port, path)
                expected = b"collection failed; the log of the exporter says why.\n"
                assert (500, expected) == (status, body)
            assert [record.message for record in caplog.records] == ["collection failed"] * 2
            patch.undo()
            assert await refusals(port) == {"collection_failed": 2.0}


async def test_a_page_that_cannot_be_begun(caplog):
    """An error before the first byte is a 500, not a torn page."""
    broken = family("a", values={(): Unwritable()})
    async with served(Double(broken)) as port:
        status, _, body = await ask(port, "/metrics")
        expected = b"rendering failed; the log of the exporter says why.\n"
        assert (500, expected) == (status, body)
        assert [record.message for record in caplog.records] == ["rendering failed"]


async def test_a_page_that_cannot_be_finished(caplog):
    """After the first bytes the connection is broken, so that nobody takes half for a whole."""
    large = family("a", labels=("x",), values={("x" * 1_000_000,): 1.0})
    broken = family("b", values={(): Unwritable()})
    async with served(Double(large, broken)) as port:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            await ask(port, "/metrics")
        assert [record.message for record in caplog.records] == ["rendering failed"]
        assert await refusals(port) == {"rendering_failed": 1.0}


class Unwritable(float):
    """A value that cannot be written."""

    def __repr__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
async def test_a_large_page_is_whole(encoding):
    """Pieces come in their order, compressed or not; HEAD has the same headers and no body."""
    values = {(str(number),): float(number) for number in range(30_000)}
    async with served(Double(family("a", labels=("x",), values=values))) as port:
        header = {"Accept_Encoding": encoding}
        _, headers, body = await ask(port, "/metrics?name[]=a", **header)
        text = {"identity": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}[encoding](body)
        lines = [f'a{{x="{number}"}} {float(number)!r}' for number in range(30_000)]
        assert ["# TYPE a gauge", *lines] == text.decode().splitlines()
        expected = None if encoding == "identity" else encoding
        assert expected == headers["Content-Encoding"]
        status, head, body = await ask(port, "/metrics?name[]=a", method="HEAD", **header)
        assert (200, b"") == (status, body)
        for name in ("Content-Type", "Content-Encoding", "Vary", "Server"):
            assert headers[name] == head[name]


async def test_an_old_client():
    """HTTP/1.0 knows no chunks: its page ends with the connection."""
    async with served(Double(*FAMILIES)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics?name[]=b HTTP/1.0\r\n\r\n")
        received = await reader.read()
        assert received.endswith(b"\r\n\r\n# TYPE b gauge\nb 1.0\n")
        assert b"chunked" not in received
        writer.close()


async def test_responses_tell_no_versions():
    """Which versions of which libraries serve is nobody's business."""
    async with served(Double()) as port:
        _, headers, _ = await ask(port)
        assert headers["Server"] == "perfsdk-exporter"


async def test_every_error_is_a_line():
    """Unknown paths and methods end with a line break too."""
    async with served(Double()) as port:
        for path, method, expected in (("/x", "GET", 404), ("/metrics", "PUT", 405)):
            status, _, body = await ask(port, path, method=method)
            assert (expected, 1, b"\n") == (status, body.count(b"\n"), body[-1:])


def test_every_refusal_is_in_the_readme():
    """The documentation names all reasons."""
    readme = (Path(__file__).parents[2] / "exporter" / "README.md").read_text()
    (line,) = [line for line in readme.splitlines() if "`perfsdk_exporter_refusals_total`" in line]
    assert list(REASONS) == re.findall(r"`(\w+)`", line)[2:]
