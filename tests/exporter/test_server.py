"""The routes, in the test's own event loop: it stays free while a collection runs."""

import asyncio
from html.parser import HTMLParser

import pytest
from aiohttp.test_utils import TestClient, TestServer

from perfsdk_exporter.collection import Collector
from perfsdk_exporter.location import Location
from perfsdk_exporter.server import make_application
from tests.exporter.conftest import ACTIVE

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
