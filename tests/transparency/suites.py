"""The own test suites of other projects, as their source distributions have them, ready to run."""

import shutil
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
    """How the tests of a project are installed and run.

    `extra` and `group` are those of its pyproject.toml, `needs` what is installed besides; `path`
    is what is to be in PYTHONPATH, `hides` are packages among the sources that would be imported
    instead of the installed ones, `slow` is what starts processes or takes long, all relative to
    the sources. With `setup`, statements of SQL, each run has a PostgreSQL of its own, whose
    `host`, `port`, `user` and `database` are filled into `arguments` and `environment`; with
    `redis` it has a Redis, of which the `port` and the `url` are. `plugin` has everything
    measured, and `metric` counts what was.
    """

    name: str
    package: str
    extra: str = ""
    group: str = ""
    needs: tuple[str, ...] = ()
    path: str = ""
    hides: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)
    setup: tuple[str, ...] | None = None
    redis: bool = False
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    plugin: str = "measure_everything"
    metric: str = "http_server_request_duration_seconds"

    @property
    def version(self) -> str:
        """That of the package installed beside us."""
        return version(self.package)

    @property
    def sources(self) -> Path:
        return CACHE / f"{self.package}-{self.version}"

    @property
    def python(self) -> Path:
        return CACHE / f"venv-{self.package}-{self.version}" / "bin" / "python"


LIBRARY = {"plugin": "measure_libraries", "metric": "db_client_operation_duration_seconds"}
SQLALCHEMY = {
    "package": "sqlalchemy",
    "extra": "asyncio",
    "needs": ("pytest", "psycopg[binary]"),
    "tests": ("test/dialect/test_suite.py",),
    **LIBRARY,
}
SERVER = "{user}@{host}:{port}/{database}"
CACHES = {"plugin": "measure_libraries", "metric": "cache_operation_duration_seconds"}
ONE_REDIS = " and ".join(
    f"not {kind}"
    for kind in (
        "cp_integration",
        "multidb_integration",
        "onlycluster",
        "redismod",
        "replica",
        "ssl",
    )
)
"""The tests of redis-py that need nothing but one server without modules."""

SUITES = {
    suite.name: suite
    for suite in (
        Suite("starlette", "starlette", extra="full", group="dev"),
        Suite(
            "fastapi",
            "fastapi",
            extra="all",
            group="tests",
            path="docs_src",
            slow=("tests/test_telemetry", "tests/test_fastapi_cli.py"),
        ),
        Suite("sqlalchemy-sqlite", arguments=("--db", "sqlite"), **SQLALCHEMY),
        Suite(
            "sqlalchemy-postgresql",
            setup=("CREATE SCHEMA test_schema", "DROP EXTENSION pg_stat_statements"),
            arguments=("--dburi", f"postgresql+psycopg://{SERVER}"),
            **SQLALCHEMY,
        ),
        Suite(
            "asyncpg",
            "asyncpg",
            needs=("pytest", "uvloop", "distro"),
            hides=("asyncpg",),
            setup=(),
            environment=(
                ("PGHOST", "{host}"),
                ("PGPORT", "{port}"),
                ("PGUSER", "{user}"),
                ("PGDATABASE", "{database}"),
            ),
            **LIBRARY,
        ),
        Suite(
            "redis",
            "redis",
            extra="circuit_breaker,jwt,ocsp,otel",
            needs=(
                "aiohttp",
                "numpy",
                "packaging",
                "pytest",
                "pytest-asyncio",
                "pytest-timeout",
                "redis-entraid",
            ),
            hides=("redis",),
            slow=("tests/maint_notifications", "tests/test_multidb"),
            redis=True,
            arguments=(
                "--redis-url",
                "{url}",
                "--redis-mod-url",
                "{url}",
                "--ignore=tests/test_scenario",
                "--ignore=tests/test_asyncio/test_scenario",
                "-m",
                ONE_REDIS,
            ),
            **CACHES,
        ),
        Suite(
            "cachetools",
            "cachetools",
            needs=("pytest",),
            hides=("src",),
            plugin="measure_libraries",
            metric="cache_load_duration_seconds",
        ),
    )
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
    extra = f"[{suite.extra}]" if suite.extra else ""
    needed = [f"{suite.package}{extra}=={suite.version}", *suite.needs, "-e", REPOSITORY]
    if suite.group:
        needed += ["--group", f"{suite.sources / 'pyproject.toml'}:{suite.group}"]
    _pip("--python", suite.python, "install", *needed)
    ready.touch()


def _fetch(suite: Suite) -> None:
    print(f"fetching the sources of {suite.package} {suite.version}")
    CACHE.mkdir(parents=True, exist_ok=True)
    exact = f"{suite.package}=={suite.version}"
    _pip("download", "--no-deps", "--no-binary", suite.package, "--dest", CACHE, exact)
    (archive,) = CACHE.glob(f"{suite.package}-{suite.version}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(CACHE, filter="data")
    for package in suite.hides:
        shutil.rmtree(suite.sources / package)


def _pip(*args: object) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *args)


def run(*args: object) -> None:
    subprocess.run([str(arg) for arg in args], check=True)
