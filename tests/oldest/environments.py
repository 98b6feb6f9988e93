"""Virtual environments with the oldest supported versions, made once and made anew on a change."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(sys.prefix) / "oldest"
"""Below the environment, so that what removes the one removes the other."""

TOOLS = (
    "httpx<0.28",  # with Litestar 2.0
    "hypercorn",
    "hypothesis",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "python-multipart",
    "uvicorn",
    "websockets",
    "wsproto",
)
"""What the tests use besides; of these the newest, so that only a framework is old."""


class Environment(NamedTuple):
    """Versions that can be installed side by side."""

    name: str
    versions: tuple[str, ...]

    @property
    def python(self) -> Path:
        return CACHE / self.name / "bin" / "python"


class Group(NamedTuple):
    """The tests of one framework, as arguments of pytest."""

    environment: Environment
    tests: tuple[str, ...]


FASTAPI_AND_DJANGO = Environment(
    "fastapi-django", ("django==4.2", "fastapi==0.100.0", "starlette==0.27.0")
)
OTHERS = Environment(
    "others",
    (
        "aiohttp==3.10.11",
        "fastapi==0.100.0",  # applications of other frameworks are mounted in some tests
        "litestar==2.0.0",
        "quart==0.19.0",
        "flask==3.0.0",  # with Quart 0.19; that of Flask itself is below
        "werkzeug==3.0.0",
    ),
)
FLASK = Environment("flask", ("asgiref>=3.2", "blinker>=1.5", "flask==2.2.0", "werkzeug==2.2.0"))

_TESTS = "tests/frameworks"
GROUPS = {
    "starlette": Group(
        FASTAPI_AND_DJANGO,
        (
            f"{_TESTS}/test_asgi.py",
            f"{_TESTS}/test_fastapi_routes.py",
            f"{_TESTS}/test_starlette_routes.py",
            f"{_TESTS}/test_websocket_routes.py",
            f"{_TESTS}/test_websocket_servers.py",
            f"{_TESTS}/test_http_contract.py::TestFastApiContract",
            f"{_TESTS}/test_http_contract.py::TestStarletteContract",
        ),
    ),
    "django": Group(FASTAPI_AND_DJANGO, (f"{_TESTS}/test_django*.py",)),
    "flask": Group(FLASK, (f"{_TESTS}/test_flask*.py",)),
    "quart": Group(OTHERS, (f"{_TESTS}/test_quart*.py",)),
    "aiohttp": Group(OTHERS, (f"{_TESTS}/test_aiohttp*.py",)),
    "litestar": Group(OTHERS, (f"{_TESTS}/test_litestar*.py",)),
}
"""By framework; FastAPI and Starlette belong together."""

CHECKED = ("django", "starlette")
"""Before a change is merged; the others take as long again."""


def prepare(environment: Environment) -> None:
    """Make the environment, if it is not there with exactly this.

    Raises:
        subprocess.CalledProcessError: it cannot be made; the program has said why.
    """
    wanted = _fingerprint(environment)
    stamp = CACHE / environment.name / "fingerprint"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    directory = CACHE / environment.name
    make = ["venv", "--without-pip", "--clear", directory]
    subprocess.run([sys.executable, "-m", *make], check=True)
    # By the pip that is here: a second one would take longer to install than the rest. The
    # files are compiled when they are imported, which most are not.
    pip = ["pip", "--python", environment.python, "install", "--quiet", "--no-compile"]
    packages = ["--editable", REPOSITORY, *environment.versions, *TOOLS]
    subprocess.run([sys.executable, "-m", *pip, *packages], check=True)
    stamp.write_text(wanted)


def _fingerprint(environment: Environment) -> str:
    """Changes with what is installed, with the dependencies of the project, and with Python."""
    project = (REPOSITORY / "pyproject.toml").read_bytes()
    parts = repr((environment.versions, TOOLS, sys.version)).encode()
    return hashlib.sha256(parts + project).hexdigest()
