"""The servers of deploy/scale share pods, record what they should, and send it on."""

import json
import re
import subprocess
from contextlib import ExitStack

import pytest
import yaml

from perfsdk.catalog import HTTP_SERVER_REQUEST_DURATION, WORKERS
from perfsdk.testing import Recording
from tests.helm.rendering import CHART, ROOT, rendered
from tests.helm.scaled import (
    RULES,
    SCALE,
    SHARDS,
    Pod,
    configuration,
    start_pods,
    start_shards,
    write_rules,
)
from tests.servers import http_get, query, require, start_prometheus, wait_until

SERVICES, EACH = ("basket", "catalog", "checkout", "search"), 3
BUCKETS = f"{HTTP_SERVER_REQUEST_DURATION.name}_bucket"
RECORDED_BUCKETS = f"job_route_le:{BUCKETS}:rate5m"
AGENT = "--enable-feature=agent"
RECEIVER = "--web.enable-remote-write-receiver"


@pytest.fixture(scope="module")
def pods(tmp_path_factory):
    """Pods of four services, in which requests are recorded."""
    with Recording(tmp_path_factory.mktemp("recorded")) as recording:
        recording.recorder.gauge(WORKERS).set((), 1.0)
        recording.recorder.histogram(HTTP_SERVER_REQUEST_DURATION)["GET", "/", "200", ""].observe(1)
        log = tmp_path_factory.mktemp("log") / "exporter.log"
        with start_pods(recording.directory, SERVICES, EACH, log) as started:
            yield started


@pytest.fixture(scope="module")
def by_service(pods, tmp_path_factory):
    """The shards of shard.yml, and the store they write to."""
    with ExitStack() as stack:
        store = stack.enter_context(
            start_prometheus(tmp_path_factory.mktemp("store"), [], "2s", flags=[RECEIVER])
        )
        yield (
            stack.enter_context(
                start_shards("shard.yml", pods, tmp_path_factory.mktemp, store.url)
            ),
            store,
        )


@pytest.fixture(scope="module")
def by_pod(pods, tmp_path_factory):
    """The agents of agent.yml, and the store they write to, which evaluates the rules."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("store")
        rules = write_rules(folder / "rules")
        store = stack.enter_context(
            start_prometheus(folder, [], "2s", rule_files=rules, flags=[RECEIVER])
        )
        agents = start_shards("agent.yml", pods, tmp_path_factory.mktemp, store.url, AGENT)
        yield stack.enter_context(agents), store


def shared_targets(servers, pods):
    """The pods that each server scrapes, by service, once each pod is scraped by one."""
    wanted = {(pod.service, pod.address) for pod in pods if pod.port_name == "perfsdk-metrics"}
    assert len(wanted) == len(SERVICES) * EACH
    shares = []

    def all_are_found():
        shares[:] = map(_targets, servers)
        return set.union(*shares) >= wanted

    wait_until(all_are_found, 60, "all pods among the targets")
    assert wanted == set.union(*shares)
    return shares


def _targets(server):
    answer = json.loads(http_get(f"{server.url}/api/v1/targets"))
    labels = [target["labels"] for target in answer["data"]["activeTargets"]]
    return {(one["job"], one["instance"]) for one in labels}


def workers(store):
    """What the store knows of workers, by service, as the rules recorded it."""
    found = query(store.url, "job:perfsdk_workers:sum")
    return {sample.labels["job"]: sample.value for sample in found}


def names(store):
    """Names of all series of a store."""
    return set(json.loads(http_get(f"{store.url}/api/v1/label/__name__/values"))["data"])


@pytest.mark.parametrize(("name", "flags"), [("shard.yml", []), ("agent.yml", ["--agent"])])
def test_prometheus_accepts_the_files(name, flags, tmp_path):
    """promtool finds both files right, the one for agents as a file of an agent."""
    path = configuration(name, 0, [Pod("127.0.0.1:80", "shop")], tmp_path)
    command = [require("promtool"), "check", "config", *flags, path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shards_share_the_pods(by_service, by_pod, pods):
    """No pod is scraped by two servers, all by one of them, and another port of a pod by none.

    Which services go together is told by their names; which addresses do, by ports of chance.
    """
    for servers, _ in (by_service, by_pod):
        one, other = shared_targets(servers, pods)
        assert one.isdisjoint(other)
    assert all(shared_targets(by_service[0], pods))


def test_a_service_is_on_one_shard(by_service, pods):
    """Sharded by service, a rule on a server sees all pods of the service."""
    one, other = ({job for job, _ in share} for share in shared_targets(by_service[0], pods))
    assert one.isdisjoint(other)


def test_the_store_has_whole_services(by_service, by_pod):
    """What is recorded of a service counts all of its pods, whoever scrapes them."""
    wanted = dict.fromkeys(SERVICES, float(EACH))
    for _, store in (by_service, by_pod):
        wait_until(lambda store=store: workers(store) == wanted, 60, "workers of all services")


def test_a_server_sends_only_what_it_recorded(by_service):
    """Series of pods stay on the shards; the store gets some for each service."""
    shards, store = by_service
    wait_until(lambda: RECORDED_BUCKETS in names(store), 60, "recorded buckets in the store")
    assert BUCKETS in set.union(*map(names, shards))
    unwanted = re.compile("(?!job|slo:|sloth_slo_info|ALERTS|up$)")
    assert [] == [name for name in sorted(names(store)) if unwanted.match(name)]


def test_an_agent_sends_what_the_rules_read(by_pod):
    """Buckets of all pods reach the store, and are recorded there."""
    _, store = by_pod
    instances = f"count(count by (instance) ({BUCKETS})) == {len(SERVICES) * EACH}"
    wait_until(lambda: query(store.url, instances), 60, "all pods in the store")
    wait_until(lambda: RECORDED_BUCKETS in names(store), 60, "recorded buckets")


def relabelings(name):
    """What a file of deploy/scale leaves out before it sends."""
    (write,) = yaml.safe_load((SCALE / name).read_text())["remote_write"]
    (relabeling,) = write["write_relabel_configs"]
    return relabeling


def test_everything_recorded_is_kept():
    """The expression by which a server keeps series matches whatever the rules record."""
    kept = relabelings("shard.yml")
    assert "keep" == kept["action"]
    recorded = {
        rule["record"]
        for file in RULES.glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    assert len(recorded) > 20
    assert set() == {name for name in recorded if not re.fullmatch(kept["regex"], name)}


def test_nobody_reads_what_an_agent_drops():
    """No dashboard and no rule has the name of a series that agents leave out."""
    dropped = relabelings("agent.yml")
    assert "drop" == dropped["action"]
    readers = [*RULES.glob("*.yaml"), *(ROOT / "grafana" / "dashboards").glob("*.json")]
    found = {
        name
        for file in readers
        for name in re.findall(r"\w+_bucket", file.read_text())
        if re.fullmatch(dropped["regex"], name)
    }
    assert set() == found


def test_the_operator_does_the_same():
    """Its shards are as many as the file has, hash the same labels and send the same series."""
    server = yaml.safe_load((SCALE / "prometheus.yaml").read_text())["spec"]
    (write,) = server["remoteWrite"]
    (kept,) = write["writeRelabelConfigs"]
    assert relabelings("shard.yml")["regex"] == kept["regex"]
    assert len(SHARDS) == server["shards"]
    file = yaml.safe_load((SCALE / "shard.yml").read_text())["scrape_configs"][0]
    (by,) = [one for one in file["relabel_configs"] if one.get("action") == "hashmod"]
    assert len(SHARDS) == by["modulus"]
    objects = rendered("helm4", CHART, "--values", SCALE / "helm-values.yaml")
    (monitor,) = [one for one in objects if one["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    wanted = {"sourceLabels": by["source_labels"], "targetLabel": "__tmp_hash"}
    assert [wanted] == endpoint["relabelings"]
    labels = monitor["metadata"]["labels"]
    assert server["podMonitorSelector"]["matchLabels"].items() <= labels.items()
