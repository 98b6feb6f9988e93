"""Under every WSGI server with several workers, what was sent is what is shown, exactly."""

from random import Random

import pytest

from tests.e2e import page, running
from tests.e2e.course import check_after_the_end, check_course, until_all_answer, with_routes
from tests.e2e.django_shop import ROUTES
from tests.e2e.load import Request, Sent, send
from tests.e2e.outcomes import HOME, mix
from tests.e2e.totals import COMPONENTS, wait_for_totals

WORKERS = 2
SHOP = "tests.e2e.flask_shop:app"
PATCHED_BEFORE = "tests.e2e.patched_before:app"
PATCHED_AFTER = "tests.e2e.patched_after:app"
EARLY = "tests.e2e.early_shop:app"
DECORATED = "tests.e2e.decorated_shop:app"
DJANGO = "tests.e2e.django_wsgi:signed"
COUNTER = Request("GET", "/counter", "/counter", 200, sent_size=7, db_calls=2)
TIMES_COUNTED = 60


def gunicorn(*options):
    return ["gunicorn", "--bind", "{host}:{port}", "--workers", str(WORKERS), *options]


def granian(*options):
    where = ["--host", "{host}", "--port", "{port}"]
    return ["granian", "--interface", "wsgi", *where, "--workers", str(WORKERS), *options]


def uwsgi(*options):
    where = ["--http-socket", "{host}:{port}", "--master", "--die-on-term", "--need-app"]
    return ["uwsgi", *where, "--processes", str(WORKERS), *options, "--module"]


THREADS = ["--threads", "4"]
GEVENT = ["--gevent", "50"]

SERVERS = {
    "gunicorn sync": [*gunicorn(), SHOP],
    "gunicorn gthread": [*gunicorn(*THREADS), SHOP],
    "gunicorn preload": [*gunicorn("--preload"), SHOP],
    "gunicorn gthread preload": [*gunicorn(*THREADS, "--preload"), SHOP],
    "gunicorn gevent": [*gunicorn("-k", "gevent"), SHOP],
    "gunicorn gevent preload": [*gunicorn("-k", "gevent", "--preload"), SHOP],
    "granian": [*granian(), SHOP],
    "granian mt": [*granian("--runtime-mode", "mt", "--blocking-threads", "4"), SHOP],
    # Our sampler's thread does not run here, but while a request is served.
    "uwsgi without threads": [*uwsgi(), SHOP],
    "uwsgi without threads, lazy": [*uwsgi("--lazy-apps"), SHOP],
    "uwsgi threads": [*uwsgi("--enable-threads", *THREADS), SHOP],
    "uwsgi threads, lazy": [*uwsgi("--enable-threads", *THREADS, "--lazy-apps"), SHOP],
    "uwsgi gevent": [*uwsgi(*GEVENT, "--gevent-early-monkey-patch"), SHOP],
    "uwsgi gevent, patched before": [*uwsgi(*GEVENT), PATCHED_BEFORE],
    "uwsgi gevent, patched before, lazy": [*uwsgi(*GEVENT, "--lazy-apps"), PATCHED_BEFORE],
    "uwsgi gevent, patched after": [*uwsgi(*GEVENT), PATCHED_AFTER],
}
SERVERS_OF_DJANGO = {
    "gunicorn gthread": [*gunicorn(*THREADS), DJANGO],
    "granian": [*granian(), DJANGO],
    "uwsgi": [*uwsgi(), DJANGO],
}
SERVERS_THAT_FORK = {
    "gunicorn sync": [*gunicorn("--preload"), EARLY],
    "gunicorn gevent": [*gunicorn("-k", "gevent", "--preload"), EARLY],
    "uwsgi without threads": [*uwsgi(), EARLY],
    "uwsgi threads": [*uwsgi("--enable-threads", *THREADS), EARLY],
    "uwsgi that tells Python": [*uwsgi("--py-call-uwsgi-fork-hooks"), EARLY],
    "uwsgi with decorators": [*uwsgi("--import", "uwsgidecorators"), EARLY],
    "uwsgi gevent": [*uwsgi(*GEVENT, "--gevent-early-monkey-patch"), EARLY],
}


@pytest.mark.parametrize("args", SERVERS.values(), ids=SERVERS.keys())
def test_totals(exporter, tmp_path, perfsdk_dir, args):
    """All workers serve; each total is exact, while they live and when they have ended."""
    with running.start_shop(tmp_path, *args) as shop:
        shown = check_course(exporter, shop, perfsdk_dir, all_requests(), workers=WORKERS)
    check_database(shown)


@pytest.mark.parametrize("args", SERVERS_THAT_FORK.values(), ids=SERVERS_THAT_FORK.keys())
def test_recorded_before_the_fork(exporter, tmp_path, perfsdk_dir, args):
    """What the master recorded stays its own and counts once, though workers inherit it."""
    with running.start_shop(tmp_path, *args) as shop:
        check_master(exporter, shop, perfsdk_dir)


def test_the_hook_of_uwsgi_is_shared(exporter, tmp_path, perfsdk_dir):
    """A hook that the application registers after us is called in each worker, as is ours."""
    args = [*uwsgi(), DECORATED]
    with running.start_shop(tmp_path, *args, announcements=1 + WORKERS) as shop:
        check_master(exporter, shop, perfsdk_dir)


@pytest.mark.parametrize("name", [name for name in SERVERS if "gevent" in name])
def test_the_sampler_runs_beside_greenlets(exporter, tmp_path, name):
    """Each worker samples itself again and again, whether threads are greenlets or not."""
    sent = Sent()
    often = {"PERFSDK_SAMPLE_INTERVAL_SECONDS": "0.1"}
    with running.start_shop(tmp_path, *SERVERS[name], env=often) as shop:
        send(shop.port, until_all_answer([HOME], sent, WORKERS), sent)
        page.wait_for_none(lambda: page.unequal(WORKERS, len(cpu_seconds(exporter))))
        before = cpu_seconds(exporter)
        send(shop.port, until_all_answer([HOME] * 200, sent, WORKERS), sent)
        page.wait_for_none(lambda: not_more(before, cpu_seconds(exporter)))


def cpu_seconds(exporter) -> page.Totals:
    """The processor time that each worker told."""
    totals = page.read_page(exporter.url).totals.items()
    return {key: value for key, value in totals if key[0] == "process_cpu_seconds_total"}


def not_more(before, now) -> dict:
    """Those of `before` that are as they were."""
    return {key: value for key, value in before.items() if now[key] == value}


def check_master(exporter, shop, directory) -> None:
    """A master that made one statement and workers that serve are exact, until after the end."""
    sent = Sent()
    with page.watching(exporter.url) as watch:
        send(shop.port, until_all_answer(all_requests(), sent, WORKERS), sent)
        shown = wait_for_totals(exporter.url, sent)
        check_database(shown, before=1)
        writers = sorted([shop.process.pid, *sent.answers_by_worker])
        assert writers == running.segment_pids(directory)
        assert 1 + WORKERS == shown.gauge("perfsdk_workers")
        running.end(shop)
        check_after_the_end(exporter, directory, sent)
    check_database(page.read_page(exporter.url), before=1)
    assert [] == watch.decreases


def all_requests() -> list[Request]:
    """Requests of all kinds, in an order that is the same in every run."""
    requests = [*with_routes(mix(6), ROUTES), *[COUNTER] * TIMES_COUNTED]
    Random(6).shuffle(requests)
    return requests


def check_database(shown, *, before=0) -> None:
    """Each statement counts once, and only the requests that made some were charged for them."""
    charged = set()
    operations = 0
    for (name, labels), value in shown.totals.items():
        if name == COMPONENTS and dict(labels)["component"] == "db" and value > 0:
            charged.add(dict(labels)["http_route"])
        elif name == "db_client_operation_duration_seconds_count":
            operations += value
    assert {COUNTER.route} == charged
    assert before + COUNTER.db_calls * TIMES_COUNTED == operations


@pytest.mark.parametrize("args", SERVERS_OF_DJANGO.values(), ids=SERVERS_OF_DJANGO.keys())
def test_totals_of_django(exporter, tmp_path, perfsdk_dir, args):
    """The same for Django."""
    requests = with_routes(mix(6), ROUTES)
    with running.start_shop(tmp_path, *args) as shop:
        check_course(exporter, shop, perfsdk_dir, requests, workers=WORKERS)
