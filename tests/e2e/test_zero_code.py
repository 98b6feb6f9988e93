"""`perfsdk run` measures exactly what is served, under every server, by sources that know nothing.

The sources are those of the measured shops without the lines that measure them.
"""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e import page, running
from tests.e2e.course import check_course, with_routes
from tests.e2e.django_shop import ROUTES
from tests.e2e.load import Sent, send
from tests.e2e.outcomes import HOME, mix
from tests.e2e.totals import DURATION, check_seconds, wait_for_totals
from tests.servers import http_get

WORKERS = 2
TWO = ["--workers", str(WORKERS)]
BIND = ["--bind", "{host}:{port}"]
WHERE = ["--host", "{host}", "--port", "{port}"]

UVICORN = ["uvicorn", "bare:signed", *WHERE, "--log-level", "critical"]
GUNICORN = ["gunicorn", "bare:signed", *BIND, *TWO]
GUNICORN_UVICORN = [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker"]
HYPERCORN = ["hypercorn", "bare:signed", *BIND, *TWO]
GRANIAN = ["granian", "bare:signed", *WHERE, *TWO, "--interface"]
UWSGI = ["uwsgi", "--http-socket", "{host}:{port}", "--module", "bare:signed", "--master"]
UWSGI += ["--die-on-term", "--processes", str(WORKERS)]

STARLETTE = {
    "uvicorn": [*UVICORN, *TWO],
    "python -m uvicorn": [sys.executable, "-m", *UVICORN, *TWO],
    "gunicorn with uvicorn's workers": GUNICORN_UVICORN,
    "the same, preload": [*GUNICORN_UVICORN, "--preload"],
    "hypercorn": HYPERCORN,
    "granian": [*GRANIAN, "asgi"],
}
FLASK = {
    "gunicorn sync": GUNICORN,
    "gunicorn sync preload": [*GUNICORN, "--preload"],
    "gunicorn gthread": [*GUNICORN, "--threads", "4"],
    "gunicorn gevent": [*GUNICORN, "-k", "gevent"],
    "gunicorn gevent preload": [*GUNICORN, "-k", "gevent", "--preload"],
    "granian": [*GRANIAN, "wsgi", "--no-ws"],
    "uwsgi": UWSGI,
    "uwsgi lazy threads": [*UWSGI, "--lazy-apps", "--threads", "4", "--enable-threads"],
}
PLAIN_ASGI = {
    "uvicorn": [*UVICORN, *TWO],
    "gunicorn with uvicorn's workers": GUNICORN_UVICORN,
    "hypercorn": HYPERCORN,
    "granian": [*GRANIAN, "asgi"],
}
PLAIN_WSGI = {
    "gunicorn": GUNICORN,
    "hypercorn": HYPERCORN,
    "granian": [*GRANIAN, "wsgi", "--no-ws"],
}

RUN_UVICORN = """
if __name__ == "__main__":
    import sys, uvicorn
    uvicorn.run(signed, host=sys.argv[1], port=int(sys.argv[2]), log_level="critical")
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""
PLAIN = """
from tests.e2e.signing import announce_now, sign, sign_wsgi

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-length", b"7")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"welcome"})

def wsgi(environ, start_response):
    start_response("200 OK", [("content-length", "7")])
    return [b"welcome"]

announce_now()
"""

AIOHTTP = """
import sys
from aiohttp import web
from tests.e2e.signing import announce_now

async def item(request):
    return web.Response(text="item")

app = web.Application()
app.router.add_get("/items/{item}", item)
announce_now()
web.run_app(app, host=sys.argv[1], port=int(sys.argv[2]), print=None)
"""
QUART = """
from quart import Quart
from tests.e2e.signing import announce_now

app = Quart(__name__)

@app.get("/items/<item>")
async def item(item):
    return "item"

announce_now()
"""
LITESTAR = """
from litestar import Litestar, get
from tests.e2e.signing import announce_now

@get("/items/{item:str}")
async def item(item: str) -> str:
    return "item"

app = Litestar([item])
announce_now()
"""
OTHERS = {
    "aiohttp": (AIOHTTP, [sys.executable, "-m", "bare", "{host}", "{port}"], "/items/{item}"),
    "quart": (QUART, ["hypercorn", "bare:app", *BIND], "/items/<item>"),
    "litestar": (LITESTAR, ["granian", "bare:app", "--interface", "asgi", *WHERE], "/items/{item}"),
}


@pytest.fixture
def project(tmp_path):
    """The user's directory."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def bare(name: str) -> str:
    """The source of one of the shops, as it would be without us."""
    source = (Path(__file__).parent / f"{name}.py").read_text()
    source, lines = re.subn(r"^import perfsdk\n", "", source, flags=re.MULTILINE)
    source, calls = re.subn(r"perfsdk\.instrument\(", "(", source)
    assert (1, 1) == (lines, calls)
    return source


def start(tmp_path, project, command, *, announcements=1):
    """What is in the project, started by `perfsdk run`."""
    path = os.pathsep.join([os.fspath(project), os.fspath(running.ROOT)])
    return running.start_shop(
        tmp_path,
        *("perfsdk", "run", *command),
        announcements=announcements,
        env={"PYTHONPATH": path},
    )


def flask_mix():
    return with_routes(mix(2), ROUTES)


@pytest.mark.parametrize("command", STARLETTE.values(), ids=STARLETTE.keys())
def test_starlette(exporter, tmp_path, perfsdk_dir, project, command):
    """Each total is exact, of all workers, while they live and when they have ended."""
    (project / "bare.py").write_text(bare("shop"))
    with start(tmp_path, project, command, announcements=WORKERS) as shop:
        check_course(exporter, shop, perfsdk_dir, mix(2), workers=WORKERS)


@pytest.mark.parametrize("command", FLASK.values(), ids=FLASK.keys())
def test_flask(exporter, tmp_path, perfsdk_dir, project, command):
    """The same for the servers of WSGI."""
    (project / "bare.py").write_text(bare("flask_shop") + "signed = app\n")
    with start(tmp_path, project, command) as shop:
        check_course(exporter, shop, perfsdk_dir, flask_mix(), workers=WORKERS)


def test_django_asgi(exporter, tmp_path, perfsdk_dir, project):
    """A handler of Django that is inside of a function of the user's."""
    (project / "bare.py").write_text(bare("django_asgi"))
    command = [*UVICORN, *TWO, "--lifespan", "off"]
    with start(tmp_path, project, command, announcements=WORKERS) as shop:
        check_course(exporter, shop, perfsdk_dir, flask_mix(), workers=WORKERS)


def test_django_wsgi(exporter, tmp_path, perfsdk_dir, project):
    """The same under WSGI."""
    (project / "bare.py").write_text(bare("django_wsgi"))
    with start(tmp_path, project, GUNICORN) as shop:
        check_course(exporter, shop, perfsdk_dir, flask_mix(), workers=WORKERS)


@pytest.mark.parametrize("command", PLAIN_ASGI.values(), ids=PLAIN_ASGI.keys())
def test_plain_asgi(exporter, tmp_path, perfsdk_dir, project, command):
    """A callable of no framework is measured where the server loads it."""
    (project / "bare.py").write_text(PLAIN + "signed = sign(asgi)")
    with start(tmp_path, project, command, announcements=WORKERS) as shop:
        check_plain(exporter, shop, perfsdk_dir)


@pytest.mark.parametrize("command", PLAIN_WSGI.values(), ids=PLAIN_WSGI.keys())
def test_plain_wsgi(exporter, tmp_path, perfsdk_dir, project, command):
    """The same for a callable of WSGI."""
    (project / "bare.py").write_text(PLAIN + "signed = sign_wsgi(wsgi)")
    with start(tmp_path, project, command) as shop:
        check_plain(exporter, shop, perfsdk_dir)


def check_plain(exporter, shop, directory) -> None:
    """All requests are counted, under the route that stands for none that is known."""
    sent = Sent()
    request = HOME._replace(route="<unresolved>")

    def until_all_have_answered():
        yield from [request] * 50
        while len(sent.answers_by_worker) < WORKERS:
            yield request

    send(shop.port, until_all_have_answered(), sent)
    check_seconds(wait_for_totals(exporter.url, sent), sent)
    assert sorted(sent.answers_by_worker) == running.segment_pids(directory)


@pytest.mark.parametrize(("source", "command", "route"), OTHERS.values(), ids=OTHERS.keys())
def test_other_frameworks(exporter, tmp_path, project, source, command, route):
    """Each request is counted once, under its template."""
    (project / "bare.py").write_text(source)
    counted = f"{DURATION}_count"
    with start(tmp_path, project, command) as shop:
        for number in range(5):
            assert "item" == http_get(f"{shop.url}/items/{number}")
        page.wait_for_none(
            lambda: page.differences(
                {route: 5}, page.by_route(page.read_page(exporter.url), counted)
            )
        )


def test_flask_run(exporter, tmp_path, perfsdk_dir, project):
    """`flask run`, which takes nothing but an application of Flask."""
    (project / "bare.py").write_text(bare("flask_shop"))
    command = ["flask", "--app", "bare:app", "run", *WHERE]
    with start(tmp_path, project, command) as shop:
        check_course(exporter, shop, perfsdk_dir, flask_mix(), workers=1)


def test_manage_py_runserver(exporter, tmp_path, perfsdk_dir, project):
    """The process that serves is measured, the one that watches the sources is not."""
    settings = (Path(__file__).parent / "django_shop.py").read_text()
    settings = settings.replace("tests.e2e.django_wsgi.signed", "bare.signed")
    (project / "settings.py").write_text(settings)
    (project / "bare.py").write_text(bare("django_wsgi"))
    manage = project / "manage.py"
    manage.write_text(MANAGE)
    command = [sys.executable, os.fspath(manage), "runserver", "{host}:{port}", "--skip-checks"]
    with start(tmp_path, project, command) as shop:
        check_course(exporter, shop, perfsdk_dir, flask_mix(), workers=1)


def test_python_app_py(exporter, tmp_path, perfsdk_dir, project):
    """A script that starts its server itself."""
    app = project / "app.py"
    app.write_text(bare("shop") + RUN_UVICORN)
    with start(tmp_path, project, [sys.executable, os.fspath(app), "{host}", "{port}"]) as shop:
        check_course(exporter, shop, perfsdk_dir, mix(2), workers=1)


def test_a_source_that_measures_itself(exporter, tmp_path, perfsdk_dir, project):
    """Each request is counted once, and a setting given in the source is the one in force."""
    source = (Path(__file__).parent / "shop.py").read_text()
    source = source.replace("instrument(app)", 'instrument(app, exclude=("/slow",))')
    (project / "bare.py").write_text(source)
    requests = [request for request in mix(2) if request.route != "/slow"]
    with start(tmp_path, project, [*UVICORN, *TWO], announcements=WORKERS) as shop:
        http_get(f"{shop.url}/slow")
        check_course(exporter, shop, perfsdk_dir, requests, workers=WORKERS)


def test_a_reload(exporter, tmp_path, project):
    """The worker that uvicorn starts after a change is measured as the first one was."""
    source = project / "bare.py"
    source.write_text(bare("shop"))
    sent = Sent()
    command = [*UVICORN, "--reload", "--reload-dir", os.fspath(project)]
    with start(tmp_path, project, command) as shop:
        send(shop.port, mix(1), sent)
        new = tmp_path / "new"
        new.write_text(bare("shop") + "# changed\n")
        new.replace(source)

        def until_reloaded():
            while len(sent.answers_by_worker) < 2:
                yield HOME

        send(shop.port, until_reloaded(), sent, connections=1, may_break=True)
        send(shop.port, mix(1), sent, may_break=True)
        sent.turned_away()
        check_seconds(wait_for_totals(exporter.url, sent), sent)
        page.wait_for_none(
            lambda: page.unequal(1, page.read_page(exporter.url).gauge("perfsdk_workers"))
        )
