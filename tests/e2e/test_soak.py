"""Hundreds of workers live and die under two exporters that are killed too: nothing is lost."""

import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict

from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from perfsdk_exporter.formats.exposition import OPENMETRICS, TEXT
from perfsdk_exporter.formats.protobuf import PROTOBUF
from tests.exporter.decoded import decode
from tests.servers import HOST, free_port, wait_until

SECONDS = float(os.environ.get("PERFSDK_SOAK_SECONDS", "20"))
"""How long; `make soak` takes five minutes."""
WORKERS = 8
SCRAPE_SECONDS = 0.2
DURATION = "http_server_request_duration_seconds"


class Exporter:
    """A real exporter that is killed now and then and starts again at once."""

    def __init__(self, directory, log):
        self.port, self.directory, self.log = free_port(), directory, log
        self.starts = 0
        self.rss_mb = []
        self.start()

    def start(self):
        address = f"{HOST}:{self.port}"
        command = [sys.executable, "-m", "perfsdk_exporter", "--dir", str(self.directory)]
        self.process = subprocess.Popen(
            [*command, "--web.listen-address", address], stdout=self.log, stderr=self.log
        )
        self.starts += 1

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def scrape(self, accept):
        request = urllib.request.Request(f"http://{HOST}:{self.port}/metrics")
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read()

    def note_memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            (line,) = [line for line in status if line.startswith("VmRSS")]
        self.rss_mb.append(int(line.split()[1]) / 1024)


def cumulative(accept, page):
    """{(sample, labels): value} of all that may never go down."""
    if accept is PROTOBUF:
        return decode(page)
    parse = text_string_to_metric_families
    if accept is OPENMETRICS:
        parse = openmetrics_parser.text_string_to_metric_families
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(page.decode())
        if family.type in ("counter", "histogram")
        and not family.name.startswith("perfsdk_exporter")
        for sample in family.samples
    }


class Soak:
    """Workers and exporters; `highest` is what was seen of each total."""

    def __init__(self, directory, truth, log):
        self.directory, self.truth, self.log = directory, truth, log
        self.exporters = [Exporter(directory, log) for _ in range(2)]
        self.workers = []
        self.deaths = self.kills = self.scrapes = 0
        self.highest = defaultdict(float)
        self.fallen = []
        self.random = random.Random(7)

    def keep_workers(self):
        for worker in [one for one in self.workers if one.poll() is not None]:
            self.workers.remove(worker)
            self.deaths += 1
        while len(self.workers) < WORKERS:
            # Behind everything else: they take all the processors there are, and whoever scrapes
            # every 200 ms has to parse its pages beside them.
            command = ["nice", "-n", "19", sys.executable, "-m", "tests.e2e.recycled_worker"]
            command.append(str(self.truth / "worker"))
            environment = {**os.environ, "PERFSDK_DIR": str(self.directory)}
            self.workers.append(
                subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
            )

    def kill_something(self):
        if self.random.random() < 0.05:
            self.random.choice(self.workers).send_signal(signal.SIGKILL)
            self.kills += 1
        if self.random.random() < 0.04:
            self.random.choice(self.exporters).restart()

    def scrape(self, form, exporter):
        try:
            page = exporter.scrape(form.content_type)
        except (OSError, urllib.error.URLError):
            return  # it starts again
        self.scrapes += 1
        exporter.note_memory()
        for sample, value in cumulative(form, page).items():
            if value < self.highest[sample]:
                self.fallen.append((form.media_type, sample, self.highest[sample], value))
            self.highest[sample] = max(self.highest[sample], value)

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < deadline:
            began = time.monotonic()
            self.keep_workers()
            self.kill_something()
            turn += 1
            self.scrape((TEXT, OPENMETRICS, PROTOBUF)[turn % 3], self.exporters[turn % 2])
            threading.Event().wait(max(0.0, began + SCRAPE_SECONDS - time.monotonic()))

    def end_workers(self):
        for worker in self.workers:
            worker.wait(timeout=60)

    def end(self):
        for process in [*self.workers, *(one.process for one in self.exporters)]:
            process.kill()
            process.wait()


def requests_of(truth):
    """How many requests all workers have begun, and how many they have ended."""
    files = [path.read_bytes() for path in truth.iterdir()]
    counts = [struct.unpack("<QQ", file) for file in files if file]  # else killed as it began
    return sum(began for began, _ in counts), sum(ended for _, ended in counts)


def counted(exporter):
    """The number of requests on the page."""
    page = cumulative(TEXT, exporter.scrape(TEXT.content_type))
    return sum(value for (name, _), value in page.items() if name == f"{DURATION}_count")


def test_nothing_is_lost_and_nothing_goes_down(perfsdk_dir, tmp_path):
    """Totals never fall on any page of any exporter, and are exact at the end."""
    truth = tmp_path / "truth"
    truth.mkdir()
    with (tmp_path / "log").open("wb") as log:
        soak = Soak(perfsdk_dir, truth, log)
        try:
            soak.run(SECONDS)
            soak.end_workers()
            began, ended = requests_of(truth)
            one, other = soak.exporters
            wait_until(lambda: counted(one) == counted(other), message="both pages")
            # A request that was being served when its worker was killed may be counted or not.
            assert ended <= counted(one) <= began
            assert began - ended <= soak.kills
            wait_until(
                lambda: counted(one) and not list(perfsdk_dir.glob("*.seg")),
                message="all segments are in the archive",
            )
            assert ended <= counted(other) <= began
            assert len(list(perfsdk_dir.iterdir())) <= 2 + WORKERS
            assert not soak.fallen
        finally:
            soak.end()
    print(
        f"{soak.deaths} workers ended, {soak.kills} killed, {one.starts + other.starts - 2} kills"
        f" of exporters, {soak.scrapes} scrapes, {ended} to {began} requests, memory at most"
        f" {max(one.rss_mb + other.rss_mb):.0f} MB"
    )
    assert soak.deaths >= SECONDS / 2
    assert soak.scrapes >= SECONDS
    for exporter in soak.exporters:
        half = len(exporter.rss_mb) // 2
        assert max(exporter.rss_mb[half:]) <= max(exporter.rss_mb[:half]) + 20
