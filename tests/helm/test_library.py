"""An application's own chart that includes the library gets a sidecar that sees what it writes."""

import shutil

import jsonschema
import kubernetes_validate
import pytest
import yaml

from helm.manifests import example, manifests
from perfsdk_exporter.flags import make_parser
from tests.helm import monitoring_schemas, restricted
from tests.helm.rendering import (
    HELMS,
    LIBRARY,
    NAMESPACE,
    OPERATOR,
    RELEASE,
    ROOT,
    containers,
    helm,
    of_ci,
    of_kind,
    pods,
    rendered,
    tool,
)

CLUSTER = kubernetes_validate.latest_version()


@pytest.fixture(scope="module", params=HELMS)
def shop(request, tmp_path_factory):
    """The example with the library that `helm dependency build` brings, and the Helm that did."""
    return request.param, example(str(tool(request.param)), tmp_path_factory.mktemp("shop"))


def deployment(shop, *sets):
    """The Deployment of the example with these values."""
    name, chart = shop
    options = [part for one in sets for part in ("--set-json", one)]
    (found,) = of_kind(rendered(name, chart, *options), "Deployment").values()
    return found


def pod(shop, *sets):
    """The specification of the example's pods."""
    return deployment(shop, *sets)["spec"]["template"]["spec"]


def variables(container):
    """The environment of a container."""
    return {one["name"]: one["value"] for one in container["env"]}


def mounts(container):
    """Where a container mounts which volume."""
    return {one["name"]: one["mountPath"] for one in container["volumeMounts"]}


def test_the_example_is_accepted(shop):
    """Lint, the schemas of Kubernetes and the strictest policy find nothing in it."""
    name, chart = shop
    done = helm(name, "lint", "--strict", chart)
    assert done.returncode == 0, done.stdout + done.stderr
    kubernetes_validate.validate(deployment(shop), CLUSTER, strict=True)
    assert [] == restricted.offences(pod(shop))


def test_the_library_is_found_by_lint(shop):
    """The library alone passes lint too."""
    done = helm(shop[0], "lint", "--strict", LIBRARY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sidecar_reads_where_the_application_writes(shop):
    """Both mount one volume in memory, of bounded size, at one place, and mean one directory."""
    found = pod(shop)
    app, sidecar = (containers(found)[name] for name in ("app", "perfsdk-exporter"))
    directory = variables(app)["PERFSDK_DIR"]
    assert mounts(app)["perfsdk"] == mounts(sidecar)["perfsdk"]
    assert directory.startswith(mounts(app)["perfsdk"] + "/")
    assert f"--dir={directory}" in sidecar["args"]
    volumes = {one["name"]: one for one in found["volumes"]}
    assert {"medium": "Memory", "sizeLimit": "96Mi"} == volumes["perfsdk"]["emptyDir"]


def test_two_users_share_a_group(shop):
    """Another user than the application's may read and fold, through the group of the pod."""
    found = pod(shop)
    app, sidecar = (containers(found)[name] for name in ("app", "perfsdk-exporter"))
    users = {one["securityContext"]["runAsUser"] for one in (app, sidecar)}
    assert {10001, 65532} == users
    assert 20001 == found["securityContext"]["fsGroup"]
    assert "0770" == variables(app)["PERFSDK_DIR_MODE"]


def test_the_sidecar_is_native(shop):
    """It is an init container that stays, with a port of its own and a probe on it."""
    (sidecar,) = pod(shop)["initContainers"]
    assert "Always" == sidecar["restartPolicy"]
    assert [{"name": "perfsdk-metrics", "containerPort": 8979, "protocol": "TCP"}] == sidecar[
        "ports"
    ]
    assert {"path": "/-/healthy", "port": "perfsdk-metrics", "scheme": "HTTP"} == sidecar[
        "livenessProbe"
    ]["httpGet"]
    assert {"cpu": "10m", "memory": "96Mi"} == sidecar["resources"]["requests"]


def test_the_sidecar_can_be_an_ordinary_container(shop):
    """The same container without a restart policy, beside the application, for older clusters."""
    (native,) = pod(shop)["initContainers"]
    found = pod(shop, "perfsdk.sidecar.native=false")
    assert "initContainers" not in found
    del native["restartPolicy"]
    assert native == containers(found)["perfsdk-exporter"]


def test_readiness_can_be_asked_for(shop):
    """A sidecar that is not ready takes the pod out of its Service only when that is wanted."""
    (sidecar,) = pod(shop)["initContainers"]
    assert "readinessProbe" not in sidecar
    (sidecar,) = pod(shop, "perfsdk.sidecar.probes.readiness=true")["initContainers"]
    assert "/-/ready" == sidecar["readinessProbe"]["httpGet"]["path"]


def test_it_can_be_turned_off(shop):
    """Without the sidecar nothing of it is left, and the application measures nothing."""
    found = pod(shop, "perfsdk.enabled=false")
    assert ["app"] == list(containers(found))
    assert ["tmp"] == [one["name"] for one in found["volumes"]]
    assert "0" == variables(containers(found)["app"])["PERFSDK_ENABLED"]
    labels = deployment(shop, "perfsdk.enabled=false")["spec"]["template"]["metadata"]["labels"]
    assert "perfsdk-sidecar" not in labels


def test_the_monitor_selects_the_pods(shop):
    """The PodMonitor of the chart finds pods, port and path of the example."""
    (monitor,) = of_kind(of_ci("helm4", "default", *OPERATOR), "PodMonitor").values()
    found = deployment(shop)["spec"]["template"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= found["metadata"]["labels"].items()
    assert {"any": True} == monitor["spec"]["namespaceSelector"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = [port["name"] for one in containers(found["spec"]).values() for port in one["ports"]]
    assert 1 == ports.count(endpoint["port"])
    (sidecar,) = found["spec"]["initContainers"]
    assert f"--web.telemetry-path={endpoint['path']}" in sidecar["args"]
    job = found["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert variables(containers(found["spec"])["app"])["OTEL_SERVICE_NAME"] == job


def test_the_policy_lets_prometheus_in():
    """The NetworkPolicy selects the same pods and opens the port of the sidecar to its peers."""
    (policy,) = of_kind(of_ci("helm4", "no-crds"), "NetworkPolicy").values()
    assert {"perfsdk-sidecar": "true"} == policy["spec"]["podSelector"]["matchLabels"]
    (rule,) = policy["spec"]["ingress"]
    assert [{"protocol": "TCP", "port": 8979}] == rule["ports"]
    (policy, *_) = of_kind(of_ci("helm4", "full"), "NetworkPolicy").values()
    own, others = policy["spec"]["ingress"]
    closed = own["ports"][0]["port"]
    opened = [(one["port"], one["endPort"]) for one in others["ports"] if one["protocol"] == "TCP"]
    assert [(1, closed - 1), (closed + 1, 65535)] == opened


@pytest.mark.parametrize("case", ["demo", "full", "legacy-sidecar"])
def test_the_exporter_takes_its_arguments(case, tmp_path):
    """Each flag of the sidecar is one of perfsdk-exporter, with a value that it takes."""
    (found,) = [one for name, one in pods(of_ci("helm4", case)).items() if "Deployment" in name]
    arguments = containers(found)["perfsdk-exporter"]["args"]
    (tmp_path / "web-config.yml").write_text("{}")
    here = [one.replace("/etc/perfsdk", str(tmp_path)) for one in arguments]
    options = vars(make_parser({}).parse_args(here))
    assert "/var/run/perfsdk/segments" in {str(value) for value in options.values()}


def test_plain_manifests_are_what_the_charts_render():
    """Nothing in deploy/kubernetes that is rendered differs from what Helm makes of the charts."""
    for path, text in manifests(str(tool("helm4"))).items():
        assert text == path.read_text(), path


def test_plain_manifests_are_accepted():
    """Each plain manifest is valid for Kubernetes or the operator, and none claims to be Helm's."""
    kinds = []
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml")):
        assert "managed-by" not in path.read_text()
        for document in yaml.safe_load_all(path.read_text()):
            kinds.append(document["kind"])
            if document["apiVersion"] == "monitoring.coreos.com/v1":
                jsonschema.validate(document, monitoring_schemas.schema(document["kind"]))
            else:
                kubernetes_validate.validate(document, CLUSTER, strict=True)
    assert {"Deployment", "NetworkPolicy", "PodMonitor", "PrometheusRule"} == set(kinds)


def test_a_release_elsewhere_names_its_namespace(shop):
    """Objects are in the namespace of the release, under its name."""
    metadata = deployment(shop)["metadata"]
    assert (RELEASE, NAMESPACE) == (metadata["name"], metadata["namespace"])


WORKER = """\
{{- $worker := dict "root" . "values" .Values.worker }}
apiVersion: v1
kind: Pod
metadata: {name: worker, labels: {{ include "perfsdk.podLabels" $worker | fromYaml | toJson }}}
spec:
  containers:
    - name: app
      image: registry.example/worker
      env:
        {{- include "perfsdk.env" $worker | nindent 8 }}
    {{- include "perfsdk.containers" $worker | nindent 4 }}
  volumes:
    {{- include "perfsdk.volume" $worker | nindent 4 }}
"""


def test_a_second_workload_has_settings_of_its_own(tmp_path):
    """One chart gives its worker other values, and what these do not say is that of the chart."""
    chart = example(str(tool("helm4")), tmp_path)
    (chart / "templates" / "worker.yaml").write_text(WORKER)
    own = '{"service": "shop-worker", "sidecar": {"native": false, "port": 9000}}'
    documents = rendered("helm4", chart, "--set-json", f"worker={own}")
    (found,) = of_kind(documents, "Pod").values()
    app, sidecar = (containers(found["spec"])[name] for name in ("app", "perfsdk-exporter"))
    assert "shop-worker" == variables(app)["OTEL_SERVICE_NAME"]
    assert "0.3" == variables(app)["PERFSDK_LATENCY_OBJECTIVE"]
    assert 9000 == sidecar["ports"][0]["containerPort"]
    assert "--web.listen-address=:9000" in sidecar["args"]
    assert "registry.example/perfsdk-exporter:0.1.0" == sidecar["image"]
    (other,) = of_kind(documents, "Deployment").values()
    assert (
        8979 == other["spec"]["template"]["spec"]["initContainers"][0]["ports"][0]["containerPort"]
    )


def test_another_major_version_of_the_library_is_refused(tmp_path):
    """The example asks for versions below 1, so one that changed its templates is not taken."""
    chart = example(str(tool("helm4")), tmp_path)
    library = tmp_path / LIBRARY.relative_to(ROOT)
    text = (library / "Chart.yaml").read_text()
    (library / "Chart.yaml").write_text(text.replace("\nversion: ", "\nversion: 9"))
    shutil.rmtree(chart / "charts")
    (chart / "Chart.lock").unlink()
    assert "can't get a valid version" in helm("helm4", "dependency", "build", chart).stderr


@pytest.mark.parametrize(("group", "mode"), [("20001", 0o440), ("null", 0o444)])
def test_the_sidecar_may_read_its_web_configuration(shop, group, mode):
    """The Secret is readable by the group of the pod, or by everybody where it has none."""
    secret = 'perfsdk.sidecar.webConfig={"secretName": "exporter-web"}'
    found = pod(shop, secret, f"perfsdk.directory.fsGroup={group}")
    volumes = {one["name"]: one for one in found["volumes"]}
    expected = {"secretName": "exporter-web", "defaultMode": mode}
    assert expected == volumes["perfsdk-web-config"]["secret"]
    assert "/etc/perfsdk" == mounts(containers(found)["perfsdk-exporter"])["perfsdk-web-config"]
    assert ("fsGroup" in found["securityContext"]) == (group != "null")
