"""Under every ASGI server with several workers, what was sent is what is shown, exactly."""

import pytest

from tests.e2e import running
from tests.e2e.course import check_course
from tests.e2e.outcomes import mix

WORKERS = 2
HYPERCORN = ["hypercorn", running.SHOP, "--bind", "{host}:{port}", "--workers", str(WORKERS)]
GRANIAN = ["granian", running.SHOP, "--interface", "asgi", "--host", "{host}", "--port", "{port}"]
GRANIAN += ["--workers", str(WORKERS), "--no-ws"]
UVICORN = ["uvicorn", running.SHOP, "--host", "{host}", "--port", "{port}"]
UVICORN += ["--workers", str(WORKERS)]
GUNICORN = ["gunicorn", running.SHOP, "--bind", "{host}:{port}", "--workers", str(WORKERS)]
GUNICORN += ["-k", "uvicorn_worker.UvicornWorker"]

SERVERS = {
    "uvicorn": UVICORN,
    "gunicorn preload": [*GUNICORN, "--preload"],
    "hypercorn": HYPERCORN,
    "hypercorn uvloop": [*HYPERCORN, "--worker-class", "uvloop"],
    "granian": GRANIAN,
    "granian mt": [*GRANIAN, "--runtime-mode", "mt", "--runtime-threads", "2"],
}


@pytest.mark.parametrize("args", SERVERS.values(), ids=SERVERS.keys())
def test_totals(exporter, tmp_path, perfsdk_dir, args):
    """All workers serve; each total is exact, while they live and when they have ended."""
    with running.start_shop(tmp_path, *args, announcements=WORKERS) as shop:
        check_course(exporter, shop, perfsdk_dir, mix(6), workers=WORKERS)
