"""Django's own development server, which finds the measured application by itself."""

import os
import sys
import urllib.error
from pathlib import Path

import pytest

from tests.frameworks.django_site.manage import VARIABLE
from tests.servers import HOST, free_port, http_get, start_process, wait_until

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("options", [(), ("--noreload",)], ids=["reload", "noreload"])
def test_runserver_serves_what_the_project_instrumented(options, tmp_path, perfsdk_dir, outcomes):
    """Exact counts, and static files below the path that they are served under."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "here.txt").write_text("here")
    port = free_port()
    url = f"http://{HOST}:{port}"
    program = [sys.executable, "-m", "tests.frameworks.django_site.manage", "runserver"]
    with start_process(
        [*program, f"{HOST}:{port}", *options],
        ready=lambda: http_get(f"{url}/healthz") == "ok",
        log=tmp_path / "log",
        env={**os.environ, VARIABLE: str(static)},
        cwd=ROOT,
    ):
        for number in range(20):
            assert str(number) == http_get(f"{url}/items/{number}/")
        assert "here" == http_get(f"{url}/static/here.txt")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            http_get(f"{url}/static/none.txt")
        wait_until(lambda: sum(outcomes().values()) >= 22)
        assert {
            ("GET", "/items/<int:pk>/", "200", ""): 20,
            ("GET", "/static/", "200", ""): 1,
            ("GET", "/static/", "404", ""): 1,
        } == outcomes()
