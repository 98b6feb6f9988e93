"""Under gunicorn workers come and go all the time, and no total goes down or is wrong."""

import pytest

from tests.e2e import page, running
from tests.e2e.load import Sent, send
from tests.e2e.outcomes import mix
from tests.e2e.totals import wait_for_totals

WORKERS = 3


@pytest.fixture(params=[[], ["--preload"]], ids=["each worker loads", "preload"])
def shop(request, tmp_path):
    options = ["--max-requests", "200", "--max-requests-jitter", "20", *request.param]
    with running.start_gunicorn(tmp_path, *options, workers=WORKERS) as shop:
        yield shop


def test_totals_over_the_churn_of_workers(exporter, shop, perfsdk_dir):
    """3,000 requests and a new worker after every 200: exact, never down, the dead are reaped."""
    sent = Sent()
    with page.watching(exporter.url) as watch:
        send(shop.port, mix(30), sent, may_break=True)
    print(f"{sent.uncertain.total()} turned away; answers: {dict(sent.answers_by_worker)}")
    sent.turned_away()
    assert sent.completed.total() > 2800
    wait_for_totals(exporter.url, sent)
    assert [] == watch.decreases
    assert watch.pages > 2
    assert len(sent.answers_by_worker) >= 2 * WORKERS
    page.wait_for_none(lambda: wrong_workers(exporter, shop, sent))
    page.wait_for_none(lambda: wrong_files(shop, sent, perfsdk_dir))


def wrong_workers(exporter, shop, sent):
    """The gauge counts those that served and live; the last ones may be about to end."""
    served = sent.answers_by_worker.keys() & running.children(shop.process)
    return page.unequal(len(served), page.read_page(exporter.url).gauge("perfsdk_workers"))


def wrong_files(shop, sent, directory):
    """A segment for each living worker that served, and one archive for all before.

    The master, which loads the application with --preload, serves nothing and writes nothing.
    """
    alive = sorted(sent.answers_by_worker.keys() & running.children(shop.process))
    files = sorted(path.suffix for path in directory.iterdir() if path.suffix != ".lock")
    expected = [".arc", *[".seg"] * len(alive)]
    found = running.segment_pids(directory)
    return {} if (alive, expected) == (found, files) else {"alive": (alive, found, files)}
