"""The application's prometheus_client registry is copied into the segment, and harms nobody."""

import logging
import math
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    values,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.values import MultiProcessValue, close_all_multiprocess_files

from perfsdk.catalog import CACHE_REQUESTS, OVERFLOW, WORKERS
from perfsdk.runtime import registry as module
from perfsdk.runtime.registry import RegistryMirror, default_registry
from perfsdk.runtime.sampler import Sampler
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.testing import Recording
from tests.servers import wait_until
from tests.store.processes import in_child, run


@pytest.fixture
def recording():
    """A recording that has its segment already."""
    with Recording() as made:
        made.recorder.gauge(WORKERS).set((), 1.0)
        yield made


@pytest.fixture
def registry():
    """The application's registry."""
    return CollectorRegistry()


@pytest.fixture
def mirror(recording, registry, monkeypatch):
    """A mirror that never rests."""
    monkeypatch.setattr(module, "REST_FACTOR", 0.0)
    return RegistryMirror(recording.recorder, lambda: registry)


def described(recording, name):
    """The metrics of this name, as the segment describes them."""
    found = {}
    for path in find_segments(recording.directory):
        reader = SegmentReader(path)
        reader.refresh()
        reader.close()
        for record in reader.series:
            if record.metric.name == name:
                cells = reader.values[record.cell : record.cell + record.metric.cell_count]
                found.setdefault(record.metric, {})[record.labels] = cells.tolist()
    return found


def families(recording):
    """How many families are in which state."""
    return {
        state: recording.value("perfsdk_registry_families", state=state) for state in module.STATES
    }


def test_every_kind_of_metric(recording, registry, mirror):
    """Counters, gauges, histograms, summaries, infos and enums, with help, unit and labels."""
    Counter("orders", "All orders.", ["shop"], registry=registry).labels("é").inc(3)
    Gauge("depth_bytes", "Depth.", registry=registry, unit="bytes").set(-2.5)
    histogram = Histogram("wait", "Waiting.", registry=registry, buckets=(0.5, 1.0), unit="seconds")
    for value in (0.25, 0.75, 0.75, 3.0):
        histogram.observe(value)
    Summary("size", "Sizes.", ["shop"], registry=registry).labels("a").observe(7)
    Info("build", "Build.", registry=registry).info({"version": "1.2"})
    Enum("light", "Light.", registry=registry, states=["red", "green"]).state("green")
    mirror.sample()
    assert 3.0 == recording.value("orders_total", shop="é")
    assert -2.5 == recording.value("depth_bytes")
    ((metric, series),) = described(recording, "wait_seconds").items()
    assert ("histogram", "seconds", "Waiting.", (0.5, 1.0)) == (
        metric.kind,
        metric.unit,
        metric.help,
        metric.bounds,
    )
    assert {(): [4.75, 1.0, 2.0, 1.0]} == series
    assert (1, 7.0) == (recording.count("size", shop="a"), recording.sum("size", shop="a"))
    assert 1.0 == recording.value("build_info", version="1.2")
    assert 0.0 == recording.value("light", light="red")
    assert 1.0 == recording.value("light", light="green")
    assert {"mirrored": 6.0, "ours": 0.0, "unsupported": 0.0} == families(recording)


actions = st.lists(
    st.tuples(
        st.sampled_from(["inc", "observe", "summary", "reset", "sample"]),
        st.sampled_from(["a", 'b"\n', "🙂"]),
        st.integers(0, 40).map(lambda n: n / 8),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(actions=actions)
def test_totals_are_what_was_counted(actions):
    """However often it is copied; a reset of the application's never makes a total go down."""
    registry = CollectorRegistry()
    counter = Counter("orders", "", ["shop"], registry=registry)
    histogram = Histogram("wait", "", ["shop"], registry=registry, buckets=(1.0, 3.0))
    summary = Summary("size", "", ["shop"], registry=registry)
    counted, observed, summed = {}, {}, {}
    with Recording() as recording, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REST_FACTOR", 0.0)
        recording.recorder.gauge(WORKERS).set((), 1.0)
        mirror = RegistryMirror(recording.recorder, lambda: registry)
        for action, shop, amount in actions:
            if action == "inc":
                counter.labels(shop).inc(amount)
                counted[shop] = counted.get(shop, 0.0) + amount
            elif action == "observe":
                histogram.labels(shop).observe(amount)
                observed.setdefault(shop, []).append(amount)
            elif action == "summary":
                summary.labels(shop).observe(amount)
                summed.setdefault(shop, []).append(amount)
            elif action == "reset":
                mirror.sample()
                counter.labels(shop).reset()
            mirror.sample()
        assert sum(counted.values()) == (recording.value("orders_total") if counted else 0.0)
        for shop, amount in counted.items():
            assert amount == recording.value("orders_total", shop=shop)
        for shop, amounts in observed.items():
            assert len(amounts) == recording.count("wait", shop=shop)
            assert sum(amounts) == recording.sum("wait", shop=shop)
        for shop, amounts in summed.items():
            assert len(amounts) == recording.count("size", shop=shop)
            assert sum(amounts) == recording.sum("size", shop=shop)


def test_a_histogram_that_starts_again(recording, registry, mirror):
    """What is lower than before was cleared: the old observations stay in the totals."""
    histogram = Histogram("wait", "", ["shop"], registry=registry, buckets=(1.0, 3.0))
    for value in (0.5, 2.0, 2.0):
        histogram.labels("a").observe(value)
    mirror.sample()
    histogram.clear()
    histogram.labels("a").observe(2.5)
    mirror.sample()
    histogram.labels("a").observe(5.0)
    mirror.sample()
    ((_, series),) = described(recording, "wait").items()
    assert {("a",): [4.5 + 7.5, 1.0, 3.0, 1.0]} == series


@pytest.mark.parametrize(
    ("mode", "merge"),
    [
        ("all", "max"),
        ("liveall", "max"),
        ("livesum", "sum"),
        ("min", "min"),
        ("livemax", "max"),
        ("mostrecent", "newest"),
    ],
)
def test_a_gauge_is_combined_as_its_mode_says(recording, registry, mirror, mode, merge):
    """The mode is there without prometheus_client's files too."""
    Gauge("level", "", registry=registry, multiprocess_mode=mode).set(4)
    mirror.sample()
    ((metric, series),) = described(recording, "level").items()
    assert merge == metric.merge
    assert 4.0 == series[()][0]


def test_a_gauge_without_a_mode_has_one_series_a_worker(recording, registry, mirror):
    """When the number of the worker is known; one with a mode has no need of it."""
    numbers = iter([3, 3, 5, 5])
    mirror._worker = lambda: next(numbers)
    Gauge("level", "", ["shop"], registry=registry).labels("a").set(4)
    Gauge("most", "", registry=registry, multiprocess_mode="max").set(4)
    mirror.sample()
    assert 4.0 == recording.value("level", shop="a", worker="3")
    assert 4.0 == recording.value("most")
    mirror.sample()  # the directory was lost meanwhile: it has another number now
    ((_, series),) = described(recording, "level").items()
    assert {("a", "5"): [4.0]} == {k: v for k, v in series.items() if not math.isnan(v[0])}


def test_the_newest_of_several_is_the_one_that_changed_last(recording, registry, mirror):
    """A value that stays the same gets no new time."""
    gauge = Gauge("level", "", registry=registry, multiprocess_mode="mostrecent")

    def cells():
        mirror.sample()
        ((_, series),) = described(recording, "level").items()
        return series[()]

    value, time = cells()
    assert 0.0 == value
    assert time > 0.0
    assert [value, time] == cells()
    gauge.set(2)
    later = cells()
    assert 2.0 == later[0]
    assert time < later[1]
    assert later == cells()


def test_a_gauge_that_went_away_is_not_set(recording, registry, mirror):
    """Counters stay at their last value, gauges go, and come back."""
    gauge = Gauge("level", "", ["shop"], registry=registry)
    counter = Counter("orders", "", ["shop"], registry=registry)
    gauge.labels("a").set(1)
    counter.labels("a").inc()
    mirror.sample()
    gauge.clear()
    counter.clear()
    mirror.sample()
    assert math.isnan(recording.value("level", shop="a"))
    assert 1.0 == recording.value("orders_total", shop="a")
    gauge.labels("a").set(2)
    mirror.sample()
    assert 2.0 == recording.value("level", shop="a")


def test_after_a_fork_nothing_is_counted_twice(recording, registry, mirror):
    """The child's registry has what the parent counted, its segment only what it did itself."""
    counter = Counter("orders", "", ["shop"], registry=registry)
    histogram = Histogram("wait", "", registry=registry)
    counter.labels("a").inc(5)
    histogram.observe(1.0)
    mirror.sample()
    counter.labels("a").inc(2)  # after the last sample, and of a series it did not see
    counter.labels("b").inc(11)
    histogram.observe(2.0)

    def child():
        recording.recorder.gauge(WORKERS).set((), 1.0)
        counter.labels("a").inc(3)
        counter.labels("c").inc(1)
        histogram.observe(4.0)
        mirror.sample()
        grandchild = in_child(lambda: work(100))
        return [*work(1000), grandchild]

    def work(amount):
        recording.recorder.gauge(WORKERS).set((), 1.0)
        counter.labels("a").inc(amount)
        mirror.sample()
        return [recording._writer.segment.path.name]

    in_child(child)
    mirror.sample()
    assert 5 + 2 + 3 + 100 + 1000 == recording.value("orders_total", shop="a")
    assert 11 == recording.value("orders_total", shop="b")
    assert 1 == recording.value("orders_total", shop="c")
    assert (3, 7.0) == (recording.count("wait"), recording.sum("wait"))
    counter.labels("b").inc()
    mirror.sample()
    assert 12 == recording.value("orders_total", shop="b")


def test_a_process_that_recorded_nothing_leaves_no_file(registry):
    """The mirror alone makes no segment, nor does it in a forked child."""
    Counter("orders", "", registry=registry).inc()
    with Recording() as recording:
        mirror = RegistryMirror(recording.recorder, lambda: registry)
        mirror.sample()
        assert [] == list(recording.directory.iterdir())
        recording.recorder.gauge(WORKERS).set((), 1.0)
        mirror._not_before = 0.0
        in_child(mirror.sample)
        assert 1 == len(list(find_segments(recording.directory)))


def test_what_is_ours_is_left_out(recording, registry, mirror):
    """Names that would clash with the catalog, and what we tell about processes ourselves."""
    Gauge("perfsdk_anything", "", registry=registry)
    Counter(CACHE_REQUESTS.name, "", registry=registry).inc(5)
    Gauge("http_server_request_duration_seconds_count", "", registry=registry)
    Gauge("process_open_fds", "", registry=registry).set(5)
    Info("python", "", registry=registry).info({"version": "3"})
    Info("target", "", registry=registry).info({"service_name": "x"})
    Counter("python_gc_collections", "", registry=registry)
    Counter("process_orders", "The application's own.", registry=registry).inc()
    mirror.sample()
    assert {"mirrored": 1.0, "ours": 7.0, "unsupported": 0.0} == families(recording)
    assert 0.0 == recording.value(CACHE_REQUESTS.name)
    assert {} == described(recording, "process_open_fds")
    assert 1.0 == recording.value("process_orders_total")


class Custom:
    """A collector of the application's own."""

    def __init__(self, *found):
        self.found = found

    def collect(self):
        yield from self.found

    def describe(self):
        return []


def test_custom_collectors(recording, registry, mirror):
    """Families of any making; values that no segment may hold are left out, others are there."""
    counter = CounterMetricFamily("sold", "", labels=["shop"])
    for shop, value in (("a", 1.5), ("nan", math.nan), ("negative", -1.0), ("inf", math.inf)):
        counter.add_metric([shop], value)
    gauge = GaugeMetricFamily("stock.count", "", labels=["shop-name"])
    gauge.add_metric(["a"], 3.0)
    gauge.add_metric(["nan"], math.nan)
    histogram = HistogramMetricFamily("age", "", labels=["shop"])
    histogram.add_metric(["a"], [("1.0", 1), ("+Inf", 3)], 10.0)
    histogram.add_metric(["no sum"], [("2.0", 1), ("+Inf", 3)], None)
    histogram.add_metric(["falling"], [("1.0", 5), ("+Inf", 3)], 10.0)
    histogram.add_metric(["halves"], [("1.0", 0.5), ("+Inf", 3)], 10.0)
    mixed = Metric("mixed", "", "gauge")
    mixed.add_sample("mixed", {"a": "1"}, 1.0)
    mixed.add_sample("mixed", {"b": "2"}, 2.0)
    registry.register(Custom(counter, gauge, UntypedMetricFamily("odd", "", 7.0)))
    registry.register(Custom(histogram, mixed))
    mirror.sample()
    assert [{"shop": "a"}] == recording.series("sold_total")
    assert [{"shop_name": "a"}] == recording.series("stock_count")
    assert 7.0 == recording.value("odd")
    assert {(1.0,): {("a",): [10.0, 1.0, 2.0]}, (2.0,): {("no sum",): [0.0, 1.0, 2.0]}} == {
        metric.bounds: series for metric, series in described(recording, "age").items()
    }
    ((metric, series),) = described(recording, "mixed").items()
    assert (("a", "b"), {("1", ""): [1.0], ("", "2"): [2.0]}) == (metric.labels, series)


def test_what_no_segment_can_hold_is_named_once(recording, registry, mirror, caplog):
    """Kinds, bounds and labels beyond it, and what is no family at all; the others are there."""
    many = HistogramMetricFamily("many", "")
    many.add_metric([], [(str(bound), 1) for bound in range(100)] + [("+Inf", 1)], 1.0)
    twice = GaugeMetricFamily("twice", "", labels=["a.b", "a-b"])
    twice.add_metric(["1", "2"], 1.0)
    broken = CounterMetricFamily("broken", "")
    broken.add_metric([], "many")
    grouped = GaugeHistogramMetricFamily("grouped", "", buckets=[("+Inf", 1)], gsum_value=1)
    registry.register(Custom(many, twice, "no family", broken, grouped, None))
    Counter("orders", "", registry=registry).inc()
    with caplog.at_level(logging.WARNING, "perfsdk"):
        mirror.sample()
        mirror.sample()
    assert {"mirrored": 1.0, "ours": 0.0, "unsupported": 6.0} == families(recording)
    assert 1.0 == recording.value("orders_total")
    for name in ("many", "twice", "broken", "grouped"):
        assert 1 == sum(f"metric {name} is not mirrored" in line for line in caplog.messages)


def test_a_collector_that_raises_harms_no_other(recording, registry, mirror, caplog):
    """Those before and after it are copied; it is named once."""

    class Raising(Custom):
        def collect(self):
            yield GaugeMetricFamily("first", "", 1.0)
            raise RuntimeError("no connection")

    Counter("before", "", registry=registry).inc()
    registry.register(Raising())
    Counter("after", "", registry=registry).inc()
    with caplog.at_level(logging.WARNING, "perfsdk"):
        mirror.sample()
        mirror.sample()
    assert 1.0 == recording.value("before_total") == recording.value("after_total")
    assert ["perfsdk: Raising is not mirrored: RuntimeError('no connection')"] == caplog.messages


def test_a_collector_that_hangs_keeps_nobody(recording, registry, mirror, monkeypatch):
    """The sampler goes on, also when it asks again; what is ready in the end is copied."""
    monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 0.01)
    entered, released = threading.Event(), threading.Event()

    class Hanging(Custom):
        calls = 0

        def collect(self):
            Hanging.calls += 1
            entered.set()
            released.wait()
            return [CounterMetricFamily("late", "", 5.0)]

    registry.register(Hanging())
    try:
        mirror.sample()
        assert entered.wait(30)
        mirror.sample()
        mirror.sample()
        assert 1 == Hanging.calls
        assert not released.is_set()
    finally:
        released.set()
    wait_until(lambda: not mirror._thread.is_alive())
    assert 5.0 == recording.value("late_total")
    mirror.sample()
    assert 2 == Hanging.calls


def test_a_fork_while_a_collector_hangs(recording, registry, mirror, monkeypatch):
    """The child has no such thread, and copies by itself."""
    monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("perfsdk.store.fork.FORK_WAIT_SECONDS", 0.01)
    entered, released = threading.Event(), threading.Event()
    counter = Counter("orders", "", registry=registry)

    class Hanging(Custom):
        def collect(self):
            entered.set()
            released.wait()
            return []

    hanging = Hanging()
    registry.register(hanging)

    def child():
        registry.unregister(hanging)
        monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 30.0)
        recording.recorder.gauge(WORKERS).set((), 1.0)
        counter.inc(2)
        mirror.sample()
        return 0

    try:
        mirror.sample()
        assert entered.wait(30)
        counter.inc(1)
        in_child(child)
    finally:
        released.set()
    wait_until(lambda: not mirror._thread.is_alive())
    mirror.sample()
    assert 1 + 2 == recording.value("orders_total")


def test_collectors_rest_in_proportion(recording, registry):
    """After a copy there is none for a multiple of the time that it took."""
    Counter("orders", "", registry=registry).inc()
    mirror = RegistryMirror(recording.recorder, lambda: registry)
    mirror.sample()
    taken = mirror._not_before
    assert taken > 0.0
    mirror._not_before = math.inf
    thread = mirror._thread
    mirror.sample()
    assert thread is mirror._thread


def test_the_bound_of_series_holds(recording, registry, mirror):
    """What is over it adds up in one series of a counter, and is left out of a gauge."""
    counter = Counter("orders", "", ["shop"], registry=registry)
    gauge = Gauge("level", "", ["shop"], registry=registry)
    for number in range(2100):
        counter.labels(str(number)).inc(2)
        gauge.labels(str(number)).set(2)
    for _ in range(2):
        mirror.sample()
        assert 200.0 == recording.value("orders_total", shop=OVERFLOW)
        assert 4200.0 == recording.value("orders_total")
        assert 2000 == len(recording.series("level"))
    assert 1.0 == recording.value("perfsdk_dropped_series_total", metric="orders_total")
    assert 1.0 == recording.value("perfsdk_dropped_series_total", metric="level", label="shop")


def test_long_label_values_are_cut_and_add_up(recording, registry, mirror):
    """What is the same in its first 120 characters is one series; broken Unicode is replaced."""
    counter = Counter("orders", "", ["shop"], registry=registry)
    counter.labels("x" * 120 + "a").inc(1)
    counter.labels("x" * 120 + "b").inc(2)
    counter.labels("\ud800").inc(4)
    mirror.sample()
    assert 3.0 == recording.value("orders_total", shop="x" * 120)
    assert 4.0 == recording.value("orders_total", shop="?")


def test_a_segment_that_is_closed_meanwhile(recording, registry, mirror, caplog):
    """The copy ends quietly; there is no other."""
    Counter("orders", "", registry=registry).inc()

    class Closing(Custom):
        def collect(self):
            recording._writer.close()
            return []

    Gauge("level", "", registry=registry).set(1)
    mirror.sample()
    registry.register(Closing())
    Counter("later", "", registry=registry).inc()
    mirror.sample()
    mirror.sample()
    assert [] == caplog.messages


def test_the_last_copy_is_made_when_no_thread_can_start(recording, registry, mirror, monkeypatch):
    """As while the interpreter ends."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    Counter("orders", "", registry=registry).inc()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    mirror.sample()
    assert 1.0 == recording.value("orders_total")


def test_files_of_prometheus_client_are_not_copied(
    recording, registry, mirror, monkeypatch, tmp_path
):
    """In multi-process mode the exporter reads those; twice would be wrong."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", MultiProcessValue(lambda: 1))
    try:
        Counter("orders", "", registry=registry).inc()
        mirror.sample()
        assert {} == described(recording, "orders_total")
    finally:
        close_all_multiprocess_files()


def test_who_did_not_import_prometheus_client_has_no_registry(recording, monkeypatch):
    """It is looked for at every copy, and never imported by us."""
    monkeypatch.delitem(sys.modules, "prometheus_client")
    assert default_registry() is None
    mirror = RegistryMirror(recording.recorder)
    mirror.sample()
    assert {} == described(recording, "perfsdk_registry_families")
    run("import sys, perfsdk.runtime.registry; assert 'prometheus_client' not in sys.modules")


EXITING = """
import sys
from pathlib import Path
from prometheus_client import Counter
from perfsdk.catalog import WORKERS
from perfsdk.recorder import Recorder
from perfsdk.runtime.registry import RegistryMirror
from perfsdk.runtime.sampler import Sampler
from perfsdk.store.writer import Writer
recorder = Recorder(Writer(Path(sys.argv[1])))
recorder.gauge(WORKERS).set((), 1.0)
mirror = RegistryMirror(recorder)
sampler = Sampler(3600)
sampler.register(mirror.sample)
sampler.start()
Counter("orders", "Orders.").inc(7)
"""


def test_the_default_registry_is_copied_once_more_at_exit(recording):
    """What was counted after the last sample is not lost."""
    run(EXITING, recording.directory)
    assert 7.0 == recording.value("orders_total")
    assert 1.0 == families(recording)["mirrored"]
    assert {} == described(recording, "python_info")


def test_the_sampler_copies_at_its_interval(recording, registry, mirror):
    """Registered like any other sample."""
    counter = Counter("orders", "", registry=registry)
    sampler = Sampler(0.01)
    sampler.register(mirror.sample)
    sampler.start()
    try:
        for number in (1.0, 2.0):
            counter.inc()
            wait_until(lambda number=number: found(recording) == number)
    finally:
        sampler.stop()
    wait_until(lambda: not any("perfsdk" in t.name for t in threading.enumerate()))


def found(recording):
    """The mirrored counter; 0 before it is there."""
    ((_, series),) = described(recording, "orders_total").items() or [(None, {(): [0.0]})]
    return series[()][0]
