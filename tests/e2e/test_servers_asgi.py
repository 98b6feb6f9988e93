"""Under every ASGI server with several workers, what was sent is what is shown, exactly."""

import pytest

from tests.e2e import running
from tests.e2e.course import check_course, with_routes
from tests.e2e.django_shop import ROUTES
from tests.e2e.outcomes import mix

WORKERS = 2
DJANGO = "tests.e2e.django_asgi:signed"


def uvicorn(app, *options):
    return ["uvicorn", app, "--host", "{host}", "--port", "{port}", *_workers(), *options]


def gunicorn(app, *options):
    worker = ["-k", "uvicorn_worker.UvicornWorker"]
    return ["gunicorn", app, "--bind", "{host}:{port}", *worker, *_workers(), *options]


def hypercorn(app, *options):
    return ["hypercorn", app, "--bind", "{host}:{port}", *_workers(), *options]


def granian(app, *options):
    where = ["--host", "{host}", "--port", "{port}"]
    return ["granian", app, "--interface", "asgi", *where, *_workers(), *options]


def _workers():
    return ["--workers", str(WORKERS)]


SERVERS = {
    "uvicorn": uvicorn(running.SHOP),
    "gunicorn preload": gunicorn(running.SHOP, "--preload"),
    "hypercorn": hypercorn(running.SHOP),
    "hypercorn uvloop": hypercorn(running.SHOP, "--worker-class", "uvloop"),
    "granian": granian(running.SHOP),
    "granian mt": granian(running.SHOP, "--runtime-mode", "mt", "--runtime-threads", "2"),
}
SERVERS_OF_DJANGO = {
    "uvicorn": uvicorn(DJANGO, "--lifespan", "off"),
    "hypercorn": hypercorn(DJANGO),
    "granian": granian(DJANGO),
}


@pytest.mark.parametrize("args", SERVERS.values(), ids=SERVERS.keys())
def test_totals(exporter, tmp_path, perfsdk_dir, args):
    """All workers serve; each total is exact, while they live and when they have ended."""
    with running.start_shop(tmp_path, *args, announcements=WORKERS) as shop:
        check_course(exporter, shop, perfsdk_dir, mix(6), workers=WORKERS)


@pytest.mark.parametrize("args", SERVERS_OF_DJANGO.values(), ids=SERVERS_OF_DJANGO.keys())
def test_totals_of_django(exporter, tmp_path, perfsdk_dir, args):
    """The same for Django, whose views run in threads."""
    with running.start_shop(tmp_path, *args, announcements=WORKERS) as shop:
        requests = with_routes(mix(6), ROUTES)
        check_course(exporter, shop, perfsdk_dir, requests, workers=WORKERS)
