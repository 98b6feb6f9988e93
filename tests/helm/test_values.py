"""Values that cannot work are refused, with words that help, before anything reaches a cluster."""

import json

import pytest
import yaml

from tests.helm.rendering import CHART, EXAMPLE, LIBRARY, helm, refusal

IMAGE = 'perfsdk.sidecar.image={"repository": "registry.example/exporter"}'

WRONG = [
    "nonesuch=1",
    "podMonitor.nonesuch=1",
    'podMonitor.enabled="yes"',
    'podMonitor.interval="30x"',
    'podMonitor.histograms="all"',
    "podMonitor.targetLabels=[]",
    "podMonitor.sampleLimit=-1",
    'podMonitor.port="a name too long for a port"',
    'podMonitor.labels={"release": 1}',
    "serviceMonitor.podTargetLabels=[]",
    'serviceMonitor.scheme="ftp"',
    "rules.nonesuch=1",
    "rules.parameters.nonesuch=1",
    'rules.parameters.latencySeconds="0.25"',
    "rules.parameters.latencySeconds=0",
    "rules.parameters.latencyObjective=99",
    "rules.parameters.availabilityObjective=0.9",
    'rules.parameters.selector=""',
    'rules.parameters.selector="{job=~\\".+\\"}"',
    'rules.exclude="PerfsdkTargetDown"',
    "dashboards.nonesuch=true",
    'dashboards.enabled="auto"',
    'dashboards.label=""',
    "networkPolicy.from=[]",
    "networkPolicy.port=0",
    "demo.workers=0",
    'demo.image={"name": "x"}',
    "test.nonesuch=1",
    'extraManifests={"kind": "ConfigMap"}',
    "perfsdk.nonesuch=1",
    "perfsdk.sidecar.nonesuch=1",
    'perfsdk.sidecar.native="yes"',
    "perfsdk.sidecar.port=80",
    'perfsdk.sidecar.logLevel="loud"',
    'perfsdk.sidecar.archiveRetention="1 day"',
    'perfsdk.directory.mode="0777"',
    "perfsdk.directory.mode=770",
    'perfsdk.directory.mountPath="relative"',
    'perfsdk.directory.sizeLimit="much"',
    'perfsdk.application.env={"PERFSDK_SAMPLE_INTERVAL_SECONDS": 5}',
]


@pytest.mark.parametrize("value", WRONG)
def test_the_schema_refuses(value):
    """A name that there is not, a wrong type or a value out of bounds ends the rendering."""
    said = refusal(value)
    assert "values don't meet the specifications of the schema" in said
    outer, _, inner = value.partition("=")[0].rpartition(".")
    assert inner in said or f"'/{outer}'" in said, said


@pytest.mark.parametrize("chart", [CHART, LIBRARY], ids=lambda chart: chart.name)
def test_the_schema_knows_each_value_and_no_other(chart):
    """What values.yaml has and what the schema allows are the same names."""
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    lacking = list(unknown(values, schema, schema))
    assert [] == lacking
    assert schema["properties"].keys() - values.keys() <= {"global"}
    assert schema["additionalProperties"] is False


def unknown(values, schema, root, path=""):
    """The paths of values for which the schema has no property."""
    schema = resolved(schema, root)
    for name, value in values.items():
        known = schema.get("properties", {})
        if "properties" in schema and name not in known:
            yield f"{path}{name}"
        elif isinstance(value, dict) and name in known:
            yield from unknown(value, known[name], root, f"{path}{name}.")


def resolved(schema, root):
    """The schema that a reference, or the first of several that all must hold, stands for."""
    while "$ref" in schema or "allOf" in schema:
        schema = schema["allOf"][0] if "allOf" in schema else schema
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_global_values_are_allowed():
    """A chart above may hand down its `global` values to this one and to the library."""
    assert "" == refusal('global={"region": "eu"}', IMAGE)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (("demo.enabled=true", IMAGE), "build the target demo of exporter/Dockerfile"),
        (
            ("demo.enabled=true", 'demo.image={"repository": "registry.example/demo"}'),
            "perfsdk.sidecar.image.repository is empty: build exporter/Dockerfile",
        ),
        (('test.url="http://shop:8979/metrics"',), "test.image is empty"),
    ],
)
def test_an_image_that_is_not_named_is_asked_for(sets, words):
    """There is no image that everybody could pull; what to build is said in a line."""
    assert words in refusal(*sets)


def test_the_library_is_named_when_it_is_missing(tmp_path):
    """A chart that includes a template without the values of the library is told what to add."""
    chart = tmp_path / "shop"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 0.1.0}")
    for path in (LIBRARY / "templates").iterdir():
        (chart / "templates" / path.name).write_text(path.read_text())
    (chart / "templates" / "pod.yaml").write_text('{{ include "perfsdk.env" . }}')
    done = helm("helm4", "template", "shop", chart)
    assert "perfsdk-lib is no dependency of this chart: add it to Chart.yaml" in done.stderr


def notes(*sets):
    """What a person reads after the installation."""
    options = [part for one in sets for part in ("--set-json", one)]
    command = ["install", "telemetry", CHART, "--dry-run=client", *options]
    done = helm("helm4", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_the_notes_tell_why_nothing_may_be_scraped():
    """The label of kube-prometheus-stack, and scrapes that leave out init containers, are named."""
    said = notes("podMonitor.enabled=true", "rules.enabled=true")
    assert "podMonitor.labels.release=" in said
    assert "rules.labels.release=" in said
    said = notes("podMonitor.enabled=false", "rules.enabled=false")
    assert "__meta_kubernetes_pod_container_init" in said
    assert "--api-versions monitoring.coreos.com/v1" in notes()


def test_the_notes_are_silent_about_what_is_right():
    """With the labels set nobody is told to set them."""
    label = '{"release": "stack"}'
    said = notes(
        "podMonitor.enabled=true",
        "rules.enabled=true",
        f"podMonitor.labels={label}",
        f"rules.labels={label}",
    )
    assert "labels.release" not in said
    assert "WARNING" not in said
    assert "WARNING" in notes("podMonitor.enabled=true", "serviceMonitor.enabled=true")


def test_the_readmes_name_values_that_exist():
    """A value that a README shows in a table is in values.yaml."""
    for chart in (CHART, LIBRARY):
        values = yaml.safe_load((chart / "values.yaml").read_text())
        lines = (chart / "README.md").read_text().split("## Values")[1].splitlines()
        rows = [line.split("|")[1] for line in lines if line.startswith("| `")]
        names = [name.strip(" `") for row in rows for name in row.split(",") if "." in name]
        assert len(names) >= 5
        assert [] == [name for name in names if not exists(values, name)]


def exists(values, name):
    """Whether a dotted name, the last part perhaps a star, is there."""
    for part in name.removesuffix(".*").split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def test_the_example_uses_all_its_values():
    """The example's own values are all used, so nobody copies one that does nothing."""
    text = (EXAMPLE / "templates" / "deployment.yaml").read_text()
    own = yaml.safe_load((EXAMPLE / "values.yaml").read_text()).keys() - {"perfsdk"}
    assert [] == [name for name in own if f".Values.{name}" not in text]
