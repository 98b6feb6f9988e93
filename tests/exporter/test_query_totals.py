"""What processes tell of their statements becomes rows of one table, and is on no other page."""

import logging

import pytest

from perfsdk.catalog import METRICS, QUERY_CALLS, QUERY_FINDINGS, QUERY_SECONDS, Metric
from perfsdk.store.description import describe
from perfsdk_exporter.queries.statements import Finding, Statement, read_statements
from perfsdk_exporter.reaping.archive import read_archive
from perfsdk_exporter.reaping.archive_reader import ARCHIVE
from perfsdk_exporter.reaping.reaper import Reaper
from tests.exporter.conftest import REQUESTS
from tests.exporter.decoded import families
from tests.exporter.ended import KEPT
from tests.exporter.served import ask, served
from tests.exporter.test_neighbouring_versions import FIRST, crafted

ORDERS = ("postgresql", "shop", "SELECT ? FROM orders", "shop.py:7 in orders")
STOCK = ("mariadb", "stock", "UPDATE stock SET n = ?", "stock.py:9 in sell")
FINDING = (*ORDERS, "n_plus_one", "/orders/{id}")
OF_QUERIES = [metric for metric in METRICS if metric.page == "queries"]
WORKERS = (
    (
        (REQUESTS, ("/orders",), [3.0]),
        (QUERY_CALLS, ORDERS, [10.0]),
        (QUERY_SECONDS, ORDERS, [0.5]),
        (QUERY_FINDINGS, FINDING, [2.0]),
    ),
    (
        (REQUESTS, ("/orders",), [4.0]),
        (QUERY_CALLS, ORDERS, [5.0]),
        (QUERY_SECONDS, ORDERS, [0.25]),
        (QUERY_CALLS, STOCK, [1.0]),
        (QUERY_SECONDS, STOCK, [2.0]),
        (QUERY_FINDINGS, FINDING, [1.0]),
    ),
)
ROWS = [
    Statement(*STOCK, calls=1.0, seconds=2.0),
    Statement(
        *ORDERS,
        calls=15.0,
        seconds=0.75,
        findings=[Finding("n_plus_one", "/orders/{id}", 3.0)],
    ),
]


@pytest.fixture
def rows(collector):
    """The rows of the table, sorted by system: `rows()`."""

    def read():
        return sorted(read_statements(collector.collect().queries), key=lambda row: row.system)

    return read


def test_two_workers_are_summed(write, segment_directory, rows):
    """A statement of both has one row with the figures and the findings of both."""
    for series in WORKERS:
        write(segment_directory, *series)
    assert ROWS == rows()


def test_every_figure_has_its_place(write, segment_directory, rows):
    """Each counter of the catalog becomes the figure that is called like it."""
    series = [
        (metric, (*ORDERS, *metric.labels[4:]), [float(number)])
        for number, metric in enumerate(OF_QUERIES, 1)
    ]
    write(segment_directory, *series)
    (row,) = rows()
    names = {f"perfsdk_query_{name}_total": name for name in Statement.__slots__}
    for number, metric in enumerate(OF_QUERIES, 1):
        if metric is not QUERY_FINDINGS:
            assert number == getattr(row, names[metric.name])
    assert [Finding("kind", "http_route", float(len(OF_QUERIES)))] == row.findings


def test_a_worker_that_ended_stays_in_the_table(write, segment_directory, rows):
    """Dead, folded, and read from the archive alone: the rows are the same."""
    writers = [write(segment_directory, *series) for series in WORKERS]
    writers[0].close()
    assert ROWS == rows()
    Reaper().reap(segment_directory)
    assert ROWS == rows()
    writers[1].close()
    Reaper().reap(segment_directory)
    assert KEPT == {path.name for path in segment_directory.iterdir()}
    assert ROWS == rows()
    pages = {m.name: m.page for m in read_archive(segment_directory / ARCHIVE).totals}
    assert {"queries"} == {page for name, page in pages.items() if name.startswith("perfsdk_")}
    assert "metrics" == pages["requests_total"]


def test_an_old_statement_is_dropped_as_every_counter_is(write, segment_directory, rows):
    """After the retention time without a call it goes; one that was called meanwhile stays."""
    now = [1000.0]
    clock = {"clock": lambda: now[0], "steady_clock": lambda: now[0]}
    reaper = Reaper(retention_seconds=3600.0, **clock)
    for series in WORKERS:
        write(segment_directory, *series).close()
        reaper.reap(segment_directory)
        now[0] += 2400.0
    reaper.reap(segment_directory)
    assert ROWS == rows()  # both were called by the second worker
    write(segment_directory, (QUERY_CALLS, ORDERS, [1.0]), (QUERY_SECONDS, ORDERS, [1.0])).close()
    now[0] += 1200.0
    reaper.reap(segment_directory)
    now[0] += 400.0
    reaper.reap(segment_directory)
    (row,) = rows()
    assert (ORDERS[2], 16.0, 1.75) == (row.summary, row.calls, row.seconds)


def test_labels_that_a_newer_version_adds_are_summed(segment_directory, rows):
    """What it tells apart by more labels is one row here."""
    described = describe(QUERY_CALLS)
    described["labels"] = [*described["labels"], "plan"]
    records = [["metric", 0, described]]
    records += [["series", 0, FIRST + at, [*ORDERS, plan]] for at, plan in enumerate("ab")]
    crafted(segment_directory, b"n" * 16, records, [3.0, 4.0])
    assert [Statement(*ORDERS, calls=7.0)] == rows()


def test_what_is_no_counter_is_no_figure(write, segment_directory, rows):
    """A metric of this name of another kind, or one that nobody knows, makes no row."""
    gauge = Metric(
        name=QUERY_CALLS.name, kind="gauge", help="G.", labels=QUERY_CALLS.labels, page="queries"
    )
    other = Metric(
        name="perfsdk_query_waits_total",
        kind="counter",
        help="O.",
        labels=QUERY_CALLS.labels,
        page="queries",
    )
    write(segment_directory, (gauge, ORDERS, [3.0]), (other, STOCK, [3.0]))
    assert [] == rows()


ACCEPTS = {
    "text": "text/plain",
    "openmetrics": "application/openmetrics-text",
    "protobuf": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
    "encoding=delimited",
}


@pytest.mark.parametrize("with_queries", [False, True])
@pytest.mark.parametrize("accept", ACCEPTS)
async def test_nothing_is_on_the_page_of_metrics(
    accept, with_queries, write, segment_directory, collector
):
    """In no format, named or not, switched on or not, of living and of folded processes."""
    for series in WORKERS:
        writer = write(segment_directory, *series)
    writer.close()
    Reaper().reap(segment_directory)
    asked = "&".join(
        f"name[]={name}{suffix}"
        for name in (metric.name.removesuffix("_total") for metric in OF_QUERIES)
        for suffix in ("", "_total")
    )
    async with served(collector, with_queries=with_queries) as port:
        for query in ("", f"?{asked}&name[]=requests_total"):
            status, _, page = await ask(port, f"/metrics{query}", Accept=ACCEPTS[accept])
            assert 200 == status
            assert b"requests" in page
            assert b"perfsdk_query" not in page
            assert b"SELECT" not in page
            assert b"orders.py" not in page
            if accept == "protobuf":
                names = {family.name for family in families(page)}
                assert "requests_total" in names
                assert not {metric.name for metric in OF_QUERIES} & names
        _, _, page = await ask(port, f"/metrics?{asked}", Accept=ACCEPTS[accept])
        assert b"" == page.replace(b"# EOF\n", b"")


def test_the_page_of_metrics_does_not_count_them(
    write, segment_directory, collector, self_metric, caplog
):
    """Neither as series nor as series left out; what cannot be shown is in the log all the same."""
    write(segment_directory, *WORKERS[0], (QUERY_CALLS, STOCK, [-1.0]))
    unit = Metric(
        name=QUERY_SECONDS.name,
        kind="counter",
        help="S.",
        unit="bytes",
        labels=QUERY_SECONDS.labels,
        page="queries",
    )
    write(segment_directory, (unit, ORDERS, [1.0]))
    collection = collector.collect()
    assert {"": 1.0} == self_metric(collection, "series")
    assert {0.0} == set(self_metric(collection, "series_left_out").values())
    named = {record.fields["metric"] for record in caplog.records}
    assert {QUERY_CALLS.name, QUERY_SECONDS.name} == named


def test_a_name_may_be_on_both_pages(write, segment_directory, collector, totals):
    """What would clash on one page does not on two."""
    histogram = Metric(
        name="perfsdk_query_calls", kind="histogram", help="H.", bounds=(1.0,), labels=("route",)
    )
    write(
        segment_directory,
        (histogram, ("/a",), [1.0, 1.0, 0.0]),
        (QUERY_CALLS, ORDERS, [3.0]),
    )
    collection = collector.collect()
    assert {"perfsdk_query_calls": {("/a",): ([1.0, 0.0], 1.0)}} == totals(collection)
    assert [3.0] == [row.calls for row in read_statements(collection.queries)]


def test_a_page_of_a_later_version_is_kept_and_not_shown(
    segment_directory, collector, totals, self_metric, caplog
):
    """Its totals go into the archive as they are described; the log says what to do."""
    described = {**describe(REQUESTS), "name": "plans_total", "page": "plans"}
    records = [["metric", 0, described], ["series", 0, FIRST, ["/a"]]]
    with caplog.at_level(logging.WARNING):
        for number, identity in enumerate((b"1" * 16, b"2" * 16), 1):
            crafted(segment_directory, identity, records, [5.0])
            collection = collector.collect()
            assert {} == totals(collection)
            assert [] == collection.queries
            # The second time it is in the archive, too.
            assert number == self_metric(collection, "series_left_out")["unsupported"]
            Reaper().reap(segment_directory)
    ((metric, known),) = read_archive(segment_directory / ARCHIVE).totals.items()
    assert ("plans_total", "plans") == (metric.name, metric.page)
    assert {("/a",): 10.0} == {labels: total.cells[0] for labels, total in known.series.items()}
    assert (
        "a newer SDK wrote this metric; update the exporter" == caplog.records[0].fields["reason"]
    )


@pytest.mark.parametrize("page", [5, None, ["metrics"]])
def test_a_page_that_is_no_text_is_no_description(page, segment_directory, collector, totals):
    """Such a record is one that no process writes."""
    records = [
        ["metric", 0, {**describe(REQUESTS), "page": page}],
        ["series", 0, FIRST, ["/a"]],
    ]
    crafted(segment_directory, b"1" * 16, records, [5.0])
    collection = collector.collect()
    assert ({}, 1) == (totals(collection), collection.segments["unreadable"])
