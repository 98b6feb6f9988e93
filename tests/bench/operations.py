"""What one observation and one increment cost, net of an empty loop, with their series known."""

import os
import random
import time
import timeit
from pathlib import Path

from tests.bench.child import in_child
from tests.bench.evidence import in_segments, on_prometheus_page
from tests.bench.figures import (
    OURS,
    Report,
    goal_of,
    is_shown,
    problem,
    ratio,
    spread,
    table,
    turns,
)
from tests.bench.rounds import interleave

PROMETHEUS = "prometheus_client multi-process"
OPENTELEMETRY = "opentelemetry sdk"

SERIES = ("GET", "/items/{id}", "200", "")
LABELS = ("http_request_method", "http_route", "http_response_status_code", "error_type")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
VALUES = [random.Random(1).lognormvariate(-4, 1) for _ in range(1000)]
"""Seconds, half of them between 9 and 36 ms: about 30 native buckets."""
TURNS = 20
EMPTY = "pass"

OPERATIONS = {
    "histogram, bound": "histogram, its series held by the caller",
    "histogram, labels": "histogram, its series looked up by label values",
    "counter, bound": "counter, its series held by the caller",
    "counter, labels": "counter, its series looked up by label values",
}


def prepare_perfsdk():
    from perfsdk import catalog
    from perfsdk.recorder import Recorder
    from perfsdk.store.writer import Writer

    writer = Writer(Path(os.environ["PERFSDK_DIR"]))
    recorder = Recorder(writer)
    durations = recorder.histogram(catalog.HTTP_SERVER_REQUEST_DURATION)
    requests = recorder.counter(catalog.CACHE_REQUESTS)
    names = {
        "writer": writer,
        "observe": durations[SERIES].observe,
        "observe_labels": durations.observe,
        "add": requests.add,
        "series": SERIES,
        "lookup": SERIES[:3],
        "cell": requests[SERIES[:3]],
    }
    statements = {
        "histogram, bound": "observe(value)",
        "histogram, labels": "observe_labels(series, value)",
        "counter, bound": "writer.values[cell] += 1.0",
        "counter, labels": "add(lookup)",
    }

    def recorded():
        counted = in_segments("http_server_request_duration_seconds")
        return counted + in_segments("cache_requests_total")

    return names, statements, recorded


def prepare_prometheus():
    from prometheus_client import Counter, Histogram

    durations = Histogram("duration_seconds", "Durations.", LABELS, buckets=BOUNDS)
    requests = Counter("requests", "Requests.", LABELS[:3])
    names = {
        "durations": durations,
        "requests": requests,
        "observe": durations.labels(*SERIES).observe,
        "inc": requests.labels(*SERIES[:3]).inc,
        "series": SERIES,
        "lookup": SERIES[:3],
    }
    statements = {
        "histogram, bound": "observe(value)",
        "histogram, labels": "durations.labels(*series).observe(value)",
        "counter, bound": "inc()",
        "counter, labels": "requests.labels(*lookup).inc()",
    }

    def recorded():
        counted = on_prometheus_page("duration_seconds_count")
        return counted + on_prometheus_page("requests_total")

    return names, statements, recorded


def prepare_opentelemetry():
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("bench")
    durations = meter.create_histogram("duration", explicit_bucket_boundaries_advisory=BOUNDS)
    requests = meter.create_counter("requests")
    names = {
        "record": durations.record,
        "add": requests.add,
        "series": dict(zip(LABELS, SERIES, strict=True)),
        "lookup": dict(zip(LABELS[:3], SERIES[:3], strict=True)),
    }
    # It has no series that a caller could hold.
    statements = {"histogram, labels": "record(value, series)", "counter, labels": "add(1, lookup)"}

    def recorded():
        points = [
            point
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        return sum(p.count if hasattr(p, "count") else p.value for p in points)

    return names, statements, recorded


PREPARE = {
    OURS: prepare_perfsdk,
    PROMETHEUS: prepare_prometheus,
    OPENTELEMETRY: prepare_opentelemetry,
}


def prepare(subject):
    """In a child: all operations of one library."""
    names, statements, recorded = PREPARE[subject]()
    timers = {
        what: timeit.Timer(
            f"for value in values: {statement}",
            timer=time.process_time,
            globals={**names, "values": VALUES},
        )
        for what, statement in {EMPTY: EMPTY, **statements}.items()
    }
    repeats = 0

    def turn():
        nonlocal repeats
        repeats += 4  # the first of four is to warm up
        took = {what: min(timer.repeat(4, 1)) for what, timer in timers.items()}
        empty = took.pop(EMPTY)
        return {what: (seconds - empty) / len(VALUES) * 1e6 for what, seconds in took.items()}

    def end():
        return {"calls": repeats * len(VALUES) * len(statements), "recorded": recorded()}

    turn()
    return turn, end


def collect(options):
    """Ours beside the two libraries that the others are built on."""
    start = in_child("operations", multiprocess=(PROMETHEUS,))
    samples = interleave(
        start, PREPARE, rounds=options.rounds_or(7), turns=TURNS, label="operations"
    )
    rows = [row for name in samples for row in _rows(samples, name)]
    text = table(["", "operation", "us (quartiles)", "least us", "times ours"], rows)
    goals = [
        _goal_of_histogram(samples),
        _goal_of_counter(samples, "counter, bound"),
        _goal_of_counter(samples, "counter, labels"),
    ]
    return Report(f"### One operation, net of an empty loop\n\n{text}", goals, {"all": samples})


def _rows(samples, name):
    if why := problem(samples[name]):
        yield [name, why]
        return
    for key, what in OPERATIONS.items():
        if figures := turns(samples, name, key):
            row = [name, what, f"{spread(figures):.3f}", f"{min(figures):.3f}"]
            if name != OURS and is_shown(samples, OURS):
                row.append(f"{ratio(samples, name, OURS, key).median:.1f}")
            yield row


def _goal_of_histogram(samples):
    key = "histogram, bound"

    def judge():
        ours = spread(turns(samples, OURS, key))
        prometheus = ratio(samples, PROMETHEUS, OURS, key).median
        opentelemetry = ratio(samples, OPENTELEMETRY, OURS, "histogram, labels", key).median
        measured = f"{ours.median:.3f} us, 1/{prometheus:.1f}, 1/{opentelemetry:.1f}"
        return measured, ours.median <= 0.30 or (prometheus >= 5 and opentelemetry >= 15)

    return goal_of(
        f"operations: histogram with native buckets; of {PROMETHEUS}'s; of {OPENTELEMETRY}'s",
        "<= 0.30 us, or 1/5 and 1/15",
        samples,
        (OURS, PROMETHEUS, OPENTELEMETRY),
        judge,
    )


def _goal_of_counter(samples, key):
    def judge():
        ours = spread(turns(samples, OURS, key))
        return f"{ours.median:.3f} us, least {ours.least:.3f}", ours.median <= 0.15

    return goal_of(f"operations: {OPERATIONS[key]}", "<= 0.15 us", samples, (OURS,), judge)
