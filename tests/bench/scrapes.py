"""What a scrape of many workers costs: ours beside prometheus_client's, with dead workers too."""

import os
import re
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench.child import in_child
from tests.bench.figures import (
    OURS,
    Goal,
    Report,
    goal_of,
    is_shown,
    problem,
    ratio,
    spread,
    table,
    turns,
)
from tests.bench.rounds import interleave, memory_directory
from tests.e2e.running import start_exporter

PROMETHEUS = "prometheus_client multi-process"

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
NAME = "http_server_request_duration_seconds"
LABELS = ("http_request_method", "http_route", "http_response_status_code")
NATIVE_BLOCKS = (-7, -6, -5)
"""8 to 44 ms: about as many native buckets as a route of even speed hits."""

SIZES = {"small": (4, 100), "middle": (8, 1000), "large": (16, 5000)}
"""Live workers, and histogram series with 15 buckets in each of them."""
DEAD = 500
DEAD_SIZE = (8, 200)
BESIDE_DEAD = " beside the dead"

FORMATS = (
    "text/plain",
    "application/openmetrics-text",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
)

ALL, SOME, NONE = "all changed", "1 % changed", "nothing changed"


class Worker:
    """A segment with native buckets, as the SDK writes it."""

    def __init__(self, directory, series):
        from perfsdk.catalog import Metric
        from perfsdk.store.writer import Writer

        metric = Metric(
            name=NAME, kind="histogram", unit="seconds", help="Durations.", labels=LABELS,
            bounds=BOUNDS, native=True,
        )  # fmt: skip
        self.writer = Writer(directory, size_bytes=16 << 20)
        self.cells = []
        for labels in label_values(series):
            cell, blocks = self.writer.series(metric, labels), {}
            for block in NATIVE_BLOCKS:
                self.writer.block(cell, block, blocks)
            self.cells.append((cell, blocks))
        self.observe()

    def observe(self, every=1):
        values = self.writer.values
        for cell, blocks in self.cells[::every]:
            for block in blocks.values():
                values[cell] += 0.02
                values[cell + 4] += 1.0
                values[block + 3] += 1.0


def label_values(series):
    """As many as there are series."""
    return [("GET", f"/api/v1/shops/{i}/items/{{item_id}}", "200") for i in range(series)]


def prepare_perfsdk(workers, series, dead):
    from perfsdk_exporter.collection import Collector
    from perfsdk_exporter.formats.exposition import TEXT
    from perfsdk_exporter.location import Location
    from perfsdk_exporter.reaping.reaper import Reaper

    directory = Path(os.environ["PERFSDK_DIR"])
    living = [Worker(directory, series) for _ in range(workers)]
    collector = Collector(Location(str(directory), None))

    def scrape():
        start = time.perf_counter()
        size = sum(map(len, TEXT.render(collector.collect().families)))
        assert size > series * 1000
        return (time.perf_counter() - start) * 1000

    first = scrape()
    for _ in range(dead):
        Worker(directory, series).writer.close()
    reaper = Reaper()
    while reaper.reap(directory):
        pass  # as the exporter does it beside the scrapes
    scrape()

    def turn():
        figures = {"first": first}
        for what, every in ((ALL, 1), (SOME, 100)):
            for worker in living:
                worker.observe(every)
            figures[what] = scrape()
        figures[NONE] = scrape()
        return figures

    return turn


def prepare_prometheus(workers, series, dead):
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    for pid in range(workers + dead):
        write_prometheus(pid, series)

    def turn():
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        start = time.perf_counter()
        assert len(generate_latest(registry)) > series * 1000
        return {ALL: (time.perf_counter() - start) * 1000}

    return turn


def write_prometheus(pid, series):
    """The file of one worker, as prometheus_client writes it."""
    from prometheus_client.mmap_dict import MmapedDict, mmap_key

    file = MmapedDict(f"{os.environ['PROMETHEUS_MULTIPROC_DIR']}/histogram_{pid}.db")
    for values in label_values(series):
        file.write_value(mmap_key(NAME, f"{NAME}_sum", LABELS, values, "Durations."), 0.06, 0.0)
        for bound in (*map(str, BOUNDS), "+Inf"):
            names, own = (*LABELS, "le"), (*values, bound)
            key = mmap_key(NAME, f"{NAME}_bucket", names, own, "Durations.")
            file.write_value(key, 1.0, 0.0)
    file.close()


def prepare(subject, workers, series, dead=0):
    """In a child: the files of all workers, and what reads them; `dead` ones for some subjects."""
    make = prepare_prometheus if subject.startswith(PROMETHEUS) else prepare_perfsdk
    turn = make(workers, series, dead if subject.endswith(BESIDE_DEAD) else 0)
    return turn, dict


def collect(options):
    """Three sizes, and a fourth with and without hundreds of dead workers beside."""
    samples, goals = {}, []
    rounds = options.rounds_or(2, quick=1)
    sizes = dict(list(SIZES.items())[: 2 if options.quick else 3])
    for name, (workers, series) in sizes.items():
        samples[name] = interleave(
            _start(workers=workers, series=series),
            (OURS, PROMETHEUS),
            rounds=rounds,
            turns=2 if name == "large" else 5,
            label=f"scrapes {name}",
        )
    workers, series = DEAD_SIZE
    dead = 50 if options.quick else DEAD
    samples[f"{dead} dead"] = interleave(
        _start(workers=workers, series=series, dead=dead),
        [name + beside for name in (OURS, PROMETHEUS) for beside in ("", BESIDE_DEAD)],
        rounds=rounds,
        turns=5,
        label=f"scrapes {dead} dead",
    )
    rows = [row for name in samples for row in _rows(name, samples[name])]
    text = table(["size", "", "ms (quartiles)", "least ms", "of theirs"], rows)
    if "large" in samples:
        goals += [_goal(samples["large"], ALL, 100, 60), _goal(samples["large"], SOME, 30, 200)]
        goals.append(_goal_of_memory(*SIZES["large"]))
    goals.append(_goal_of_dead(samples[f"{dead} dead"], dead))
    return Report(f"### Scrapes, reading, adding up and text\n\n{text}", goals, samples)


def _start(**arguments):
    return in_child("scrapes", multiprocess=(PROMETHEUS, PROMETHEUS + BESIDE_DEAD), **arguments)


def _rows(name, samples):
    workers, series = SIZES.get(name, DEAD_SIZE)
    size = f"{name}: {workers} x {series}"
    for subject in samples:
        if why := problem(samples[subject]):
            yield [size, subject, why]
            continue
        for key in ("first", ALL, SOME, NONE):
            figures = turns(samples, subject, key)
            if figures:
                row = [size, f"{subject}, {key}", f"{spread(figures):.1f}", f"{min(figures):.1f}"]
                other = subject.replace(OURS, PROMETHEUS)
                if other != subject and is_shown(samples, other):
                    theirs = min(turns(samples, other, ALL))
                    row.append(f"1/{theirs / min(figures):.0f}")
                yield row


def _goal(samples, key, most_ms, least_ratio):
    def judge():
        ours = spread(turns(samples, OURS, key))
        times = min(turns(samples, PROMETHEUS, ALL)) / ours.least
        met = ours.least <= most_ms or times >= least_ratio
        return f"{ours:.1f} ms, 1/{times:.0f} of prometheus_client's", met

    what = f"scrapes: 16 workers x 5,000 histograms, {key}"
    goal = f"<= {most_ms} ms, or 1/{least_ratio}"
    return goal_of(what, goal, samples, (OURS, PROMETHEUS), judge)


def _goal_of_memory(workers, series):
    """The peak of a real exporter that is asked for every format while everything changes."""
    with tempfile.TemporaryDirectory(dir=memory_directory()) as made:
        directory = Path(made, "segments")
        living = [Worker(directory, series) for _ in range(workers)]
        used = sum(path.stat().st_blocks * 512 for path in directory.iterdir()) / 1e6
        with start_exporter(directory, Path(made)) as exporter:
            for accept in FORMATS * 3:
                for worker in living:
                    worker.observe()
                assert len(page(exporter, accept)) > series * 100
            peak = memory_megabytes(exporter.process.pid, "VmHWM")
        for worker in living:
            worker.writer.close()
    what = f"scrapes: memory of the exporter, {workers} x {series}"
    measured = f"at most {peak:.0f} MB, {used:.0f} MB used by the segments"
    return Goal(what, "<= 2 x used + 80 MB", measured, peak <= 2 * used + 80)


def page(exporter, accept, encoding="identity"):
    """The body of a scrape of a real exporter, as it goes over the network."""
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    request = urllib.request.Request(f"{exporter.url}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


def memory_megabytes(pid, which):
    """What of a process is in memory now (`VmRSS`), or was at most (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+)", status)[1]) / 1e3


def _goal_of_dead(samples, dead):
    def judge():
        found = ratio(samples, OURS + BESIDE_DEAD, OURS, ALL)
        return f"{found:.2f} times as long, by minima {found.least:.2f}", found.median <= 1.1

    what = f"scrapes: after {dead} dead workers as before they lived"
    return goal_of(what, "within 10 %", samples, (OURS, OURS + BESIDE_DEAD), judge)
