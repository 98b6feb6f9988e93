"""Runs the servers of deploy/scale on this machine: pods are addresses of the loopback network."""

import re
import sys
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import yaml

from tests.helm.rendering import ROOT
from tests.servers import HOST, Server, free_port, http_get, require, start_process

SCALE = ROOT / "deploy" / "scale"
RULES = ROOT / "grafana" / "rules"
SHARDS = (0, 1)
INTERVAL = "2s"
"""Of scrapes and rules, so that a test need not wait long."""

META = "__meta_kubernetes_"
POD_LABEL = f"{META}pod_label_app_kubernetes_io_name"
PORT_NAME = f"{META}pod_container_port_name"


class Pod(NamedTuple):
    """A pod as Kubernetes tells of it: its address, its service, and what its port is called."""

    address: str
    service: str
    port_name: str = "perfsdk-metrics"

    def target(self):
        """The pod for a server that has no Kubernetes to ask."""
        labels = {
            f"{META}namespace": "shops",
            f"{META}pod_name": f"{self.service}-{self.address}",
            POD_LABEL: self.service,
            PORT_NAME: self.port_name,
        }
        return {"targets": [self.address], "labels": labels}


@contextmanager
def start_pods(directory, services, each, log):
    """A real exporter that serves every pod: `each` pods of each service, two of other ports."""
    port = free_port()
    names = [service for service in services for _ in range(each)]
    pods = [Pod(f"127.0.0.{n}:{port}", name) for n, name in enumerate(names, 1)]
    args = [sys.executable, "-m", "perfsdk_exporter", "--dir", directory]
    args += [f"--web.listen-address={pod.address}" for pod in pods]
    ready = lambda: http_get(f"http://{HOST}:{port}/-/ready")  # noqa: E731 - a name for the next line
    with start_process(args, ready=ready, log=log):
        yield [*pods, *(Pod(pod.address, pod.service, "http") for pod in pods[:2])]


def configuration(name, shard, pods, folder, receiver="http://127.0.0.1:1"):
    """Writes a file of deploy/scale for this machine, and returns its path.

    Pods take the place of Kubernetes, which Debian's Prometheus is built without; intervals are
    short; the store is `receiver`. All else is as it is there.
    """
    text = (SCALE / name).read_text()
    assert "$(SHARD)" in text
    made = yaml.safe_load(text.replace("$(SHARD)", str(shard)))
    made["global"] |= {key: INTERVAL for key in made["global"] if key.endswith("_interval")}
    (scrape,) = made["scrape_configs"]
    assert [{"role": "pod", "label": "perfsdk-sidecar=true"}] == scrape.pop(
        "kubernetes_sd_configs"
    )[0]["selectors"]
    scrape["static_configs"] = [pod.target() for pod in pods]
    (write,) = made["remote_write"]
    write["url"] = f"{receiver}/api/v1/write"
    if "rule_files" in made:
        write_rules(folder / "perfsdk")
    path = folder / name
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


def write_rules(folder):
    """The committed rules; what costs much is evaluated as often as the rest."""
    folder.mkdir()
    for file in RULES.glob("*.yaml"):
        text = re.sub(r'interval: "?\dm"?', f'interval: "{INTERVAL}"', file.read_text())
        (folder / file.name).write_text(text)
    return sorted(folder.iterdir())


@contextmanager
def start_shards(name, pods, make_folder, receiver, *flags):
    """The servers of a file of deploy/scale, one for each shard."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_start(name, shard, pods, make_folder(name), receiver, *flags))
            for shard in SHARDS
        ]


@contextmanager
def _start(name, shard, pods, folder, receiver, *flags):
    port = free_port()
    url = f"http://{HOST}:{port}"
    args = [
        require("prometheus"),
        f"--config.file={configuration(name, shard, pods, folder, receiver)}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
        *(flags or [f"--storage.tsdb.path={folder / 'data'}"]),
        *([f"--storage.agent.path={folder / 'data'}"] if flags else []),
    ]
    log = folder / "prometheus.log"
    with start_process(args, ready=lambda: http_get(f"{url}/-/ready"), log=log) as process:
        yield Server(port, url, process)
