"""Rules and dashboards reach the cluster as they are in grafana/, and nothing drifts from there."""

import subprocess
import sys
import tarfile

import pytest
import yaml

from grafana.alerting.files import rule_files
from grafana.alerting.parameters import PARAMETERS
from helm.copies import copies, not_current, write
from tests.helm.rendering import CHART, CI, OPERATOR, ROOT, of_ci, of_kind, rendered, tool
from tests.servers import require

BOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
FULL = yaml.safe_load((CHART / "ci" / "full-values.yaml").read_text())


def groups(documents):
    """The groups of all PrometheusRules by name."""
    rules = of_kind(documents, "PrometheusRule").values()
    return {group["name"]: group for rule in rules for group in rule["spec"]["groups"]}


def built(**parameters):
    """The groups that grafana/build.py makes with these parameters, by name."""
    files = [yaml.safe_load(text) for text in rule_files(parameters).values()]
    return {group["name"]: group for file in files for group in file["groups"]}


def test_the_rules_are_those_of_grafana():
    """With the defaults the cluster gets what is in grafana/rules, to the last character."""
    assert built() == groups(of_ci("helm4", "default", *OPERATOR))


def test_the_parameters_have_the_same_names_and_defaults():
    """Each parameter of the rules is a value of the chart, with the same default."""
    expected = {parameter.name: parameter.default for parameter in PARAMETERS}
    assert expected == VALUES["rules"]["parameters"]


def test_parameters_reach_the_rules():
    """With other values the rules are those that grafana/build.py makes of the same values."""
    expected = built(**FULL["rules"]["parameters"])
    for group in expected.values():
        group["rules"] = [rule for rule in group["rules"] if not is_excluded(rule)]
        for rule in group["rules"]:
            if "alert" in rule:
                rule["labels"] |= FULL["rules"]["alertLabels"]
    assert expected == groups(of_ci("helm4", "full"))


def is_excluded(rule):
    """Whether the full case leaves the alert out."""
    return rule.get("alert") in FULL["rules"]["exclude"]


@pytest.mark.parametrize("case", ["default", "full"])
def test_prometheus_loads_the_rules(case, tmp_path):
    """promtool finds the rules of the cluster right, and two of a kind nowhere."""
    promtool = require("promtool")
    files = []
    for name, rule in of_kind(of_ci("helm4", case, *OPERATOR), "PrometheusRule").items():
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", *files],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (0, 3) == (done.returncode, done.stdout.count("SUCCESS")), done.stdout + done.stderr


@pytest.mark.parametrize("case", CI)
def test_every_dashboard_is_there_byte_by_byte(case):
    """Each board is in a ConfigMap of its own, untouched by Helm's templates."""
    maps = of_kind(of_ci("helm4", case), "ConfigMap").values()
    found = {}
    for one in maps:
        if any(name.endswith(".json") for name in one.get("data", {})):
            ((name, text),) = one["data"].items()
            found[name] = text
    assert {path.name: path.read_text() for path in BOARDS} == found
    assert len(BOARDS) >= 8


def test_grafana_finds_the_dashboards():
    """ConfigMaps have the label and the folder that Grafana's sidecar looks for."""
    for one in of_kind(of_ci("helm4", "default"), "ConfigMap").values():
        assert "1" == one["metadata"]["labels"]["grafana_dashboard"]
        assert {"grafana_folder": "perfsdk"} == one["metadata"]["annotations"]
    boards = of_kind(of_ci("helm4", "full"), "ConfigMap")
    own = boards["telemetry-dashboard-service"]["metadata"]
    assert ("yes", "platform") == (own["labels"]["dashboards"], own["labels"]["team"])
    assert "grafana" == own["namespace"]
    assert "Python" == own["annotations"]["k8s-sidecar-target-directory"]


def test_dashboards_fit_into_the_store_of_the_cluster():
    """A ConfigMap has less than the 1 MiB that Kubernetes takes."""
    assert max(path.stat().st_size for path in BOARDS) < 2**20


def test_nothing_has_drifted():
    """What the charts have copied is what it was copied from."""
    done = subprocess.run(
        [sys.executable, ROOT / "helm" / "build.py", "--check"], check=False, capture_output=True
    )
    assert (0, b"") == (done.returncode, done.stdout), done.stdout + done.stderr


def test_drift_is_named():
    """A copy of which the original changed or went away is named as a person would look for it."""
    wanted = copies()
    changed, gone, *_ = sorted(path for path in wanted if path.parent.name == "dashboards")
    wanted[changed] = ROOT / "README.md"
    del wanted[gone]
    names = [path.relative_to(ROOT).as_posix() for path in (changed, gone)]
    assert sorted(names) == not_current(wanted)


def test_writing_makes_what_is_checked(tmp_path, monkeypatch):
    """What `build.py` writes into empty folders is current, and what is too much goes away."""
    monkeypatch.setattr("helm.copies.ROOT", tmp_path)
    monkeypatch.setattr("helm.copies.FOLDERS", (tmp_path / "dashboards",))
    original = BOARDS[0]
    wanted = {tmp_path / "dashboards" / original.name: original}
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "old.json").write_text("{}")
    assert [f"dashboards/{name}" for name in sorted(["old.json", original.name])] == not_current(
        wanted
    )
    write(wanted)
    assert [] == not_current(wanted)


def test_the_packaged_chart_has_all_that_it_renders(tmp_path):
    """`helm package` takes dashboards, rules and the library along, and nothing of the cases."""
    command = [tool("helm4"), "package", CHART, "--destination", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    (package,) = tmp_path.glob("*.tgz")
    assert rendered("helm4", CHART, *OPERATOR) == rendered("helm4", package, *OPERATOR)
    with tarfile.open(package) as packed:
        assert not [name for name in packed.getnames() if "/ci/" in name]
