"""Development servers, which load the application again and again, lose and double nothing."""

from functools import partial

import pytest

from tests.e2e import page, running
from tests.e2e.course import check_after_the_end, with_routes
from tests.e2e.django_shop import ROUTES
from tests.e2e.load import Sent, send
from tests.e2e.outcomes import BROKEN, mix
from tests.e2e.totals import wait_for_totals
from tests.servers import wait_until

DJANGO = ["django-admin", "runserver", "{host}:{port}", "--settings", "reloaded"]
FLASK = ["flask", "--app", "reloaded", "run", "--debug", "--port", "{port}"]
# Flask's command loads the application itself too, before its child does.
SERVERS = {
    "django": (DJANGO, "from tests.e2e.django_shop import *", 1),
    "flask": (FLASK, "from tests.e2e.flask_shop import app", 2),
}


@pytest.mark.parametrize(("args", "source", "loaded"), SERVERS.values(), ids=SERVERS.keys())
def test_reloads(exporter, tmp_path, perfsdk_dir, args, source, loaded):
    """Totals are exact and never go down when the application was reloaded twice."""
    # Flask's debugger answers after exceptions, and signs nothing.
    requests = [request for request in with_routes(mix(2), ROUTES) if request != BROKEN]
    module = tmp_path / "source" / "reloaded.py"
    module.parent.mkdir()
    write(module, source, version=0)
    sent = Sent()
    path = {"PYTHONPATH": f"{running.ROOT}:{module.parent}"}
    with (
        running.start_shop(tmp_path, *args, announcements=loaded, env=path) as shop,
        page.watching(exporter.url) as watch,
    ):
        log = running.log_of(tmp_path, shop.port)
        for version in (1, 2):
            send(shop.port, requests, sent)
            # These servers end without waiting for requests, nor for what follows a response.
            wait_for_totals(exporter.url, sent)
            write(module, source, version=version)
            is_open = partial(running.is_open, log, shop.port, loaded + version)
            wait_until(is_open, message=f"version {version} serves")
        send(shop.port, requests, sent)
        assert wait_for_totals(exporter.url, sent).gauge("perfsdk_workers") == 1
        running.end(shop)
        check_after_the_end(exporter, perfsdk_dir, sent)
    assert [] == watch.decreases
    assert len(sent.answers_by_worker) == 3


def write(module, source, *, version):
    """Put the module in its place at once, so that it is seen to change once."""
    new = module.parents[1] / "new"
    new.write_text(f"{source}\n\nVERSION = {version}\n")
    new.replace(module)
