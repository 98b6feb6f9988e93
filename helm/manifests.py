"""Renders the charts into plain manifests, for those who have no Helm."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from helm.copies import CHART, LIBRARY, ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
EXAMPLE = ROOT / "helm" / "examples" / "shop"

_HEAD = "# Written by python helm/build.py --helm PROGRAM: change helm/ and run it.\n"
# Nobody but Helm itself may say that an object is Helm's.
_OF_HELM = re.compile(
    r"^ *(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)\n", re.MULTILINE
)
_SOURCE = re.compile(r"^# Source: .*\n", re.MULTILINE)

_SERVICE = "the-label-of-the-pod"
_SERVICE_OF_POD = (
    "valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app.kubernetes.io/name']\"}}"
)
_PATCH_VALUES = f"""\
perfsdk:
  service: {_SERVICE}
  sidecar: {{image: {{repository: registry.example/perfsdk-exporter}}}}
"""
_PATCH = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: any
spec:
  template:
    metadata:
      labels:
        {{- include "perfsdk.podLabels" . | nindent 8 }}
    spec:
      securityContext:
        {{- include "perfsdk.podSecurityContext" . | nindent 8 }}
      initContainers:
        {{- include "perfsdk.initContainers" . | nindent 8 }}
      containers:
        - name: app
          env:
            {{- include "perfsdk.env" . | nindent 12 }}
          volumeMounts:
            {{- include "perfsdk.volumeMount" . | nindent 12 }}
      volumes:
        {{- include "perfsdk.volume" . | nindent 8 }}
"""


def manifests(helm: str) -> dict[Path, str]:
    """The text of every manifest, rendered by this program.

    Raises:
        subprocess.CalledProcessError: Helm refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        shop = example(helm, Path(folder))
        return {
            FOLDER / "shop.yaml": _rendered(helm, "shop", shop),
            FOLDER / "sidecar" / "patch.yaml": _patch(helm, shop),
            FOLDER / "monitor.yaml": _rendered(
                helm, "perfsdk", CHART, "--set", "podMonitor.enabled=true", *_only("podmonitor")
            ),
            FOLDER / "rules.yaml": _rendered(
                helm, "perfsdk", CHART, "--set", "rules.enabled=true", *_only("prometheusrule")
            ),
            FOLDER / "network-policy.yaml": _rendered(
                helm,
                "perfsdk",
                CHART,
                "--set",
                "networkPolicy.enabled=true",
                *_only("networkpolicy"),
            ),
        }


def example(helm: str, folder: Path) -> Path:
    """A copy of the example in the folder, with the library that its Chart.yaml names in it.

    Raises:
        subprocess.CalledProcessError: Helm cannot resolve the dependency.
    """
    copy = folder / EXAMPLE.relative_to(ROOT)
    unwanted = shutil.ignore_patterns("charts", "Chart.lock")
    shutil.copytree(EXAMPLE, copy, ignore=unwanted)
    shutil.copytree(LIBRARY, folder / LIBRARY.relative_to(ROOT))
    command = [helm, "dependency", "build", "--skip-refresh", str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return copy


def _patch(helm: str, shop: Path) -> str:
    """The patch of the Kustomize component, by the library's templates in the example's place."""
    for path in (shop / "templates").iterdir():
        path.unlink()
    (shop / "values.yaml").write_text(_PATCH_VALUES, encoding="utf-8")
    (shop / "templates" / "patch.yaml").write_text(_PATCH, encoding="utf-8")
    return _rendered(helm, "sidecar", shop).replace(f'value: "{_SERVICE}"', _SERVICE_OF_POD)


def _only(template: str) -> tuple[str, str]:
    return "--show-only", f"templates/{template}.yaml"


def _rendered(helm: str, release: str, chart: Path, *arguments: str) -> str:
    command = [helm, "template", release, str(chart), "--namespace", "default", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _HEAD + _OF_HELM.sub("", _SOURCE.sub("", output)).removeprefix("---\n")
