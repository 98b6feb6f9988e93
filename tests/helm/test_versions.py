"""Charts, image and manifests are of the version and of the Python that the distribution is of."""

import re

import pytest
import yaml

from perfsdk.version import __version__
from tests.helm.rendering import CHART, EXAMPLE, LIBRARY, ROOT
from tests.helm.test_image import stages

# tomllib is younger than the oldest Python of the tests, so the lines are looked for.
PYPROJECT = (ROOT / "pyproject.toml").read_text()
DOCKERFILE = (ROOT / "exporter" / "Dockerfile").read_text()


def loaded(path):
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("chart", [CHART, LIBRARY], ids=lambda chart: chart.name)
def test_the_charts_are_of_this_version(chart):
    """A release of the distribution is one of both charts, and their images have its tag."""
    meta, values = loaded(chart / "Chart.yaml"), loaded(chart / "values.yaml")
    assert __version__ == meta["appVersion"]
    image = values["demo"]["image"] if chart == CHART else values["sidecar"]["image"]
    assert __version__ == image["tag"]


def test_the_chart_has_the_library_that_lies_beside_it():
    """The dependency that the chart names is the version of the library in the repository."""
    (dependency,) = loaded(CHART / "Chart.yaml")["dependencies"]
    library = loaded(LIBRARY / "Chart.yaml")
    assert (library["name"], library["version"]) == (dependency["name"], dependency["version"])
    (of_example,) = loaded(EXAMPLE / "Chart.yaml")["dependencies"]
    assert (dependency["name"], dependency["alias"]) == (of_example["name"], of_example["alias"])


def test_manifests_without_helm_have_images_of_this_version():
    """The sidecar has the same tag in the plain manifests and in the Kustomize example."""
    folder = ROOT / "deploy" / "kubernetes"
    for name in ("shop.yaml", "sidecar/patch.yaml"):
        text = (folder / name).read_text()
        assert [__version__] == re.findall(r"perfsdk-exporter:([\w.]+)", text), name
    (image,) = loaded(folder / "example" / "kustomization.yaml")["images"]
    assert __version__ == image["newTag"]


def test_the_image_has_a_python_that_is_supported():
    """The image's Python is one that the distribution is said to run on."""
    (python,) = re.findall(r"^ARG PYTHON=(3\.\d+)", DOCKERFILE, re.MULTILINE)
    assert f'"Programming Language :: Python :: {python}"' in PYPROJECT


@pytest.mark.parametrize(("stage", "extra"), [("exporter", "exporter"), ("demo", "demo")])
def test_the_image_installs_what_the_distribution_has(stage, extra):
    """Each image installs an extra that pyproject.toml names, from the sources that were sent."""
    runs = [rest for keyword, rest in stages()[f"{stage}-build"] if keyword == "RUN"]
    assert [extra] == re.findall(r"'\.\[(\w+)\]'", " ".join(runs))
    assert re.search(rf"^{extra} = \[$", PYPROJECT, re.MULTILINE)


def test_the_entry_point_is_a_command_of_the_distribution():
    """The container starts a script that pyproject.toml declares."""
    ((_, entry),) = [one for one in stages()["exporter"] if one[0] == "ENTRYPOINT"]
    assert '["perfsdk-exporter"]' == entry
    assert re.search(r"^perfsdk-exporter = ", PYPROJECT, re.MULTILINE)
