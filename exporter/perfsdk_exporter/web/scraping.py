"""Makes pages in threads: no collection, rendering or compression runs in the event loop."""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import TypeVar

from perfsdk_exporter import collection
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.exposition import openmetrics_type
from perfsdk_exporter.web.refusals import RefusalError

_BATCH_BYTES = 128 << 10
"""What is rendered before it is sent: less costs more turns of a thread, more costs memory."""

_RENDERING_THREADS = 2
_OFFSET_SECONDS = 0.5
"""What the way back takes: who waits for 10 s gets the line that explains after 9.5 s."""

_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Scrapes:
    """The threads that work for requests, and how many requests they may work for."""

    def __init__(self, collector: collection.Collector, max_requests: int) -> None:
        self._collector = collector
        self._max_requests = max_requests
        self._places = BoundedSemaphore(max_requests) if max_requests > 0 else None
        # One: a collector collects once at a time, and who waits in a queue can leave it.
        self._collecting = ThreadPoolExecutor(1, thread_name_prefix="perfsdk-collect")
        self._rendering = ThreadPoolExecutor(
            _RENDERING_THREADS, thread_name_prefix="perfsdk-render"
        )

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, in the event loop or in a thread of its own.

        Raises:
            RefusalError: all are taken.
        """
        if self._places is None:
            yield
            return
        if not self._places.acquire(blocking=False):
            line = f"{self._max_requests} requests are being served; try again later."
            raise RefusalError(503, "busy", line)
        try:
            yield
        finally:
            self._places.release()

    async def collect(self) -> collection.Collection:
        """A collection.

        Raises:
            RefusalError: it failed; the log says why.
        """
        collect = self._collector.collect
        return await self._run(self._collecting, "collection_failed", collect)

    async def batch(self, chunks: Iterator[bytes]) -> bytes:
        """The next part of a page; empty after the last one.

        Raises:
            RefusalError: writing it failed; the log says why.
        """
        return await self._run(self._rendering, "rendering_failed", lambda: _batch(chunks))

    def close(self) -> None:
        """End the threads when they have nothing to do any more."""
        self._collecting.shutdown(wait=False, cancel_futures=True)
        self._rendering.shutdown(wait=False, cancel_futures=True)

    async def _run(
        self, executor: ThreadPoolExecutor, reason: str, work: Callable[[], Result]
    ) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except Exception as error:
            what = reason.replace("_", " ")
            _log.exception(what)
            raise RefusalError(500, reason, f"{what}; the log of the exporter says why.") from error


def timeout_seconds(header: str) -> float | None:
    """How long a page may take for `X-Prometheus-Scrape-Timeout-Seconds`; None is for ever."""
    try:
        seconds = float(header)
    except ValueError:
        return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return max(seconds - _OFFSET_SECONDS, seconds / 2)


def named(families: Iterable[Family], names: Collection[str]) -> list[Family]:
    """The families that `name[]` asks for, by their name or that of a sample; all without one."""
    return [family for family in families if not names or not _names(family).isdisjoint(names)]


def _names(family: Family) -> set[str]:
    # A counter `x_total` is the family `x` in OpenMetrics.
    samples = (family.name + suffix for suffix in _SUFFIXES.get(family.kind, ()))
    return {family.name, openmetrics_type(family)[0], *samples}


def _batch(chunks: Iterator[bytes]) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= _BATCH_BYTES:
            break
    return b"".join(parts)
