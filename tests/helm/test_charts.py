"""What the chart renders is accepted by Helm 3 and 4, by Kubernetes and its strictest policy."""

import re

import jsonschema
import kubernetes_validate
import pytest

from tests.helm import monitoring_schemas, restricted
from tests.helm.rendering import (
    CHART,
    CI,
    HELMS,
    OPERATOR,
    containers,
    every_rendering,
    helm,
    of_ci,
    of_kind,
    pods,
    refusal,
)

NATIVE = {"demo", "full"}
OLDEST, FIRST_WITH_SIDECARS = "1.25.0", "1.29.0"
VERSIONS = (OLDEST, FIRST_WITH_SIDECARS, kubernetes_validate.latest_version())
OF_OPERATOR = "monitoring.coreos.com/v1"


@pytest.mark.parametrize("case", CI)
@pytest.mark.parametrize("name", HELMS)
def test_lint_finds_nothing(name, case):
    """Both versions of Helm find the chart with these values right, in their strict mode."""
    values = CHART / "ci" / f"{case}-values.yaml"
    done = helm(name, "lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("args", [(), OPERATOR], ids=["no-operator", "operator"])
@pytest.mark.parametrize("case", CI)
def test_both_versions_of_helm_render_the_same(case, args):
    """Helm 3 and Helm 4 make the same objects of the same values."""
    assert of_ci("helm3", case, *args) == of_ci("helm4", case, *args)


@pytest.mark.parametrize(
    ("case", "version"),
    [(case, one) for case in CI for one in VERSIONS if one != OLDEST or case not in NATIVE],
)
def test_kubernetes_knows_every_field(case, version):
    """Each object is valid for the version, without a field that it would drop in silence."""
    checked = [one for one in of_ci("helm4", case) if one["apiVersion"] != OF_OPERATOR]
    for document in checked:
        kubernetes_validate.validate(document, version, strict=True)
    assert checked


@pytest.mark.parametrize("case", sorted(NATIVE))
def test_a_native_sidecar_is_refused_where_pods_would_never_start(case):
    """For a cluster before 1.29 the chart says what to set instead of rendering a dead pod."""
    values = ("--values", CHART / "ci" / f"{case}-values.yaml")
    assert "" == refusal(args=(*values, "--kube-version", FIRST_WITH_SIDECARS))
    said = refusal(args=(*values, "--kube-version", "1.28.9"))
    assert "Kubernetes v1.28.9 has no native sidecars: set perfsdk.sidecar.native to false" in said


@pytest.mark.parametrize("case", CI)
def test_the_operator_knows_every_field(case):
    """Monitors and rules have only fields that exist, with values of their kind."""
    for document in of_ci("helm4", case, *OPERATOR):
        if document["apiVersion"] == OF_OPERATOR:
            jsonschema.validate(document, monitoring_schemas.schema(document["kind"]))


def test_pods_pass_the_strictest_policy():
    """All pods of all cases meet the Pod Security Standard "restricted"."""
    found = pods(every_rendering())
    assert {"Deployment/telemetry-demo", "Pod/telemetry-test"} <= found.keys()
    assert {} == {
        name: offences for name, pod in found.items() if (offences := restricted.offences(pod))
    }


def test_the_policy_sees_what_offends():
    """A pod that says nothing, or asks for what it must not, offends."""
    bare = {"containers": [{"name": "app"}]}
    assert 4 == len(restricted.offences(bare))
    pod = next(pod for pod in pods(of_ci("helm4", "demo")).values() if "initContainers" in pod)
    assert ["hostPID of the host"] == restricted.offences({**pod, "hostPID": True})
    volumes = [{"name": "node", "hostPath": {"path": "/"}}]
    assert ["volume hostPath"] == restricted.offences({**pod, "volumes": volumes})


def test_every_container_says_what_it_needs():
    """Containers have requests, a limit of memory, none of CPU, and a root that is read-only."""
    for pod in pods(every_rendering()).values():
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod).values():
            assert {"cpu", "memory"} == container["resources"]["requests"].keys()
            assert {"memory"} == container["resources"]["limits"].keys()
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_names_fit():
    """Names are those of objects in DNS and stay short enough for the longest release."""
    documents = of_ci("helm4", "demo", "--set", f"fullnameOverride={'x' * 63}")
    names = [document["metadata"]["name"] for document in documents]
    assert len(names) == len({(one["kind"], one["metadata"]["name"]) for one in documents})
    assert not [
        name for name in names if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    ]


def test_auto_means_what_the_cluster_has():
    """`auto` makes monitors and rules where the operator is, and nothing of it elsewhere."""
    kinds = {document["kind"] for document in of_ci("helm4", "default")}
    assert {"ConfigMap"} == kinds
    documents = of_ci("helm4", "default", *OPERATOR)
    assert {"ConfigMap", "PodMonitor", "PrometheusRule"} == {one["kind"] for one in documents}
    assert 3 == len(of_kind(documents, "PrometheusRule"))


def test_true_and_false_do_not_ask_the_cluster():
    """What is `true` is made without the operator, what is `false` is not made with it."""
    assert of_kind(of_ci("helm4", "native-histograms"), "PodMonitor")
    assert {"ServiceMonitor", "PodMonitor"} <= {one["kind"] for one in of_ci("helm4", "full")}
    left = {one["apiVersion"] for one in of_ci("helm4", "no-crds", *OPERATOR)}
    assert OF_OPERATOR not in left


def test_histograms_are_scraped_as_they_are_chosen():
    """`both` stores classic and native histograms, `native` those alone."""
    (both,) = of_kind(of_ci("helm4", "native-histograms"), "PodMonitor").values()
    assert both["spec"]["scrapeNativeHistograms"] is True
    assert both["spec"]["scrapeClassicHistograms"] is True
    (native,) = of_kind(of_ci("helm4", "full"), "PodMonitor").values()
    assert native["spec"]["scrapeNativeHistograms"] is True
    assert native["spec"]["scrapeClassicHistograms"] is False
    (default,) = of_kind(of_ci("helm4", "default", *OPERATOR), "PodMonitor").values()
    assert not {"scrapeNativeHistograms", "scrapeClassicHistograms"} & default["spec"].keys()
