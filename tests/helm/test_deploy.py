"""What deploy/ has for Docker Compose, Kustomize and the demo fits together and works."""

import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from perfsdk_exporter.flags import make_parser
from tests.helm import restricted
from tests.helm.rendering import ROOT, containers, tool
from tests.servers import HOST, free_port, http_get, require, start_process, wait_until

COMPOSE = ROOT / "deploy" / "compose"
DEMO = ROOT / "deploy" / "demo"
KUBERNETES = ROOT / "deploy" / "kubernetes"
OF_OURS = ("shop", "load", "exporter")


@pytest.fixture(scope="module")
def compose():
    """The content of compose.yaml."""
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


def binds(service):
    """Files and folders that a service mounts, and where."""
    pairs = [volume.split(":")[:2] for volume in service.get("volumes", [])]
    return {target: COMPOSE / source for source, target in pairs if source.startswith(".")}


def test_what_compose_mounts_exists(compose):
    """No service is started with an empty folder in the place of its configuration."""
    found = [path for service in compose["services"].values() for path in binds(service).values()]
    assert len(found) == 5
    assert [] == [path for path in found if not path.exists()]
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert compose["volumes"].keys() == named


def test_compose_is_for_this_machine_alone(compose):
    """Every port is open to the machine itself and to nobody else."""
    ports = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert 4 == len(ports)
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_compose_builds_what_the_dockerfile_has(compose):
    """Context, file and targets exist."""
    dockerfile = (ROOT / "exporter" / "Dockerfile").read_text()
    for name in OF_OURS:
        build = compose["services"][name]["build"]
        assert ROOT == (COMPOSE / build["context"]).resolve()
        assert (ROOT / build["dockerfile"]).is_file()
        assert f" AS {build['target']}\n" in dockerfile


def test_services_of_ours_have_no_rights(compose):
    """No capability, no new privileges, no file system to write to but what they share."""
    for name in OF_OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert ["ALL"] == service["cap_drop"]
        assert ["no-new-privileges:true"] == service["security_opt"]
        assert service.get("user", "65532:65532").split(":")[0] != "0"


def test_compose_shares_the_directory(compose):
    """Application and exporter mean one directory, in a volume whose group both have."""
    shop, exporter = (compose["services"][name] for name in ("shop", "exporter"))
    assert shop["volumes"] == exporter["volumes"]
    directory = shop["environment"]["PERFSDK_DIR"]
    options = vars(make_parser({}).parse_args(exporter["command"]))
    assert directory in {str(value) for value in options.values()}
    owner = dict(
        option.partition("=")[::2]
        for option in compose["volumes"]["segments"]["driver_opts"]["o"].split(",")
    )
    assert owner["gid"] in {*shop["group_add"], shop["user"].partition(":")[2]}
    assert exporter["user"] == f"{owner['uid']}:{owner['gid']}"
    assert "0770" == shop["environment"]["PERFSDK_DIR_MODE"]
    assert "2770" == owner["mode"]


def test_prometheus_loads_what_compose_gives_it(compose, tmp_path):
    """promtool finds the configuration right, with the rules where they are mounted."""
    for target, path in binds(compose["services"]["prometheus"]).items():
        here = tmp_path / Path(target).name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, here)
    config = tmp_path / "prometheus.yml"
    done = subprocess.run(
        [require("promtool"), "check", "config", config],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "3 rule files found" in done.stdout
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert compose["services"][host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert compose["services"]["shop"]["environment"]["OTEL_SERVICE_NAME"] == job["job_name"]


def test_grafana_is_provisioned_with_what_compose_gives_it(compose):
    """Its data source is the Prometheus beside it, its folder of boards and first board exist."""
    grafana = compose["services"]["grafana"]
    mounted = binds(grafana)
    provisioned = {
        target: yaml.safe_load(path.read_text())
        for target, path in mounted.items()
        if path.is_file()
    }
    assert all(target.startswith("/etc/grafana/provisioning/") for target in provisioned)
    (source,) = [one["datasources"][0] for one in provisioned.values() if "datasources" in one]
    assert "http://prometheus:9090" == source["url"]
    (provider,) = [one["providers"][0] for one in provisioned.values() if "providers" in one]
    folder = provider["options"]["path"]
    assert len(list(mounted[folder].glob("*.json"))) >= 8
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert folder == str(home.parent)
    assert (mounted[folder] / home.name).is_file()


def test_images_of_others_are_of_a_version(compose):
    """Nobody gets another Prometheus or Grafana tomorrow than today."""
    images = {
        name: one["image"] for name, one in compose["services"].items() if name not in OF_OURS
    }
    assert {"grafana", "prometheus"} == images.keys()
    assert [] == [one for one in images.values() if "latest" in one or ":" not in one]


def test_kustomize_adds_the_sidecar():
    """The component makes of a plain Deployment one that Kubernetes and its policy accept."""
    command = [tool("kubectl"), "kustomize", KUBERNETES / "example"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (made,) = yaml.safe_load_all(done.stdout)
    (patch,) = yaml.safe_load_all((KUBERNETES / "sidecar" / "patch.yaml").read_text())
    kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
    pod, added = (one["spec"]["template"]["spec"] for one in (made, patch))
    assert [] == restricted.offences(pod)
    assert added["initContainers"] == pod["initContainers"]
    assert added["volumes"][0] in pod["volumes"]
    app = containers(pod)["app"]
    wanted = added["containers"][0]
    assert all(one in app["env"] for one in wanted["env"])
    assert wanted["volumeMounts"][0] in app["volumeMounts"]
    plain = yaml.safe_load((KUBERNETES / "example" / "deployment.yaml").read_text())
    before = containers(plain["spec"]["template"]["spec"])["app"]
    assert all(one in app["env"] for one in before["env"])
    assert before["image"] == app["image"]


def test_the_demo_has_data(perfsdk_dir, tmp_path):
    """The shop of the image serves, its load comes, the exporter shows it."""
    shop, page = (f"http://{HOST}:{free_port()}" for _ in range(2))
    environment = {
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite"),
        "UVICORN_HOST": HOST,
        "UVICORN_PORT": shop.rpartition(":")[2],
        "WEB_CONCURRENCY": "1",
    }
    exporter = [f"--dir={perfsdk_dir}", f"--web.listen-address={page.removeprefix('http://')}"]
    with (
        start_process(
            [sys.executable, DEMO / "serve.py"],
            ready=lambda: http_get(f"{shop}/health"),
            log=tmp_path / "shop.log",
            env=environment,
        ),
        start_process(
            [sys.executable, DEMO / "load.py", shop, "50"],
            ready=lambda: True,
            log=tmp_path / "load.log",
        ) as loading,
        start_process(
            [sys.executable, "-m", "perfsdk_exporter", *exporter],
            ready=lambda: http_get(f"{page}/-/ready"),
            log=tmp_path / "exporter.log",
        ),
    ):
        wait_until(lambda: 'http_route="/search"' in http_get(f"{page}/metrics"))
    assert 0 == loading.returncode, (tmp_path / "load.log").read_text()


def test_the_load_is_bounded():
    """A rate that nobody can have meant is refused with a line."""
    command = [sys.executable, DEMO / "load.py", "http://127.0.0.1:1", "1000"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert 2 == done.returncode
    assert "rate" in done.stderr
