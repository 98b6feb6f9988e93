"""Where the statements of all libraries are found, without importing what makes them."""

import weakref
from collections.abc import Iterable, Iterator
from typing import Protocol

from perfsdk.query_table import Counted
from perfsdk.recorder import Recorder


class Source(Protocol):
    """Knows statements that are recorded by `recorder`."""

    @property
    def recorder(self) -> Recorder: ...

    def statements(self) -> Iterable[Counted]:
        """All of them."""
        ...


_sources: weakref.WeakSet[Source] = weakref.WeakSet()


def add_source(source: Source) -> None:
    """Ask it too, for as long as somebody else holds it."""
    _sources.add(source)


def statements_of(recorder: Recorder) -> Iterator[Counted]:
    """All statements that are recorded there, of whatever library."""
    for source in list(_sources):
        if source.recorder is recorder:
            yield from source.statements()
