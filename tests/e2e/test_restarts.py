"""Exporter and application are restarted in any order, and nothing is lost or counted twice."""

import os

import pytest

from perfsdk.store.format import pack_header
from perfsdk.store.reader import SegmentReader, find_segments
from tests.e2e import page
from tests.e2e.load import Sent, send
from tests.e2e.outcomes import mix
from tests.e2e.running import start_exporter, start_uvicorn
from tests.e2e.totals import wait_for_totals

WORKERS_GAUGE = "perfsdk_workers"


@pytest.fixture
def start(perfsdk_dir, tmp_path):
    """Starts one of the two sides: `with start("exporter"), start("shop") as shop:`."""
    return lambda side: (
        start_exporter(perfsdk_dir, tmp_path) if side == "exporter" else start_uvicorn(tmp_path)
    )


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def check(sent):
    """Waits until an exporter shows all that was sent; no page may show less than one before."""
    watch = page.Watch()

    def check_exporter(exporter):
        watch.see(wait_for_totals(exporter.url, sent))
        assert [] == watch.decreases

    return check_exporter


def test_the_exporter_restarts(start, sent, check):
    """What is recorded before an exporter runs, or between two, is on the page of the next."""
    with start("shop") as shop:
        send(shop.port, mix(1), sent)
        with start("exporter") as exporter:
            check(exporter)
            send(shop.port, mix(1), sent)
            check(exporter)
        send(shop.port, mix(1), sent)
        with start("exporter") as exporter:
            check(exporter)


def test_the_application_restarts(start, sent, check):
    """An application that ended keeps its totals; its gauges go with it."""
    with start("exporter") as exporter:
        for _ in range(2):
            with start("shop") as shop:
                send(shop.port, mix(1), sent)
                check(exporter)
                assert page.read_page(exporter.url).gauge(WORKERS_GAUGE) == 1
            check(exporter)
            assert {} == page.read_page(exporter.url).gauges


@pytest.mark.parametrize("order", [("shop", "exporter"), ("exporter", "shop")])
def test_both_restart(start, sent, check, order):
    """Whichever starts first and ends last, all is there again."""
    for _ in range(2):
        with start(order[0]) as first, start(order[1]) as second:
            shop, exporter = (first, second) if order[0] == "shop" else (second, first)
            send(shop.port, mix(1), sent)
            check(exporter)


def test_two_exporters(start, sent, check):
    """Two exporters of one directory show the same, however often they are asked."""
    with start("shop") as shop, start("exporter") as first, start("exporter") as second:
        for _ in range(3):
            send(shop.port, mix(1), sent)
            check(first)
            check(second)
            totals = [page.read_page(exporter.url).totals for exporter in (first, second)]
            assert {} == page.differences(*totals)


def test_two_processes_with_one_pid(start, sent, check, perfsdk_dir):
    """Segments are told apart by a random identity: in two containers there may be a PID 7."""
    with start("shop") as one, start("shop") as other:
        for shop in (one, other):
            send(shop.port, mix(1), sent)
        paths = find_segments(perfsdk_dir)
        assert len(paths) == 2
        for path in paths:
            claim_pid(path, 7)
        with start("exporter") as exporter:
            for shop in (one, other):
                send(shop.port, mix(1), sent)
                check(exporter)
            assert page.read_page(exporter.url).gauge(WORKERS_GAUGE) == 2


def claim_pid(path, pid):
    """Have a segment say that a process of this PID writes it."""
    reader = SegmentReader(path)
    header = reader.header._replace(pid=pid)
    reader.close()
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, pack_header(header), 0)
    os.close(descriptor)
