"""The page has what prometheus_client's own collector would show from the same files."""

import math
import os
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, values
from prometheus_client.exposition import generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.values import MultiProcessValue, close_all_multiprocess_files

from perfsdk_exporter.multiproc.files import Buffer, UnusableError, ValuesFile
from perfsdk_exporter.multiproc.reading import MultiprocFiles

MODES = sorted(Gauge._MULTIPROC_MODES)
BOUNDS = (0.5, 1.0, 2_000_000.0)
LABELS = ("route", "shop")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory for prometheus_client's files, which are closed at the end."""
    with _directory(tmp_path / "multiproc") as made:
        yield made


@contextmanager
def _directory(path):
    path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(path))
        try:
            yield path
        finally:
            close_all_multiprocess_files()
            shutil.rmtree(path)


class Worker:
    """A process's metrics, in files of its own: one of each kind, a gauge of each mode."""

    def __init__(self, process, bounds=BOUNDS):
        with pytest.MonkeyPatch.context() as patch:
            # Children are made later, and ask for the class then.
            self.value_class = MultiProcessValue(lambda: process)
            patch.setattr(values, "ValueClass", self.value_class)
            self.registry = CollectorRegistry()
            self.metrics = {
                "counter": Counter("orders", "Orders \\ of\nall", LABELS, registry=self.registry),
                "histogram": Histogram(
                    "wait_seconds", "Waiting.", LABELS, registry=self.registry, buckets=bounds
                ),
                "summary": Summary("size_bytes", "Sizes.", LABELS, registry=self.registry),
                "plain": Counter("plain_total", "No labels.", registry=self.registry),
            }
            for mode in MODES:
                self.metrics[mode] = Gauge(
                    f"level_{mode}", mode, LABELS, registry=self.registry, multiprocess_mode=mode
                )

    def observe(self, what, labels, value):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(values, "ValueClass", self.value_class)
            metric = self.metrics[what]
            series = metric if what == "plain" else metric.labels(*labels)
            if what in ("counter", "plain"):
                series.inc(abs(value))
            elif what in ("histogram", "summary"):
                series.observe(value)
            else:
                series.set(value)


def theirs(directory):
    """What MultiProcessCollector shows: ({name: (type, help)}, {(sample, labels): value})."""
    families, samples = {}, {}
    for metric in MultiProcessCollector(None, str(directory)).collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        families[name] = metric.type, metric.documentation
        for sample in metric.samples:
            samples[sample.name, _labels(sample.labels)] = sample.value
    return families, samples


def ours(families):
    """The same of our families."""
    shown, samples = {}, {}
    for family in families:
        assert family.name not in shown
        shown[family.name] = family.kind, family.help
        for keys, value in family.values.items():
            samples[family.name, _labels(dict(zip(family.labels, keys, strict=True)))] = value
        for keys, histogram in family.histograms.items():
            labels = dict(zip(family.labels, keys, strict=True))
            bounds = (*family.bounds, math.inf) if family.kind == "histogram" else ()
            cumulated = list(accumulate(histogram.buckets))
            for bound, count in zip(bounds, cumulated, strict=family.kind == "histogram"):
                samples[f"{family.name}_bucket", _labels({**labels, "le": bound})] = count
            samples[f"{family.name}_count", _labels(labels)] = cumulated[-1]
            samples[f"{family.name}_sum", _labels(labels)] = histogram.sum
        series = family.values or family.histograms
        assert sorted(series) == list(series)
    assert sorted(shown) == list(shown)
    return shown, samples


def _labels(labels):
    bounds = {"le": float(labels["le"])} if "le" in labels else {}
    return frozenset({**labels, **bounds}.items())


def assert_same(directory, files):
    """Our page is theirs."""
    families, unreadable = files.read()
    assert [] == unreadable
    expected, actual = theirs(directory), ours(families)
    assert expected[0] == actual[0]
    assert expected[1] == actual[1]


label_values = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n{}=,é🙂'), max_size=6
)
# Eighths add up exactly, in whatever order.
numbers = st.integers(-(2**20), 2**20).map(lambda n: n / 8)
label_sets = st.lists(st.tuples(label_values, label_values), min_size=1, max_size=3)
events = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["counter", "histogram", "summary", "plain", *MODES]),
    st.integers(0, 2),
    numbers,
)
deaths = st.integers(0, 3).map(lambda worker: ("dies", worker))
steps = st.lists(st.lists(events, max_size=12) | deaths, min_size=1, max_size=8)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(label_sets=label_sets, steps=steps)
def test_the_page_is_that_of_their_collector(tmp_path_factory, label_sets, steps):
    """All types and modes, any label values, workers that die and come back, at every step."""
    with _directory(tmp_path_factory.getbasetemp() / "hypothesis-multiproc") as directory:
        files = MultiprocFiles(directory)
        workers = {}
        for step in steps:
            if step and step[0] == "dies":
                workers.pop(step[1], None)
                mark_process_dead(step[1], str(directory))
            else:
                for worker, what, labels, value in step:
                    if worker not in workers:
                        workers[worker] = Worker(worker)
                    chosen = label_sets[labels % len(label_sets)]
                    workers[worker].observe(what, chosen, value)
            assert_same(directory, files)
        assert_same(directory, MultiprocFiles(directory))


PROCESS = """
import os, signal, sys
from prometheus_client import Counter, Gauge, Histogram, Summary
number = int(sys.argv[1])
orders = Counter("orders", "Orders.", ["shop"])
wait = Histogram("wait_seconds", "Waiting.")
size = Summary("size_bytes", "Sizes.")
modes = sorted(Gauge._MULTIPROC_MODES)
levels = [Gauge(f"level_{mode}", "Level.", multiprocess_mode=mode) for mode in modes]
if os.fork():  # the child's numbers go into files of its own
    pid, status = os.wait()
else:
    number += 10
orders.labels("a").inc(number)
orders.labels(f"only {number}").inc(0.5)
for n in range(number):
    wait.observe(0.25 * n)
    size.observe(n)
for level in levels:
    level.set(number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_files_of_real_processes(directory):
    """Processes that forked and were killed left what they had counted; dead gauges go."""
    files = MultiprocFiles(directory)
    for number in (1, 2, 3):
        subprocess.run([sys.executable, "-c", PROCESS, str(number)], check=False, timeout=60)
        assert_same(directory, files)
    live = sorted(directory.glob("gauge_live*.db"))
    assert 30 == len(live)
    mark_process_dead(live[0].stem.rpartition("_")[2], str(directory))
    assert 25 == len(list(directory.glob("gauge_live*.db")))
    assert_same(directory, files)
    families = {family.name: family for family in files.read()[0]}
    assert 1 + 2 + 3 + 11 + 12 + 13 == families["orders_total"].values["a",]
    assert 6 == len(families["level_all"].values)
    assert 5 == len(families["level_liveall"].values)


BUSY = """
from prometheus_client import Counter, Gauge, Histogram
orders = Counter("orders", "Orders.", ["n"])
wait = Histogram("wait_seconds", "Waiting.", ["n"])
level = Gauge("level", "Level.", multiprocess_mode="mostrecent")
print(flush=True)
number = 0
while True:
    orders.labels(str(number // 10)).inc()
    wait.labels(str(number // 10)).observe(number % 7)
    level.set(number)
    number += 1
"""


def test_while_a_process_writes(directory):
    """A reader in the middle sees no damage, and nothing that goes down."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            files, before = MultiprocFiles(directory), {}
            while before.get(("level", frozenset()), 0.0) < 3000:
                assert process.poll() is None
                families, unreadable = files.read()
                assert [] == unreadable
                _, samples = ours(families)
                assert [] == [key for key, value in before.items() if samples[key] < value]
                before = samples
        finally:
            process.kill()
    # It may have been killed while it made a histogram, of which theirs shows a part.
    shown = ours(files.read()[0])[1]
    assert theirs(directory)[1].items() <= shown.items()


def test_what_did_not_change_is_the_same_object(directory):
    """A histogram with a new observation is another object, its neighbours are the same ones."""
    worker, files = Worker(1), MultiprocFiles(directory)
    for route in "ab":
        worker.observe("histogram", (route, ""), 1.5)
        worker.observe("summary", (route, ""), 1.5)
        worker.observe("counter", (route, ""), 1.5)

    def read():
        return {family.name: family for family in files.read()[0]}

    first, second = read(), read()
    assert all(first[name] is second[name] for name in first)
    worker.observe("histogram", ("a", ""), 0.25)
    worker.observe("histogram", ("a", "new"), 0.25)
    third = read()
    before, after = first["wait_seconds"].histograms, third["wait_seconds"].histograms
    assert before["b", ""] is after["b", ""]
    assert [0.0, 0.0, 1.0, 0.0] == before["a", ""].buckets
    assert [1.0, 0.0, 1.0, 0.0] == after["a", ""].buckets
    assert [("a", ""), ("a", "new"), ("b", "")] == list(after)
    assert first["orders_total"] is third["orders_total"]
    assert first["size_bytes"] is third["size_bytes"]


def test_a_file_that_grows(directory):
    """Keys that come later are found, also where the file outgrew its first 64 KiB."""
    worker, files = Worker(1), MultiprocFiles(directory)
    for batch in range(4):
        for number in range(100):
            worker.observe("histogram", (f"/{batch}/{number}", "x" * 100), number)
        assert_same(directory, files)
    assert (1 << 16) < (directory / "histogram_1.db").stat().st_size


def test_files_that_rest_and_wake(directory):
    """Many files that did not change for long, then one of them does, or goes away."""
    workers, files = [Worker(number) for number in range(24)], MultiprocFiles(directory)
    for worker in workers:
        worker.observe("counter", ("a", "b"), 1.0)
        worker.observe("max", ("a", "b"), 5.0)
        worker.observe("mostrecent", ("a", "b"), 5.0)
    for _ in range(4):
        workers[0].observe("counter", ("a", "b"), 1.0)
        assert_same(directory, files)
    assert len(files._quiet_names) > 60
    workers[7].observe("counter", ("a", "c"), 1.0)
    workers[7].observe("max", ("a", "b"), 7.0)
    workers[7].observe("mostrecent", ("a", "b"), 1.0)
    assert_same(directory, files)
    (directory / "counter_9.db").unlink()
    assert_same(directory, files)


def test_sums_are_rounded_once(directory):
    """A sum is math.fsum's, so no file that is added can make a counter go down."""
    amounts = [0.1 * n + 1e-9 for n in range(1, 40)] + [2.0**53, 1.0, 1e-3]
    files, previous = MultiprocFiles(directory), 0.0
    for number, amount in enumerate(amounts):
        Worker(f"w{number * 7919 % 100}").observe("plain", (), amount)
        (family,) = [f for f in files.read()[0] if f.name == "plain_total"]
        assert math.fsum(amounts[: number + 1]) == family.values[()]
        assert previous <= family.values[()]
        previous = family.values[()]


def test_values_that_are_not_finite(directory):
    """NaN and infinities pass as prometheus_client has them."""
    workers, files = [Worker(1), Worker(2)], MultiprocFiles(directory)
    for worker, value in zip(workers, (math.inf, 1.0), strict=True):
        worker.observe("plain", (), value)
        worker.observe("sum", ("a", ""), value)
        worker.observe("min", ("a", ""), -value)
    workers[0].observe("sum", ("b", ""), math.nan)
    _, samples = ours(files.read()[0])
    assert math.isnan(samples.pop(("level_sum", _labels({"route": "b", "shop": ""}))))
    _, expected = theirs(directory)
    expected.pop(("level_sum", _labels({"route": "b", "shop": ""})))
    assert expected == samples
    first, second = files.read()[0], files.read()[0]
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_names_beyond_ascii_get_underscores(directory, monkeypatch):
    """Names of metrics and labels as generate_latest writes them."""
    monkeypatch.setattr(values, "ValueClass", MultiProcessValue(lambda: 1))
    Counter("http.orders", "Orders.", ["shop.name", "ö"], registry=None).labels("a.b", "ö").inc()
    Gauge("9lives:ü", "Lives.", registry=None, multiprocess_mode="max").set(9)
    page = generate_latest(_collected(directory)).decode()
    expected = {
        (sample.name, _labels(sample.labels)): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert expected == ours(MultiprocFiles(directory).read()[0])[1]
    assert ("http_orders_total", _labels({"shop_name": "a.b", "_": "ö"})) in expected


def _collected(directory):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))
    return registry


def test_a_label_of_the_name_pid(directory, monkeypatch):
    """In a gauge it means the process, whatever the application put there."""
    monkeypatch.setattr(values, "ValueClass", MultiProcessValue(lambda: 31))
    for mode in ("all", "max"):
        gauge = Gauge(f"level_{mode}", "", ["pid"], registry=None, multiprocess_mode=mode)
        gauge.labels("mine").set(1)
    Counter("orders", "", ["pid"], registry=None).labels("mine").inc()
    assert_same(directory, MultiprocFiles(directory))


def test_a_process_with_an_underscore_has_its_whole_name(directory):
    """Where their collector shows `hos`."""
    Worker("host_7").observe("all", ("a", "b"), 1.0)
    _, samples = ours(MultiprocFiles(directory).read()[0])
    labels = _labels({"route": "a", "shop": "b", "pid": "host_7"})
    assert samples[("level_all", labels)] == 1.0


def test_processes_with_other_buckets(directory):
    """Every series has the bounds of all: theirs, and those that a series lacks add nothing."""
    one, other = Worker(1), Worker(2, bounds=(0.1, 1.0))
    one.observe("histogram", ("both", ""), 0.05)
    other.observe("histogram", ("both", ""), 0.05)
    other.observe("histogram", ("other", ""), 0.5)
    _, expected = theirs(directory)
    families, _ = MultiprocFiles(directory).read()
    shown = ours(families)[1]
    assert expected == {key: shown[key] for key in expected}
    added = {dict(labels)["le"]: value for (_, labels), value in shown.items() - expected.items()}
    assert {0.5: 0.0, 2_000_000.0: 1.0} == added
    close_all_multiprocess_files()
    (directory / "histogram_2.db").unlink()
    assert BOUNDS == next(
        f.bounds for f in MultiprocFiles(directory).read()[0] if f.name == "wait_seconds"
    )


def test_processes_with_other_labels(directory, monkeypatch):
    """A label that a process does not know is empty, and an empty one is none."""
    for process, labels in ((1, {}), (2, {"route": "a"}), (3, {"route": "", "shop": "b"})):
        monkeypatch.setattr(
            values, "ValueClass", MultiProcessValue(lambda process=process: process)
        )
        counter = Counter("orders", "", list(labels), registry=None)
        (counter.labels(**labels) if labels else counter).inc(process)
    monkeypatch.setattr(values, "ValueClass", MultiProcessValue(lambda: 4))
    Counter("orders", "", ["shop"], registry=None).labels("b").inc(4)
    (family,) = MultiprocFiles(directory).read()[0]
    assert ("route", "shop") == family.labels
    assert {("", ""): 1.0, ("", "b"): 7.0, ("a", ""): 2.0} == family.values


def test_the_same_series_with_two_help_texts(directory, monkeypatch):
    """Two registries of one process: both numbers count, the first help text is shown."""
    monkeypatch.setattr(values, "ValueClass", MultiProcessValue(lambda: 1))
    Counter("orders", "One.", registry=None).inc(1)
    Counter("orders", "Two.", registry=None).inc(2)
    assert_same(directory, MultiprocFiles(directory))


def test_of_two_modes_the_file_that_changed_last_decides(directory, monkeypatch):
    """A gauge whose mode was changed is shown by the new one; the old files are named."""
    for process, mode in ((1, "all"), (2, "max"), (3, "all")):
        monkeypatch.setattr(
            values, "ValueClass", MultiProcessValue(lambda process=process: process)
        )
        Gauge("level", mode, registry=None, multiprocess_mode=mode).set(process)
    close_all_multiprocess_files()
    files = MultiprocFiles(directory)
    for seconds, mode in ((100, "max"), (200, "all")):
        for path in directory.iterdir():
            os.utime(path, (seconds, seconds if mode in path.name else 50))
        (directory / f"counter_{seconds}.db").touch()
        families, unreadable = MultiprocFiles(directory).read()
        assert [mode] == [family.help for family in families]
        assert all(mode not in path.name and "mode" in reason for path, reason in unreadable)
        assert (2 if mode == "max" else 1) == len(unreadable)
    assert files.read()[1] == files.read()[1] != []


def test_a_missing_directory_is_empty(tmp_path):
    """No error, before it is there and after it went."""
    files = MultiprocFiles(tmp_path / "multiproc")
    assert ([], []) == files.read()
    with _directory(tmp_path / "multiproc") as directory:
        assert ([], []) == files.read()
        Worker(1).observe("plain", (), 1.0)
        assert_same(directory, files)
    assert ([], []) == files.read()


def test_a_directory_that_cannot_be_listed_is_named(tmp_path):
    """As the one thing that cannot be read."""
    (tmp_path / "file").touch()
    (families, unreadable) = MultiprocFiles(tmp_path / "file").read()
    assert [] == families
    assert [(tmp_path / "file", "Not a directory")] == unreadable


def test_files_that_are_none_of_theirs(directory, tmp_path):
    """Links, FIFOs, directories and other names are skipped and named; hidden files are not."""
    worker = Worker(1)
    worker.observe("plain", (), 1.0)
    (directory / "counter_2.db").symlink_to(directory / "counter_1.db")
    os.mkfifo(directory / "counter_3.db")
    (directory / "counter_4.db").mkdir()
    for name in ("notes.db", "counter.db", "gauge_often_1.db", "gauge_max.db", ".db", "a.txt"):
        (directory / name).touch()
    families, unreadable = MultiprocFiles(directory).read()
    assert [1.0] == [f.values[()] for f in families if f.name == "plain_total"]
    assert {
        "counter_2.db": "Too many levels of symbolic links",
        "counter_3.db": "not a regular file",
        "counter_4.db": "not a regular file",
        "notes.db": "is not named like a file of prometheus_client",
        "counter.db": "is not named like a file of prometheus_client",
        "gauge_often_1.db": "is not named like a file of prometheus_client",
        "gauge_max.db": "is not named like a file of prometheus_client",
    } == {path.name: reason for path, reason in unreadable}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user(directory):
    """Is skipped and named."""
    Worker(1).observe("plain", (), 1.0)
    os.chown(directory / "counter_1.db", 12345, 12345)
    families, unreadable = MultiprocFiles(directory).read()
    assert [] == [f for f in families if f.kind == "counter"]
    assert [("counter_1.db", "belongs to another user (12345)")] == [
        (path.name, reason) for path, reason in unreadable
    ]


@pytest.fixture
def crafted(directory):
    """Writes a file entry by entry: `crafted("counter_9.db", (key, value), ...)`."""

    def craft(name, *entries):
        written = MmapedDict(str(directory / name))
        for key, value in entries:
            written.write_value(key, value, 0.0)
        written.close()
        return directory / name

    return craft


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"__name__": "x"}, "label name '__name__' is reserved"),
        ({"": "x"}, "label name '' is reserved"),
        ({"a.b": "x", "a-b": "y"}, "orders_total has label a_b twice"),
        ({"a": "\ud800"}, "orders_total has a label value that is no Unicode"),
    ],
)
def test_series_that_no_page_can_show(crafted, directory, labels, reason):
    """Are left out and named; the file's other series are shown."""
    bad = mmap_key("orders", "orders_total", list(labels), list(labels.values()), "")
    good = mmap_key("orders", "orders_total", [], [], "")
    path = crafted("counter_9.db", (good, 2.0), (bad, 7.0))
    files = MultiprocFiles(directory)
    for _ in range(2):
        families, unreadable = files.read()
        assert [{(): 2.0}] == [family.values for family in families]
        assert [(path, f"some series are not shown: {reason}")] == unreadable


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("counter_9.db", "no json", 1.0),
        ("counter_9.db", '["orders", "orders_total", {}]', 1.0),
        ("counter_9.db", '["orders", "orders_total", ["a"], ""]', 1.0),
        ("counter_9.db", '["orders", "orders_total", {"a": 1}, ""]', 1.0),
        ("counter_9.db", '["orders", "orders", {}, ""]', 1.0),
        ("counter_9.db", '["orders", "sales_total", {}, ""]', 1.0),
        ("counter_9.db", "[" * 100_000, 1.0),
        ("histogram_9.db", '["wait", "wait_bucket", {}, ""]', 1.0),
        ("histogram_9.db", '["wait", "wait_bucket", {"le": "low"}, ""]', 1.0),
        ("histogram_9.db", '["wait", "wait_bucket", {"le": "1.0"}, ""]', -1.0),
        ("histogram_9.db", '["wait", "wait_bucket", {"le": "1.0"}, ""]', 0.5),
        ("summary_9.db", '["wait", "wait_count", {}, ""]', math.nan),
        ("summary_9.db", '["wait", "wait_count", {}, ""]', 1e300),
    ],
)
def test_a_key_or_count_that_nobody_writes_costs_the_file(crafted, directory, name, key, value):
    """It is skipped and named, the page has the others, and all of it once it is right again."""
    Worker(1).observe("plain", (), 1.0)
    expected = ours(MultiprocFiles(directory).read()[0])
    path = crafted(name, (key, value))
    files = MultiprocFiles(directory)
    families, unreadable = files.read()
    assert expected == ours(families)
    assert [path] == [file for file, _ in unreadable]
    assert "garbled" in unreadable[0].reason
    path.unlink()
    assert_same(directory, files)


def test_a_known_file_that_becomes_wrong(directory):
    """Its numbers leave the page, and are back when it is right again."""
    worker, other, files = Worker(1), Worker(2), MultiprocFiles(directory)
    worker.observe("histogram", ("a", "b"), 1.0)
    other.observe("histogram", ("a", "b"), 1.0)
    assert_same(directory, files)
    path = directory / "histogram_1.db"
    intact = path.read_bytes()
    for size in (4, 8, 64, 200):
        os.truncate(path, size)
        families, unreadable = files.read()
        assert ["histogram_1.db"] * (size >= 8) == [file.name for file, _ in unreadable]
        assert [1.0] == [sum(h.buckets) for f in families for h in f.histograms.values()]
        path.write_bytes(intact)
        assert_same(directory, files)


def test_another_file_of_the_same_name(directory, crafted):
    """A process with a number that was used before: what the old one counted is gone."""
    keys = [mmap_key("orders", "orders_total", ["a"], [value], "") for value in "xyz"]
    files = MultiprocFiles(directory)
    for old, new in ((keys, keys[::-1]), (keys[:2], keys[1:]), (keys, keys[:1]), (keys, [])):
        crafted("counter_1.db", *((key, 1.0) for key in old))
        assert_same(directory, files)
        (directory / "counter_1.db").unlink()
        crafted("counter_1.db", *((key, 5.0) for key in new))
        assert_same(directory, files)
        (directory / "counter_1.db").unlink()


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_harm_nobody(crafted, directory, data):
    """Bits flipped, cut off or random bytes: no error, and the other files' numbers are right."""
    for path in directory.iterdir():
        path.unlink()
    healthy = mmap_key("healthy", "healthy_total", [], [], "")
    crafted("counter_1.db", (healthy, 3.0))
    bucket = mmap_key("wait", "wait_bucket", ["shop", "le"], ["é", "+Inf"], "Waiting.")
    total = mmap_key("wait", "wait_sum", ["shop"], ["é"], "Waiting.")
    victim = crafted("histogram_2.db", (total, 1.0), (bucket, 4.0))
    files = MultiprocFiles(directory)
    assert_same(directory, files)
    content = bytearray(victim.read_bytes()[:400])
    if data.draw(st.booleans()):
        content = bytearray(data.draw(st.binary(max_size=400)))
    for bit in (
        data.draw(st.lists(st.integers(0, len(content) * 8 - 1), max_size=4)) if content else ()
    ):
        content[bit // 8] ^= 1 << bit % 8
    victim.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for reader in (files, MultiprocFiles(directory)):
        families, _ = reader.read()
        assert [3.0] == [f.values[()] for f in families if f.name == "healthy_total"]
        ours(families)


def test_a_value_beside_an_older_time_is_read_again(directory):
    """Of a `mostrecent` gauge value and time are stored one after the other."""
    Worker(1).observe("mostrecent", ("a", "b"), 5.0)

    class Torn(Buffer):
        """The first look sees the old value beside the new time."""

        looks = 0

        def take(self, fd, used):
            data = super().take(fd, used)
            self.looks += 1
            if self.looks == 1 and len(data) > 16:
                data = memoryview(bytearray(data))
                data[-16:-8] = bytes(8)
            return data

    file, torn = ValuesFile(directory / "gauge_mostrecent_1.db"), Torn()
    file.refresh(torn, directory.stat())
    assert [5.0] == file.values.tolist()
    assert 3 == torn.looks


def test_an_entry_that_is_not_there_yet_is_looked_at_again(directory):
    """Some processors show that the file is in use before they show what it holds."""
    Worker(1).observe("plain", (), 5.0)

    class Early(Buffer):
        """Shows zeros in the place of entries, for a while."""

        looks = 0

        def take(self, fd, used):
            data = super().take(fd, used)
            self.looks += 1
            return (
                data
                if self.looks > self.early
                else memoryview(bytes(data[:8]).ljust(len(data), b"\0"))
            )

    early = Early()
    early.early = 2
    file = ValuesFile(directory / "counter_1.db")
    assert 1 == len(file.refresh(early, directory.stat())[0])
    assert [5.0] == file.values.tolist()
    early.early = 100
    with pytest.raises(UnusableError, match="no entry at byte 8"):
        ValuesFile(directory / "counter_1.db").refresh(early, directory.stat())


def test_nothing_is_kept_of_processes_long_gone(directory):
    """Recycled workers with their own gauges: slots do not grow without end."""
    files = MultiprocFiles(directory)
    for process in range(60):
        worker = Worker(process)
        for route in range(30):
            worker.observe("liveall", (str(route), ""), process)
        assert_same(directory, files)
        mark_process_dead(process, str(directory))
    assert len(files._slots) < 1200
    assert_same(directory, files)


def test_the_directory_is_only_read(directory):
    """No file is made, changed or removed, those of dead processes included."""
    Worker(1).observe("all", ("a", "b"), 1.0)
    close_all_multiprocess_files()
    (directory / "counter_2.db").write_bytes(b"garbled, and still theirs")

    def state():
        return {path.name: (path.stat(), path.read_bytes()) for path in directory.iterdir()}

    def without_access_times(found):
        return {name: (s.st_mtime_ns, s.st_ino, content) for name, (s, content) in found.items()}

    for path in directory.iterdir():
        path.chmod(stat.S_IRUSR)
    before = without_access_times(state())
    files = MultiprocFiles(directory)
    files.read()
    files.read()
    assert before == without_access_times(state())
