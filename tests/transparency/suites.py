"""The own test suites of frameworks, as their source distributions have them, ready to run."""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(sys.prefix) / "transparency"
"""Below the environment, so that what removes the one removes the other."""


class Suite(NamedTuple):
    """How the tests of a framework are installed and run.

    `group` is the one of its pyproject.toml, `path` what is to be in PYTHONPATH and `slow` what
    starts processes or takes long, both relative to the sources.
    """

    name: str
    extra: str
    group: str
    path: str = ""
    slow: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """That of the framework installed beside us."""
        return version(self.name)

    @property
    def sources(self) -> Path:
        return CACHE / f"{self.name}-{self.version}"

    @property
    def python(self) -> Path:
        return CACHE / f"venv-{self.name}-{self.version}" / "bin" / "python"


SUITES = {
    "starlette": Suite("starlette", extra="full", group="dev"),
    "fastapi": Suite(
        "fastapi",
        extra="all",
        group="tests",
        path="docs_src",
        slow=("tests/test_telemetry", "tests/test_fastapi_cli.py"),
    ),
}


def prepare(suite: Suite) -> None:
    """Fetch the sources and install what their tests need, unless that was done before.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    ready = suite.python.parent.parent / "ready"
    if ready.exists():
        return
    if not suite.sources.exists():
        _fetch(suite)
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", ready.parent)
    needed = f"{suite.name}[{suite.extra}]=={suite.version}"
    group = f"{suite.sources / 'pyproject.toml'}:{suite.group}"
    _pip("--python", suite.python, "install", "--group", group, needed, "-e", REPOSITORY)
    ready.touch()


def _fetch(suite: Suite) -> None:
    print(f"fetching the sources of {suite.name} {suite.version}")
    CACHE.mkdir(parents=True, exist_ok=True)
    exact = f"{suite.name}=={suite.version}"
    _pip("download", "--no-deps", "--no-binary", suite.name, "--dest", CACHE, exact)
    (archive,) = CACHE.glob(f"{suite.name}-{suite.version}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(CACHE, filter="data")


def _pip(*args: object) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *args)


def run(*args: object) -> None:
    subprocess.run([str(arg) for arg in args], check=True)
