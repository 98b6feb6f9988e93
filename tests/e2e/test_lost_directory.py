"""An exporter that dies and a directory that goes away are nothing to the application."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, takewhile

from perfsdk.store.reader import find_segments
from tests.e2e import page
from tests.e2e.load import Sent, send
from tests.e2e.outcomes import mix
from tests.e2e.running import start_exporter, start_uvicorn
from tests.e2e.totals import wait_for_totals
from tests.servers import wait_until

SAMPLE_SECONDS = "0.2"
DELETIONS = 3


def test_a_killed_exporter(perfsdk_dir, tmp_path):
    """Requests are answered and counted while there is no exporter."""
    sent = Sent()
    with start_uvicorn(tmp_path) as shop:
        with start_exporter(perfsdk_dir, tmp_path) as exporter:
            send(shop.port, mix(1), sent)
            wait_for_totals(exporter.url, sent)
            exporter.process.kill()
            send(shop.port, mix(1), sent)
        with start_exporter(perfsdk_dir, tmp_path) as exporter:
            wait_for_totals(exporter.url, sent)


def test_a_deleted_directory(exporter, perfsdk_dir, tmp_path):
    """While it cannot be had, requests are answered; when it can be, the totals are all back."""
    sent = Sent()
    environment = {"PERFSDK_SAMPLE_INTERVAL_SECONDS": SAMPLE_SECONDS}
    with start_uvicorn(tmp_path, env=environment) as shop:
        send(shop.port, mix(1), sent)
        wait_for_totals(exporter.url, sent)

        wait_until(partial(replace_by_file, perfsdk_dir))
        assert {} == page.read_page(exporter.url).totals
        send(shop.port, mix(1), sent)

        perfsdk_dir.unlink()
        wait_until(lambda: page.read_page(exporter.url).totals, message="a new segment")
        send(shop.port, mix(1), sent)
        shown = wait_for_totals(exporter.url, sent)
        assert shown.gauge("perfsdk_workers") == 1
        assert len(sent.answers_by_worker) == 1


def test_a_directory_deleted_under_load(exporter, perfsdk_dir, tmp_path):
    """Every request is answered; of those recorded while a segment is copied one may be missing."""
    sent = Sent()
    stop = threading.Event()
    environment = {"PERFSDK_SAMPLE_INTERVAL_SECONDS": SAMPLE_SECONDS}
    with start_uvicorn(tmp_path, env=environment) as shop, ThreadPoolExecutor(1) as thread:
        requests = takewhile(lambda _: not stop.is_set(), cycle(mix(1)))
        load = thread.submit(send, shop.port, requests, sent)
        try:
            wait_until(lambda: page.read_page(exporter.url).totals, message="a first segment")
            for _ in range(DELETIONS):
                before = set(find_segments(perfsdk_dir))
                shutil.rmtree(perfsdk_dir, ignore_errors=True)  # the shop may be adding to it
                wait_until(partial(new_segments, perfsdk_dir, before), message="another one")
                wait_until(lambda: page.read_page(exporter.url).totals, message="its totals")
        finally:
            stop.set()
            load.result()
        # What was made while the directory was being deleted may have been deleted too.
        wait_for_totals(exporter.url, sent, lost=2 * DELETIONS)


def replace_by_file(directory):
    """Put a file where the directory is; an OSError: the shop made it anew in between."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.write_text("in the way")
    return True


def new_segments(directory, before):
    """The segments that were not there before."""
    return set(find_segments(directory)) - before
