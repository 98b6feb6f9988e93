"""Without a sidecar the application serves the page: exact, whichever worker is asked, harmless."""

import asyncio
import gzip
import re
import sqlite3
import sys
import threading
import urllib.request
from contextlib import asynccontextmanager, closing, suppress
from time import monotonic

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

import perfsdk
from perfsdk import SettingsError, embedded, instrument, uninstrument
from perfsdk.integrations import INTEGRATIONS
from perfsdk.store.reader import find_segments
from perfsdk.testing import Recording
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT, Format
from perfsdk_exporter.formats.protobuf import PROTOBUF
from perfsdk_exporter.web import asked
from tests.e2e.running import start_exporter, start_uvicorn
from tests.frameworks.driving import answering, part, start
from tests.servers import http_get, wait_until
from tests.store.processes import in_child, run

DURATION = "http_server_request_duration_seconds"
LAST_RECORDED = "http_server_request_cache_calls_count"
PROTOBUF_ACCEPT = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)


@pytest.fixture(autouse=True)
def _undone(monkeypatch):
    """No integrations, to be quick; everything is undone at the end."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", ",".join(INTEGRATIONS))
    yield
    uninstrument()


def make_shop():
    """A small application, not measured yet."""
    shop = FastAPI()

    @shop.get("/items/{item_id}")
    async def item(item_id: int):
        return item_id

    @shop.api_route("/metrics", methods=["GET", "POST"])
    async def own_metrics():
        return "the application's own"

    return shop


@pytest.fixture
def shop():
    """A measured application that serves the page at /metrics."""
    return instrument(make_shop(), metrics_path="/metrics", exclude=("!/metrics*",))


@asynccontextmanager
async def client_of(app, **options):
    """A client of an application in this process."""
    transport = httpx.ASGITransport(app, **options)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


def count(page, name=f"{DURATION}_count"):
    """The sum of the samples of a name on a text page."""
    families = text_string_to_metric_families(page)
    return sum(s.value for family in families for s in family.samples if s.name == name)


# --- real servers ---


def get(url):
    """Body and headers of an answer."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode(), response.headers


def lines(page):
    """What a page says of the HTTP server, without what changes by itself."""
    return [
        line
        for line in page.splitlines()
        if "http_server_" in line and "_oldest_request_age_" not in line
    ]


def test_each_worker_shows_the_totals_of_all(perfsdk_dir, tmp_path):
    """Two uvicorn workers: both serve, and both show what both did, as the sidecar shows it."""
    environment = {"PERFSDK_METRICS_PATH": "/metrics"}
    served, pages = {}, {}
    with start_uvicorn(tmp_path, workers=2, env=environment) as server:

        def ask():
            _, headers = get(f"{server.url}/products/3")
            worker = headers["x-worker"]
            served[worker] = served.get(worker, 0) + 1
            return len(served) == 2

        def read():
            page, headers = get(f"{server.url}/metrics")
            # An answer may be here before its record, of which the calls come last.
            if count(page, LAST_RECORDED) == sum(served.values()):
                pages[headers["x-worker"]] = page
            return len(pages) == 2

        wait_until(ask)
        wait_until(read)
        with start_exporter(perfsdk_dir, tmp_path) as exporter:
            shown = http_get(f"{exporter.url}/metrics")
    assert set(served) == set(pages)
    for page in pages.values():
        assert sum(served.values()) == count(page)
        assert 2 == count(page, "perfsdk_workers")
        assert lines(shown) == lines(page)
        assert 'http_route="/products/{size}"' in page
        assert "/metrics" not in page


def test_the_files_of_ended_workers_are_folded(shop, perfsdk_dir):
    """As by the sidecar: totals stay, files go away."""
    del shop
    run(SERVER)
    assert 1 == len(find_segments(perfsdk_dir))

    async def scrape():
        async with client_of(instrument(make_shop())) as client:
            return (await client.get("/metrics")).text

    for _ in range(2):
        assert 1 == count(asyncio.run(scrape()))
    assert [] == find_segments(perfsdk_dir)


SERVER = """
import asyncio, perfsdk
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def send(message): ...
app = perfsdk.instrument(app)
asyncio.run(app({"type": "http", "method": "GET", "path": "/"}, None, send))
"""


# --- what it answers ---


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("text/html, */*;q=0.1", TEXT),
        ("application/openmetrics-text;version=1.0.0", OPENMETRICS),
        (PROTOBUF_ACCEPT, PROTOBUF),
    ],
)
async def test_every_format_is_offered(accept, expected: Format, shop):
    """The page is in the format that is asked for, and says so."""
    async with client_of(shop) as client:
        await client.get("/items/1")
        response = await client.get("/metrics", headers={"accept": accept})
    assert 200 == response.status_code
    assert expected.content_type == response.headers["content-type"]
    assert "Accept, Accept-Encoding" == response.headers["vary"]
    assert DURATION.encode() in response.content
    if expected is OPENMETRICS:
        assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_it_is_compressed_for_who_asks(coding, shop):
    """And is the same page inside."""
    async with client_of(shop) as client:
        await client.get("/items/1")
        headers = {"accept-encoding": coding}
        async with client.stream("GET", "/metrics", headers=headers) as response:
            raw = b"".join([piece async for piece in response.aiter_raw()])
    assert (None if coding == "identity" else coding) == response.headers.get("content-encoding")
    page = raw if coding == "identity" else gzip.decompress(raw)
    assert 1 == count(page.decode())


async def test_one_family_can_be_asked_for(shop):
    """`name[]` filters as the exporter does."""
    async with client_of(shop) as client:
        await client.get("/items/1")
        response = await client.get("/metrics", params={"name[]": "perfsdk_workers"})
    (family,) = text_string_to_metric_families(response.text)
    assert "perfsdk_workers" == family.name


async def test_the_table_of_queries_has_a_path_of_its_own(monkeypatch):
    """For people and programs, with links that need no other page; off unless it is asked for."""
    monkeypatch.setenv("PERFSDK_DISABLED_INTEGRATIONS", "")

    async def plain(scope, receive, send):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("SELECT 42 AS answer")
        await answering(start(), part(b"plain"))(scope, receive, send)

    app = instrument(plain, queries_path="/-/queries", sample_interval_seconds=0.1)
    async with client_of(app, root_path="/v1") as client:
        assert b"plain" == (await client.get("/")).content
        document = {"statements": []}
        deadline = monotonic() + 30
        while not document["statements"] and monotonic() < deadline:
            response = await client.get("/v1/-/queries", params={"format": "json"})
            document = response.json()
        (statement,) = document["statements"]
        assert ("SELECT ? AS answer", "sqlite") == (statement["summary"], statement["system"])
        assert "application/json; charset=utf-8" == response.headers["content-type"]
        page = await client.get("/-/queries", headers={"accept": "text/html"})
        assert "SELECT ? AS answer" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert {"?"} == {link[:1] for link in re.findall(r'href="([^"]*)"', page.text)}
        assert b"plain" == (await client.get("/metrics")).content
        wrong = await client.get("/-/queries?limit=x")
        assert (400, 1) == (wrong.status_code, len(wrong.text.splitlines()))
        assert 200 == (await client.get("/-/queries?limit=")).status_code


async def test_both_pages_at_once():
    """Each at its path."""
    app = instrument(make_shop(), metrics_path="/metrics", queries_path="/metrics/queries")
    async with client_of(app) as client:
        assert "# TYPE" in (await client.get("/metrics")).text
        assert "Queries" in (await client.get("/metrics/queries")).text


def test_two_pages_at_one_path_are_refused():
    """With one line that names both."""
    with pytest.raises(SettingsError, match=r"metrics_path=/a.*queries_path"):
        instrument(make_shop(), metrics_path="/a", queries_path="/a")


async def test_head_has_no_body(shop):
    """But the headers of the page."""
    async with client_of(shop) as client:
        response = await client.head("/metrics")
    assert (200, b"") == (response.status_code, response.content)
    assert TEXT.content_type == response.headers["content-type"]


async def test_no_more_than_the_path_is_taken(shop):
    """Other paths and other methods are the application's, and they alone are counted."""
    async with client_of(shop) as client:
        assert "7" == (await client.get("/items/7")).text
        assert '"the application\'s own"' == (await client.post("/metrics")).text
        assert 307 == (await client.get("/metrics/")).status_code
        assert 404 == (await client.get("/metricsx")).status_code
        for _ in range(3):
            page = (await client.get("/metrics")).text
    assert "# TYPE" in page
    assert 4 == count(page)


@pytest.mark.parametrize("path", ["/v1/metrics", "/metrics"])
async def test_behind_a_root_path(path, shop):
    """Whether or not the server puts it in front of the path."""
    async with client_of(shop, root_path="/v1") as client:
        assert "# TYPE" in (await client.get(path)).text


async def test_what_counts_one_process_is_left_out(shop):
    """A counter of whoever answers would go down from one answer to the next."""
    async with client_of(shop) as client:
        page = (await client.get("/metrics")).text
    own = [f for f in text_string_to_metric_families(page) if "exporter" in f.name]
    assert "perfsdk_exporter_segments" in {family.name for family in own}
    assert {"gauge"} == {family.type for family in own}
    assert not [family.name for family in own if "_process_" in family.name]


async def test_a_scrape_makes_no_segment(shop, perfsdk_dir):
    """A process that only shows is no worker."""
    async with client_of(shop) as client:
        await client.get("/metrics")
    assert [] == find_segments(perfsdk_dir)


async def test_a_plain_application_serves_it_too():
    """Any ASGI callable; `uninstrument` gives back the original."""
    plain = answering(start(), part(b"plain"))
    served = instrument(plain, metrics_path="/-/numbers")
    async with client_of(served) as client:
        assert b"plain" == (await client.get("/")).content
        assert 1 == count((await client.get("/-/numbers")).text)
    assert plain is uninstrument(served)
    async with client_of(served) as client:
        assert b"plain" == (await client.get("/-/numbers")).content


@pytest.mark.parametrize("serves_already", [True, False])
async def test_uninstrument_gives_the_path_back(serves_already):
    """The stack of an application that served before is what it was."""
    shop = make_shop()
    if serves_already:
        async with client_of(shop) as client:
            await client.get("/items/1")
    stack = shop.middleware_stack
    instrument(shop, metrics_path="/metrics")
    async with client_of(shop) as client:
        assert "# TYPE" in (await client.get("/metrics")).text
        uninstrument(shop)
        assert '"the application\'s own"' == (await client.get("/metrics")).text
    assert not serves_already or stack is shop.middleware_stack
    assert "build_middleware_stack" not in vars(shop)


def test_a_forked_child_serves_it(shop, perfsdk_dir):
    """With threads of its own, also when its parent has served the page before."""

    async def use():
        async with client_of(shop) as client:
            await client.get("/items/1")
            return count((await client.get("/metrics")).text)

    assert 1 == asyncio.run(use())
    assert 2 == in_child(lambda: asyncio.run(use()))
    with Recording(perfsdk_dir) as recording:
        assert 2 == recording.count(DURATION)


# --- what goes wrong ---


async def test_a_collection_that_fails_is_one_line(shop, monkeypatch, caplog):
    """It is logged, the answer is a 500, the application and the next scrape are as ever."""

    def broken(_):
        raise ZeroDivisionError("on purpose")

    async with client_of(shop) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Collector, "collect", broken)
            response = await client.get("/metrics")
            assert 200 == (await client.get("/items/1")).status_code
        assert 500 == response.status_code
        assert 1 == len(response.text.splitlines())
        assert "on purpose" not in response.text
        assert "on purpose" in caplog.text
        assert 1 == count((await client.get("/metrics")).text)


async def test_a_page_that_breaks_off_has_no_end(shop, monkeypatch):
    """When rendering fails later, no client takes the beginning for a whole page."""
    messages = []

    def pieces(_):
        yield b"x" * (1 << 20)
        raise ZeroDivisionError

    async def send(message):
        messages.append(message)

    broken = TEXT._replace(render=pieces)
    monkeypatch.setattr(asked, "choose_format", lambda _: broken)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    await shop(scope, None, send)
    assert 200 == messages[0]["status"]
    assert all(message["more_body"] for message in messages[1:])


async def test_the_loop_goes_on_and_scrapes_are_bounded(shop, monkeypatch):
    """While one collection takes its time, others wait or get 503, and requests are answered."""
    begun, go_on = threading.Event(), threading.Event()
    collect, running, most = Collector.collect, [], []

    def slow(self):
        running.append(None)
        most.append(len(running))
        begun.set()
        go_on.wait(20)
        running.pop()
        return collect(self)

    monkeypatch.setattr(Collector, "collect", slow)
    monkeypatch.setattr(embedded, "MAX_SCRAPES", 3)
    async with client_of(shop) as client:
        waiting = [asyncio.ensure_future(client.get("/metrics")) for _ in range(5)]
        refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        try:
            assert {503} == {request.result().status_code for request in refused}
            await asyncio.to_thread(begun.wait, 20)
            assert 200 == (await client.get("/items/1")).status_code
            assert not go_on.is_set()
        finally:
            go_on.set()
        answers = await asyncio.gather(*waiting)
        assert [200, 200, 200, 503, 503] == sorted(each.status_code for each in answers)
        assert {1} == set(most)
        assert 200 == (await client.get("/metrics")).status_code


async def test_a_scrape_that_runs_out_of_time(shop, monkeypatch):
    """One line says so before the client gives up."""
    go_on = threading.Event()
    monkeypatch.setattr(Collector, "collect", lambda _: go_on.wait(20))
    async with client_of(shop) as client:
        headers = {"x-prometheus-scrape-timeout-seconds": "0.02"}
        response = await client.get("/metrics", headers=headers)
    go_on.set()
    assert 503 == response.status_code
    assert 1 == len(response.text.splitlines())


async def test_clients_that_went_away_take_no_place(shop):
    """What `send` raises is the server's business; the next scrape is answered."""

    async def send(_):
        raise ConnectionResetError

    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    for _ in range(embedded.MAX_SCRAPES + 1):
        with suppress(ConnectionResetError):
            await shop(scope, None, send)
    async with client_of(shop) as client:
        assert 200 == (await client.get("/metrics")).status_code


@pytest.mark.parametrize("path", ["metrics", "/", ""])
def test_a_wrong_path_is_one_line(path):
    """It says what to give, and nothing was changed."""
    shop = make_shop()
    with pytest.raises(SettingsError, match=r"^metrics_path=.*give a path such as /metrics") as e:
        instrument(shop, metrics_path=path)
    assert 1 == len(str(e.value).splitlines())
    assert "build_middleware_stack" not in vars(shop)


def test_without_the_extra_the_start_says_what_to_install(monkeypatch):
    """One line, when the application starts; nothing was changed or started."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    for name in [name for name in sys.modules if name.startswith("perfsdk_exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "perfsdk.embedded")
    monkeypatch.delattr(perfsdk, "embedded")
    shop = make_shop()
    with pytest.raises(SettingsError) as error:
        instrument(shop, metrics_path="/metrics")
    line = "metrics_path=/metrics: numpy is not installed; pip install 'perfsdk[exporter]'"
    assert str(error.value).startswith(line)
    assert 1 == len(str(error.value).splitlines())
    assert "build_middleware_stack" not in vars(shop)


def test_without_the_setting_the_exporter_is_not_loaded():
    """Nobody pays for what is not asked for."""
    script = SERVER + "import sys; print('perfsdk.embedded' in sys.modules, 'numpy' in sys.modules)"
    assert "False False\n" == run(script).stdout
