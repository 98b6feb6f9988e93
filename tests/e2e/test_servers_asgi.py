"""Under every ASGI server with several workers, what was sent is what is shown, exactly."""

import socket

import pytest

from tests.e2e import page, running
from tests.e2e.course import check_course, with_routes
from tests.e2e.django_shop import ROUTES
from tests.e2e.load import Request
from tests.e2e.outcomes import mix
from tests.e2e.totals import DURATION
from tests.servers import HOST

WORKERS = 2
DJANGO = "tests.e2e.django_asgi:signed"
DELIVERY = "tests.e2e.delivery_shop:signed"
FILE_BYTES = (running.ROOT / "tests/e2e/delivery_shop.py").stat().st_size
FILE = Request("GET", "/file", "/file", 200, sent_size=FILE_BYTES)
LEAVERS = 5


def uvicorn(app, *options):
    return ["uvicorn", app, "--host", "{host}", "--port", "{port}", *_workers(), *options]


def hypercorn(app, *options):
    return ["hypercorn", app, "--bind", "{host}:{port}", *_workers(), *options]


def granian(app, *options):
    where = ["--host", "{host}", "--port", "{port}"]
    return ["granian", app, "--interface", "asgi", *where, *_workers(), *options]


def _workers():
    return ["--workers", str(WORKERS)]


# Those of the shop under uvicorn, also with gunicorn, have files of their own.
SERVERS = {
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
SERVERS_OF_DELIVERY = {
    "uvicorn": uvicorn(DELIVERY),
    "hypercorn": hypercorn(DELIVERY),
    "granian": granian(DELIVERY),
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


@pytest.mark.parametrize("args", SERVERS_OF_DELIVERY.values(), ids=SERVERS_OF_DELIVERY.keys())
def test_files(exporter, tmp_path, perfsdk_dir, args):
    """A file counts with its bytes, whether the application sends them or the server."""
    with running.start_shop(tmp_path, *args, announcements=WORKERS) as shop:
        check_course(exporter, shop, perfsdk_dir, [FILE] * 100, workers=WORKERS, more=FILE)


@pytest.mark.parametrize("args", SERVERS_OF_DELIVERY.values(), ids=SERVERS_OF_DELIVERY.keys())
def test_clients_that_leave(exporter, tmp_path, args):
    """A client that leaves in the middle of a stream is told as such, once, and the stream ends."""
    with running.start_shop(tmp_path, *args, announcements=WORKERS) as shop:
        for _ in range(LEAVERS):
            with socket.create_connection((HOST, shop.port)) as client:
                client.sendall(b"GET /endless HTTP/1.1\r\nhost: shop\r\n\r\n")
                assert client.recv(1)
        page.wait_for_none(lambda: wrong_streams(page.read_page(exporter.url)))


def wrong_streams(shown) -> dict:
    """What is shown of the endless streams, when it is not that all clients left."""
    labels = {"http_request_method": "GET", "http_route": "/endless"}
    labels |= {"http_response_status_code": "200", "error_type": "client_disconnect"}
    expected = {page.key(f"{DURATION}_count", **labels): float(LEAVERS)}
    actual = {k: value for k, value in shown.totals.items() if k[0] == f"{DURATION}_count"}
    active = shown.gauge("http_server_active_requests")
    return {} if (expected, 0) == (actual, active) else {"shown": (actual, active)}
