"""The archive: one file with the totals of all processes that ended and were reaped.

It is a segment (see `perfsdk.store.format`) with these differences:

- its name is `archive.arc`; nobody writes into it and nobody locks it: it is written once under
  a hidden temporary name and renamed over the one before, by whoever holds `archive.lock`;
- it holds counters and histograms alone, and no exemplars;
- each series owns two cells more, after those of its metric: `low`, the second part of its
  first cell (the total is the sum of both, which no rounding has touched), and `added`, when it
  was last added to, in seconds since the epoch;
- the records of metrics, series and blocks come first. Two kinds follow:

      ["meta", {"descriptions_size": bytes of the records before,
                "values_crc32": CRC-32 of the cells in use,
                "started": [for each metric: start of the newest process that had it]}]
      ["folded", [identity in hexadecimal, ...]]    up to 1,000 in one record

`folded` names the segments whose values are in these totals. The rename is what makes them part
of the totals; their files are removed after it, and whoever sees one before that ignores it. An
identity is left out of the next archive when no file of it is left.
"""

import os
import stat
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from perfsdk.store.description import MetricRecord, describe
from perfsdk.store.format import (
    CELL,
    CELLS_END_OFFSET,
    PAGE,
    Header,
    pack_header,
    pack_record,
)
from perfsdk.store.reader import SegmentReader
from perfsdk_exporter.reaping.archive_reader import ARCHIVE, DamagedError, open_archive
from perfsdk_exporter.reaping.folding import (
    EXTRA_CELLS,
    MetricTotals,
    RefusedError,
    Totals,
    read_total,
)

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".archive-", ".tmp"

_IDENTITIES_PER_RECORD = 1000
_WRITE_BYTES = 1 << 20


class Archive(NamedTuple):
    """What an archive holds; `size_bytes` of its file, 0 when there is none."""

    identity: bytes
    totals: Totals
    folded: frozenset[bytes]
    size_bytes: int


def read_archive(path: Path) -> Archive:
    """The totals of an archive; without a file there are none.

    Raises:
        DamagedError, FormatError, OSError: see `open_archive`.
    """
    try:
        reader = open_archive(path)
    except FileNotFoundError:
        return Archive(b"", {}, frozenset(), 0)
    reader.close()
    try:
        totals = _totals(reader)
    except (LookupError, RefusedError, TypeError, ValueError) as error:
        raise DamagedError(f"impossible content: {error}") from error
    header = reader.header
    return Archive(header.identity, totals, frozenset(reader.folded), header.file_size)


def write_archive(directory: Path, totals: Totals, folded: Iterable[bytes], now: float) -> Archive:
    """Replace the archive; only for the holder of the lock. `now` in seconds since the epoch.

    Raises:
        OSError: it cannot be written; the one before is still there.
    """
    folded = frozenset(folded)
    values, descriptions = _lay_out(totals)
    records = b"".join([descriptions, *_facts(totals, folded, values, len(descriptions))])
    header = Header(os.urandom(16), os.getpid(), now, len(values) * CELL, len(records))
    head = bytearray(pack_header(header).ljust(PAGE, b"\0"))
    ends = array("Q", [len(values), len(records)]).tobytes()
    head[CELLS_END_OFFSET : CELLS_END_OFFSET + len(ends)] = ends
    temporary = directory / f"{TEMPORARY_PREFIX}{header.identity.hex()}{TEMPORARY_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    try:
        try:
            share(fd, directory)
            for part in (head, values, records):
                _write(fd, memoryview(part).cast("B"))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, directory / ARCHIVE)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return Archive(header.identity, totals, folded, header.file_size)


def share(fd: int, directory: Path) -> None:
    """Let those read and write a file of ours who may write into the directory."""
    status = os.stat(directory)
    with suppress(OSError):  # not ours to give: the setgid bit has done it, or there is no need
        # Root gives it to the user whose directory it is, who could not read it else.
        owner = status.st_uid if os.geteuid() == 0 else -1
        os.fchown(fd, owner, status.st_gid if status.st_mode & stat.S_IWGRP else -1)
    os.fchmod(fd, 0o660 if status.st_mode & stat.S_IWGRP else 0o600)


def _lay_out(totals: Totals) -> tuple["array[float]", bytes]:
    values = array("d")
    records = []
    for number, (metric, known) in enumerate(_in_order(totals)):
        records.append(pack_record(["metric", number, describe(metric)]))
        for labels, total in known.series.items():
            cell = len(values)
            records.append(pack_record(["series", number, cell, labels]))
            values.extend(total.cells)
            values.append(total.low)
            values.append(total.added)
            for block, counts in total.blocks.items():
                records.append(pack_record(["block", cell, block, len(values)]))
                values.extend(counts)
    return values, b"".join(records)


def _facts(
    totals: Totals, folded: frozenset[bytes], values: "array[float]", descriptions_size: int
) -> Iterator[bytes]:
    facts = {
        "descriptions_size": descriptions_size,
        "values_crc32": zlib.crc32(values),
        "started": [known.started for _, known in _in_order(totals)],
    }
    yield pack_record(["meta", facts])
    identities = sorted(identity.hex() for identity in folded)
    for start in range(0, len(identities), _IDENTITIES_PER_RECORD):
        yield pack_record(["folded", identities[start : start + _IDENTITIES_PER_RECORD]])


def _in_order(totals: Totals) -> Iterator[tuple[MetricRecord, MetricTotals]]:
    """As they came, but of descriptions that share a name the newest first: that one counts."""
    by_name: dict[str, list[tuple[MetricRecord, MetricTotals]]] = {}
    for metric, known in totals.items():
        by_name.setdefault(metric.name, []).append((metric, known))
    for found in by_name.values():
        yield from sorted(found, key=lambda item: item[1].started, reverse=True)


def _totals(reader: SegmentReader) -> Totals:
    totals: Totals = {}
    started = iter(reader.facts["started"])
    for record in reader.series:
        known = totals.get(record.metric)
        if known is None:
            known = totals[record.metric] = MetricTotals(float(next(started)))
        at = record.cell + record.metric.cell_count
        low, added = reader.values[at : at + EXTRA_CELLS]
        total = read_total(record, reader.values, added)
        total.low = low
        known.series[record.labels] = total
    return totals


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data[:_WRITE_BYTES]) :]
