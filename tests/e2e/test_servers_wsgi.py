"""Under every WSGI server with several workers, what was sent is what is shown, exactly."""

from random import Random

import pytest

from tests.e2e import page, running
from tests.e2e.course import check_course, with_routes
from tests.e2e.load import Request
from tests.e2e.outcomes import mix
from tests.e2e.totals import COMPONENTS

WORKERS = 2
SHOP = "tests.e2e.flask_shop:signed"
COUNTER = Request("GET", "/counter", "/counter", 200, sent_size=7, db_calls=2)

GUNICORN = ["gunicorn", SHOP, "--bind", "{host}:{port}", "--workers", str(WORKERS)]
GRANIAN = ["granian", SHOP, "--interface", "wsgi", "--host", "{host}", "--port", "{port}"]
GRANIAN += ["--workers", str(WORKERS), "--no-ws"]
UWSGI = ["uwsgi", "--http-socket", "{host}:{port}", "--module", SHOP, "--master", "--die-on-term"]
UWSGI += ["--processes", str(WORKERS)]
UWSGI_GEVENT = [*UWSGI, "--gevent", "50"]

SERVERS = {
    "gunicorn sync": GUNICORN,
    "gunicorn gthread": [*GUNICORN, "--threads", "4"],
    "gunicorn preload": [*GUNICORN, "--preload"],
    "gunicorn gthread preload": [*GUNICORN, "--threads", "4", "--preload"],
    "granian": GRANIAN,
    "granian mt": [*GRANIAN, "--runtime-mode", "mt", "--blocking-threads", "4"],
    "uwsgi without threads": UWSGI,
    "uwsgi lazy without threads": [*UWSGI, "--lazy-apps"],
    "uwsgi threads": [*UWSGI, "--threads", "4", "--enable-threads"],
    "uwsgi lazy threads": [*UWSGI, "--lazy-apps", "--threads", "4", "--enable-threads"],
    "gunicorn gevent": [*GUNICORN, "-k", "gevent"],
    "gunicorn gevent preload": [*GUNICORN, "-k", "gevent", "--preload"],
    "uwsgi gevent": [*UWSGI_GEVENT, "--gevent-early-monkey-patch"],
}
GEVENT_PATCHED = {"before": [], "after": [], "before lazy": ["--lazy-apps"]}


@pytest.fixture
def requests():
    """All kinds of requests, in an order that is the same in every run."""
    requests = with_routes(mix(6), {"/products/{size}": "/products/<int:size>"}) + [COUNTER] * 60
    Random(6).shuffle(requests)
    return requests


@pytest.mark.parametrize("args", SERVERS.values(), ids=SERVERS.keys())
def test_totals(exporter, tmp_path, perfsdk_dir, requests, args):
    """All workers serve; each total is exact, while they live and when they have ended."""
    with running.start_shop(tmp_path, *args) as shop:
        shown = check_course(exporter, shop, perfsdk_dir, requests, workers=WORKERS)
    check_database(shown)


@pytest.mark.parametrize("options", GEVENT_PATCHED.values(), ids=GEVENT_PATCHED.keys())
def test_patched_by_the_application(exporter, tmp_path, perfsdk_dir, requests, options, request):
    """uWSGI patches nothing; gevent is put under the application before us, or after."""
    when = {"SHOP_GEVENT": request.node.callspec.id.split()[0]}
    with running.start_shop(tmp_path, *UWSGI_GEVENT, *options, env=when) as shop:
        shown = check_course(exporter, shop, perfsdk_dir, requests, workers=WORKERS)
    check_database(shown)


def check_database(shown) -> None:
    """Only the requests that asked a database were charged for its time."""
    charged = {
        dict(labels)["http_route"]
        for (name, labels), seconds in shown.totals.items()
        if name == COMPONENTS and dict(labels)["component"] == "db" and seconds > 0
    }
    assert {COUNTER.route} == charged
    operations = page.Page(shown.totals, {}).totals
    assert 2 * 60 == sum(
        count
        for (name, _), count in operations.items()
        if name == "db_client_operation_duration_seconds_count"
    )
