"""A Python that `perfsdk run` started behaves as without us, and measures what it serves."""

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec

import pytest

from perfsdk.cli.run.command import RUN_PID, measuring
from perfsdk.cli.run.hooks import HOOKS
from perfsdk.cli.run.imports import AfterImport
from perfsdk.store.reader import SegmentReader, find_segments

DURATION = "http_server_request_duration_seconds"

DRIVE = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

async def hello(request):
    return PlainTextResponse("hello")

def get(app, path):
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    async def receive():
        return {"type": "http.request"}
    async def send(message):
        pass
    asyncio.run(app({**scope, "query_string": b"", "http_version": "1.1"}, receive, send))
"""


def python(*arguments, measured=True, **variables):
    """A Python process; what it printed and what it complained of."""
    environment = {**os.environ, **variables}
    if measured:
        environment = measuring(environment)
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def requests(directory):
    """How often each route was served, by the segments of a directory."""
    counts = {}
    for path in find_segments(directory):
        reader = SegmentReader(path)
        reader.refresh()
        for series in reader.series:
            if series.metric.name == DURATION:
                cells = reader.values[series.cell + 1 : series.cell + len(series.metric.bounds) + 2]
                counts[series.labels[1]] = counts.get(series.labels[1], 0) + sum(cells)
        reader.close()
    return counts


def test_all_packages_with_hooks_are_watched_for():
    """What the start of each Python waits for, and what is hooked then, are the same packages."""
    done = python("-c", "import sys; print(*sorted(sys.meta_path[0].names))")
    packages = {name.partition(".")[0] for name in HOOKS} - {"perfsdk"}
    assert sorted({*packages, "perfsdk.instrumentation"}) == done.stdout.split()


def test_a_process_that_serves_nothing_loads_nothing_of_ours():
    """All that is there is a finder; the directory of ours is out of the path."""
    code = """
import json, sqlite3, sys
print([name for name in sys.modules if name.startswith("perfsdk.")])
print([entry for entry in sys.path if entry.endswith("site") and "perfsdk" in entry])
"""
    done = python("-c", code)
    assert ("[]\n[]\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    "source",
    ["", "print('mine')", "raise ValueError('mine')", "import nonesuch"],
    ids=["empty", "prints", "raises", "needs what is missing"],
)
def test_the_sitecustomize_of_the_user_is_as_without_us(tmp_path, source):
    """It runs, is in `sys.modules`, or fails, in the same way and with the same words."""
    (tmp_path / "sitecustomize.py").write_text(source)
    code = "import sys; print(sys.modules.get('sitecustomize'), sys.path)"
    with_us, without = (
        python("-c", code, measured=measured, PYTHONPATH=str(tmp_path))
        for measured in (True, False)
    )
    assert without.stdout == with_us.stdout
    assert without.stderr == with_us.stderr
    assert without.returncode == with_us.returncode


@pytest.mark.parametrize("flag", ["-I", "-S", "-E"])
def test_a_python_that_reads_no_environment_or_no_site_is_left_alone(flag):
    """It is not measured, and says nothing."""
    done = python(flag, "-c", "import sys; print('sitecustomize' in sys.modules)")
    assert ("False\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize(("named", "lines"), [(True, 1), (False, 0)])
def test_a_python_without_perfsdk_goes_on(tmp_path, named, lines):
    """The program that was named says it in one line; those that it starts are silent."""
    (tmp_path / "flask.py").write_text("print('imported')")
    code = f"""
import os, sys
os.environ[{RUN_PID!r}] = str(os.getpid() * {named})
sys.modules["perfsdk"] = None
import flask, uvicorn
"""
    done = python("-c", code, PYTHONPATH=str(tmp_path))
    assert ("imported\n", 0, lines) == (done.stdout, done.returncode, done.stderr.count("\n"))
    assert named == (f"{sys.executable} cannot import perfsdk" in done.stderr)


def test_what_is_made_and_not_served_makes_no_segment(perfsdk_dir):
    """A management command imports the application and asks its database."""
    code = (
        DRIVE
        + """
import sqlite3
app = Starlette(routes=[Route("/", hello)])
sqlite3.connect(":memory:").execute("SELECT 1")
print("perfsdk.recorder" in sys.modules)
"""
    )
    done = python("-c", "import sys" + code)
    assert ("False\n", "") == (done.stdout, done.stderr)
    assert [] == list(perfsdk_dir.iterdir())


def test_a_subclass_that_goes_on_after_its_super_class(perfsdk_dir):
    """Nothing is changed before the application is complete."""
    code = (
        DRIVE
        + """
class Shop(Starlette):
    def __init__(self):
        super().__init__()
        self.router = type(self.router)(routes=[Route("/items/{item}", hello)])

    def build_middleware_stack(self):
        print("built")
        return super().build_middleware_stack()

shop = Shop()
get(shop, "/items/1")
get(shop, "/nowhere")
"""
    )
    assert "built\n" == python("-c", code).stdout
    assert {"/items/{item}": 1, "<unmatched>": 1} == requests(perfsdk_dir)


def test_a_mounted_application_is_counted_once(perfsdk_dir):
    """With its mount; called on its own, it is an application of its own."""
    code = (
        DRIVE
        + """
sub = Starlette(routes=[Route("/items/{item}", hello)])
app = Starlette(routes=[Mount("/sub", sub)])
get(app, "/sub/items/1")
get(app, "/sub/items/2")
get(sub, "/items/3")
"""
    )
    assert "" == python("-c", code).stderr
    assert {"/sub/items/{item}": 2, "/items/{item}": 1} == requests(perfsdk_dir)


def test_what_the_source_says_goes_before_us(perfsdk_dir):
    """Its settings are in force, and an application that it turns off is not measured."""
    code = (
        DRIVE
        + """
from perfsdk.cli.run.measuring import begin
begin()  # as a server does
import perfsdk
app = Starlette(routes=[Route("/", hello), Route("/hidden", hello)])
off = Starlette(routes=[Route("/off", hello)])
perfsdk.instrument(app, exclude=("/hidden",))
perfsdk.instrument(off, enabled=False)
for path in ("/", "/hidden"):
    get(app, path)
get(off, "/off")
"""
    )
    assert "" == python("-c", code).stderr
    assert {"/": 1} == requests(perfsdk_dir)


def test_a_source_that_measures_before_it_imports_a_framework(perfsdk_dir):
    """What it turns off is not measured by us either."""
    code = (
        "import perfsdk\ninstrument = perfsdk.instrument\n"
        + DRIVE
        + """
off, unknown = (Starlette(routes=[Route(path, hello)]) for path in ("/off", "/unknown"))
instrument(off, enabled=False)
get(off, "/off")
get(unknown, "/unknown")
"""
    )
    assert "" == python("-c", code).stderr
    assert {"/unknown": 1} == requests(perfsdk_dir)


def test_the_first_requests_of_several_threads(perfsdk_dir):
    """None is lost while another one has the application measured."""
    code = """
import threading
from flask import Flask
app = Flask("shop")
app.get("/")(lambda: "hello")
start = threading.Barrier(8)
def get():
    start.wait()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "", "SERVER_PORT": "80"}
    body = app({**environ, "wsgi.url_scheme": "http"}, lambda *_: None)
    list(body)
    body.close()
threads = [threading.Thread(target=get) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    assert "" == python("-c", code).stderr
    assert {"/": 8} == requests(perfsdk_dir)


def test_settings_that_come_too_late_do_not_raise(perfsdk_dir):
    """Another application is measured already: they are ignored, with a warning."""
    code = (
        DRIVE
        + """
from perfsdk.cli.run.measuring import begin
begin()
first, second = (Starlette(routes=[Route("/", hello)]) for _ in range(2))
get(first, "/")
import perfsdk
perfsdk.instrument(second, exclude=("/",))
get(second, "/")
"""
    )
    assert "those given to instrument() later are ignored" in python("-c", code).stderr
    assert {"/": 2} == requests(perfsdk_dir)


def test_a_failure_of_ours_is_not_the_application_s(perfsdk_dir):
    """The directory became a file after the settings were tried: the request is served."""
    perfsdk_dir.rmdir()
    perfsdk_dir.write_text("")
    code = DRIVE + "get(Starlette(routes=[Route('/', hello)]), '/')\nprint('served')"
    done = python("-c", code)
    assert ("served\n", 0) == (done.stdout, done.returncode)
    assert "run.measure failed; the application is not affected" in done.stderr


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A package to import, whose modules are forgotten afterwards."""
    (tmp_path / "hooked_package").mkdir()
    (tmp_path / "hooked_package" / "__init__.py").write_text("")
    (tmp_path / "hooked_package" / "part.py").write_text("value = 1")
    (tmp_path / "hooked_package" / "broken.py").write_text("raise KeyError('theirs')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    yield
    for name in [name for name in sys.modules if name.startswith("hooked_package")]:
        del sys.modules[name]


@pytest.mark.usefixtures("modules")
def test_a_hook_comes_after_its_module_and_leaves_no_trace():
    """It is called once, with the complete module, whose loader is as it was."""
    values, failures = [], []
    hooks = {"hooked_package.part": lambda module: values.append(module.value)}
    sys.meta_path.insert(0, AfterImport(hooks, failures.append))
    import hooked_package.part

    loader = hooked_package.part.__spec__.loader
    assert ([1], []) == (values, failures)
    assert SourceFileLoader is type(loader)
    assert "exec_module" not in vars(loader)


@pytest.mark.usefixtures("modules", "swallow_errors")
def test_a_hook_that_fails_and_a_module_that_fails():
    """The one is reported and the import goes on, the other is the user's error, unchanged."""
    failures = []
    hooks = {"hooked_package.part": lambda module: module.nonesuch, "hooked_package.broken": print}
    sys.meta_path.insert(0, AfterImport(hooks, failures.append))
    import hooked_package.part

    assert 1 == hooked_package.part.value
    with pytest.raises(KeyError, match="theirs"):
        import hooked_package.broken
    assert ["hooked_package.part"] == failures


def test_every_hooked_module_is_there():
    """The names in the table are right for the versions that are installed."""
    assert [] == [name for name in HOOKS if find_spec(name) is None]
