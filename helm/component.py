"""Makes a Kustomize patch of what the library adds to the Deployment of the example."""

from typing import Any

import yaml

Manifest = dict[str, Any]

SHARED_VARIABLES = ("PERFSDK_DIR", "PERFSDK_DIR_MODE")
SERVICE = {
    "name": "OTEL_SERVICE_NAME",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app.kubernetes.io/name']"}},
}
"""The service has the name that the label of its pods gives it, which is the job too."""


def component(deployment: str) -> str:
    """The patch for a Deployment whose application's container has the name that it has here."""
    template = yaml.safe_load(deployment)["spec"]["template"]
    pod = template["spec"]
    (app,) = pod["containers"]
    volumes = [one for one in pod["volumes"] if one["name"].startswith("perfsdk")]
    shared = {one["name"] for one in volumes}
    container = {
        "name": app["name"],
        "env": [SERVICE, *(one for one in app["env"] if one["name"] in SHARED_VARIABLES)],
        "volumeMounts": [one for one in app["volumeMounts"] if one["name"] in shared],
    }
    spec = {
        "securityContext": _beginning_with("fsGroup", pod["securityContext"]),
        "initContainers": pod["initContainers"],
        "containers": [container],
        "volumes": volumes,
    }
    labels = _beginning_with("perfsdk", template["metadata"]["labels"])
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "any"},  # kustomization.yaml says which
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    }
    return yaml.safe_dump(patch, sort_keys=False, width=100)


def _beginning_with(prefix: str, mapping: Manifest) -> Manifest:
    return {key: value for key, value in mapping.items() if key.startswith(prefix)}
