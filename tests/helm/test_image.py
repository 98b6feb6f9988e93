"""The image of the sidecar starts as its Dockerfile says, without root, and tells how it is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port, http_get, start_process

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "exporter" / "Dockerfile"
IGNORED = ROOT / ".dockerignore"
BINARIES = Path(sys.executable).parent


def stages():
    """The instructions of each stage by its name, in order; continued lines are one."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    found, current = {}, []
    for line in text.splitlines():
        keyword, _, rest = line.partition(" ")
        if not line or line.startswith("#"):
            continue
        if keyword == "FROM":
            image, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            current = found[name] = list(found.get(image, []))
        else:
            current.append((keyword, rest))
    return found


def last(stage, keyword):
    """What the last instruction of a kind says."""
    return [rest for found, rest in stages()[stage] if found == keyword][-1]


def health_check(port):
    """The command by which Docker asks the exporter how it is, of another port."""
    command = json.loads(last("exporter", "HEALTHCHECK").partition("CMD ")[2])
    return [BINARIES / command[0], *(part.replace("8979", str(port)) for part in command[1:])]


def test_the_sidecar_is_what_a_build_without_a_target_makes():
    """`docker build -f exporter/Dockerfile .` makes the sidecar, not the demo."""
    assert "exporter" == list(stages())[-1]


@pytest.mark.parametrize("stage", ["exporter", "demo"])
def test_nothing_runs_as_root(stage):
    """The user is a number, which `runAsNonRoot` asks for, and nobody becomes root again."""
    users = [rest for keyword, rest in stages()[stage] if keyword == "USER"]
    assert ["65532:65532"] == users


@pytest.mark.parametrize("stage", ["exporter", "demo"])
def test_nothing_is_built_in_the_image_that_runs(stage):
    """The stages that run take what others built: no compiler, no pip, no sources."""
    assert not [rest for keyword, rest in stages()[stage] if keyword == "RUN"]
    copied = [rest for keyword, rest in stages()[stage] if keyword == "COPY"]
    assert f"--from={stage}-build /opt/perfsdk /opt/perfsdk" == copied[0]


def test_everything_that_is_copied_is_sent_to_the_builder():
    """The builder is sent every source of a COPY and nothing else, and all of them exist."""
    everything = [
        rest for found in stages().values() for keyword, rest in found if keyword == "COPY"
    ]
    own = {source for rest in everything if "--from" not in rest for source in rest.split()[:-1]}
    sent = {line[1:] for line in IGNORED.read_text().splitlines() if line.startswith("!")}
    assert own == sent
    assert not [source for source in own if not (ROOT / source).exists()]


def test_what_the_build_needs_is_all_that_is_sent(tmp_path):
    """From the files that are sent alone the build backend makes the wheel."""
    for line in IGNORED.read_text().splitlines():
        if line.startswith("!"):
            (tmp_path / line[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / line[1:]).symlink_to(ROOT / line[1:])
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*build, tmp_path / "dist"], cwd=tmp_path, check=True, capture_output=True)
    assert 1 == len(list((tmp_path / "dist").glob("*.whl")))


def test_the_health_check_tells_a_sidecar_that_serves_from_none(tmp_path):
    """Docker's check ends with 0 while the entry point serves, and with 1 when nothing does."""
    port = free_port()
    (program,) = json.loads(last("exporter", "ENTRYPOINT"))
    assert 1 == subprocess.run(health_check(port), check=False, capture_output=True).returncode
    command = [BINARIES / program, f"--web.listen-address=127.0.0.1:{port}"]
    with start_process(
        command,
        ready=lambda: http_get(f"http://127.0.0.1:{port}/-/ready"),
        log=tmp_path / "exporter.log",
    ):
        assert 0 == subprocess.run(health_check(port), check=False).returncode
