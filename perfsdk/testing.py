"""What a test records can be read back as a scrape sees it: by metric name and labels."""

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from perfsdk.catalog import METRICS
from perfsdk.recorder import Recorder
from perfsdk.store.description import MetricRecord
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.store.writer import Writer


class Recording(AbstractContextManager["Recording"]):
    """What is recorded into one directory, by this process and by any other.

    For an application: `instrument(app, directory=str(recording.directory))`. For code that
    takes a recorder: `recording.recorder`. To be used in a `with` block; without `directory`
    it makes a temporary one and removes it at the end.

    Labels select: those not given may have any value, and what is selected is added up. What
    was never recorded is 0.

    Raises:
        KeyError: there is no metric of that name, or it has no such label.
        TypeError: `value` was asked of a histogram, or `count` or `sum` of anything else.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="perfsdk-recording-")
            directory = Path(self._temporary.name)
        self.directory = directory
        self._writer = Writer(directory)
        self.recorder = Recorder(self._writer)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording, and remove the directory if it is a temporary one."""
        self._writer.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def value(self, name: str, /, **labels: str) -> float:
        """The value of a counter; that of a gauge as it is stored in the segment."""
        selected = self._select(name, labels, histogram=False)
        return sum(series.values[series.cell] for series in selected)

    def count(self, name: str, /, **labels: str) -> int:
        """How many values a histogram counted."""
        selected = self._select(name, labels, histogram=True)
        return int(sum(sum(series.values[slice(*series.buckets)]) for series in selected))

    def sum(self, name: str, /, **labels: str) -> float:
        """The sum of the values that a histogram counted."""
        return sum(s.values[s.cell] for s in self._select(name, labels, histogram=True))

    def series(self, name: str) -> list[dict[str, str]]:
        """The labels of every series of a metric, sorted by their values."""
        found = {tuple(s.labels.items()) for s in self._select(name, {}, histogram=None)}
        return [dict(labels) for labels in sorted(found)]

    def _select(
        self, name: str, labels: dict[str, str], *, histogram: bool | None
    ) -> "list[_Series]":
        series = [series for series in self._read() if series.metric.name == name]
        known = [metric for metric in METRICS if metric.name == name]
        # What was recorded may have more labels than the catalog: those of `route_labels`.
        described = series[0].metric if series else known[0] if known else None
        if described is None:
            raise KeyError(f"no metric is called {name}")
        if unknown := sorted(labels.keys() - set(described.labels)):
            raise KeyError(f"{name} has no label {', '.join(unknown)}")
        if histogram is not None and histogram != (described.kind == "histogram"):
            raise TypeError(f"{name} is a {described.kind}")
        return [series for series in series if labels.items() <= series.labels.items()]

    def _read(self) -> "Iterator[_Series]":
        for path in find_segments(self.directory):
            reader = SegmentReader(path)
            try:
                reader.refresh()
            finally:
                reader.close()
            for record in reader.series:
                labels = dict(zip(record.metric.labels, record.labels, strict=True))
                yield _Series(record.metric, labels, record.cell, reader.values)


class _Series(NamedTuple):
    metric: MetricRecord
    labels: dict[str, str]
    cell: int
    values: "array[float]"

    @property
    def buckets(self) -> tuple[int, int]:
        first = self.cell + 1 + self.metric.native
        return first, first + len(self.metric.bounds) + 1


try:
    import pytest
except ModuleNotFoundError:
    pass  # a Recording needs none
else:

    @pytest.fixture
    def perfsdk_recording() -> Iterator[Recording]:
        """A `Recording` for one test; import it into a test module or a `conftest.py`."""
        with Recording() as recording:
            yield recording
