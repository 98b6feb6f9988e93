"""Reaps processes that ended: what they counted goes into the archive once, their files go away.

A kill at any moment loses and doubles nothing: under the lock of the archive a new one is
written that holds the totals and names the segments in it; renaming it is the one step that
counts, and only then the files are removed. See `perfsdk_exporter.reaping.archive`.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from perfsdk.store.format import PAGE, FormatError
from perfsdk.store.reader import MAX_FILE_SIZE_BYTES, SegmentReader, find_segments
from perfsdk_exporter.reaping.archive import Archive, read_archive, write_archive
from perfsdk_exporter.reaping.archive_lock import (
    archive_lock,
    has_work,
    put_aside,
    remove_leftovers,
)
from perfsdk_exporter.reaping.archive_reader import ARCHIVE, DamagedError
from perfsdk_exporter.reaping.compaction import Compaction
from perfsdk_exporter.reaping.folding import Ended, RefusedError, apply, fold, growth_bytes
from perfsdk_exporter.segments.discovery import is_presentable
from perfsdk_exporter.segments.segment_files import header_identity, is_dead, readers

RETENTION_SECONDS = 24 * 3600.0

_SERIES_A_PASS = 50_000
"""Dead processes beyond this many series wait for the next pass: a scrape waits for this one."""

_BACK_OFF_SECONDS = 30.0
"""For how long nothing is tried again after it failed."""

_IDENTITY_BYTES = 40
_FULL = "the archive has no room for it; remove archive.arc to begin again from zero"
_READ_ONLY = "no permission to write; the totals are right, files of ended processes stay"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What a reaper has done since it was made; all only grow.

    `segments`: files of processes that ended, folded and removed; `dropped_series`: of the
    archive, because nobody added to them for long; `damaged_archives`: put aside; `failures`:
    passes that could not be made.
    """

    segments: int = 0
    dropped_series: int = 0
    damaged_archives: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Pass:
    """One pass: `remove` are the files whose totals are in the archive, or will be."""

    archive: Archive
    size_bytes: int
    present: set[bytes] = field(default_factory=set)
    new: set[bytes] = field(default_factory=set)
    remove: list[Path] = field(default_factory=list)
    series: int = 0


class Reaper:
    """Reaps a directory again and again. Not safe for threads.

    Any number of them, of any number of exporters, may work on one directory. Series of the
    archive that no process has, and that nobody added to for `retention_seconds`, are dropped.
    """

    def __init__(
        self,
        *,
        retention_seconds: float = RETENTION_SECONDS,
        most_bytes: int = MAX_FILE_SIZE_BYTES,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._compaction = Compaction(retention_seconds, clock, steady_clock)
        self._most_bytes = most_bytes
        self._clock = clock
        self._steady_clock = steady_clock
        self._not_before = 0.0
        self._kept: Archive | None = None
        self._refused: dict[bytes, str] = {}
        self._said: set[str] = set()

    def reap(self, directory: Path) -> bool:
        """Make one pass, unless there is nothing to do; whether there is more for another one.

        What cannot be done is logged once and tried again later.
        """
        self._compaction.watch_clocks()
        if self._steady_clock() < self._not_before:
            return False
        try:
            if not self._is_worth_it(directory):
                return False
            with archive_lock(directory) as held:
                more = held and self._pass(directory)
        except (FileNotFoundError, NotADirectoryError):
            return False  # no directory, or it was removed meanwhile
        except (FormatError, OSError) as error:
            self._fail(directory, error)
            return False
        self._said.discard(str(directory))
        return more

    def _is_worth_it(self, directory: Path) -> bool:
        if self._compaction.is_due() and has_work(directory):
            return True
        return any(
            reader.header.identity not in self._refused and is_dead(reader)
            for reader in readers(directory)
        )

    def _pass(self, directory: Path) -> bool:
        now = self._clock()
        archive, self._kept = self._load(directory, now), None
        this = _Pass(archive, archive.size_bytes)
        more = self._fold_all(directory, this, now)
        dropped = 0
        if self._compaction.is_due():
            remove_leftovers(directory, now)
            dropped = self._compaction.compact(directory, archive.totals, now)
        if this.new or dropped:
            folded = (archive.folded & this.present) | this.new
            archive = write_archive(directory, archive.totals, folded, now)
        self._kept = archive
        self._remove(directory, this)
        self._compaction.done()
        self.tally.dropped_series += dropped
        self._refused = {
            identity: reason
            for identity, reason in self._refused.items()
            if identity in this.present and not (dropped and reason == _FULL)
        }
        return more

    def _load(self, directory: Path, now: float) -> Archive:
        """The archive; its totals are in memory when we wrote it ourselves."""
        path = directory / ARCHIVE
        try:
            if self._kept is not None and self._kept.identity == header_identity(path):
                return self._kept
            return read_archive(path)
        except DamagedError as error:
            aside = put_aside(directory, now)
            self.tally.damaged_archives += 1
            reason = f"{error}; what ended processes had counted is lost"
            what_to_do = f"report it with {aside.name}, then remove that file"
            fields = {"file": str(path), "reason": reason, "action": what_to_do}
            _log.error("damaged archive put aside", extra={"fields": fields})
            return read_archive(path)

    def _fold_all(self, directory: Path, this: _Pass, now: float) -> bool:
        """Fold dead processes into the totals; whether some have to wait for another pass."""
        for path in find_segments(directory):
            with suppress(ValueError):
                this.present.add(bytes.fromhex(path.stem))  # also of what cannot be read
        for reader in readers(directory):
            identity = reader.header.identity
            this.present.add(identity)
            if identity in self._refused or not is_dead(reader):
                continue
            if identity not in this.archive.folded:
                if this.series >= _SERIES_A_PASS:
                    return True
                try:
                    self._fold(reader, this, now)
                except (FormatError, RefusedError) as error:
                    self._refuse(reader, str(error))
                    continue
                this.new.add(identity)
            this.remove.append(reader.path)
        return False

    def _fold(self, reader: SegmentReader, this: _Pass, now: float) -> None:
        # Its process has ended: what is read from here on is final.
        reader.refresh()
        if reader.unreadable_records or not all(map(is_presentable, reader.series)):
            raise RefusedError("it has a description that no process writes")
        totals = this.archive.totals
        changes = fold(totals, Ended(reader.series, reader.values, reader.header.started), now)
        grown = growth_bytes(totals, changes) + _IDENTITY_BYTES
        if max(this.size_bytes, 2 * PAGE) + grown > self._most_bytes:
            raise RefusedError(_FULL)
        apply(totals, changes)
        this.size_bytes += grown
        this.series += len(reader.series)

    def _remove(self, directory: Path, this: _Pass) -> None:
        for path in this.remove:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                # Nobody counts it again: the archive names it for as long as it is there.
                self._say(f"{directory} {error.strerror}", "file not removed", path, error)
                continue
            self.tally.segments += 1

    def _refuse(self, reader: SegmentReader, reason: str) -> None:
        self._refused[reader.header.identity] = reason
        if reason != _FULL or _FULL not in self._said:
            fields = {"file": str(reader.path), "reason": reason}
            _log.warning("segment not reaped, it stays where it is", extra={"fields": fields})
        if reason == _FULL:
            self._said.add(_FULL)

    def _fail(self, directory: Path, error: Exception) -> None:
        self.tally.failures += 1
        self._not_before = self._steady_clock() + _BACK_OFF_SECONDS
        self._say(str(directory), "cannot reap", directory, error)

    def _say(self, key: str, message: str, path: Path, error: Exception) -> None:
        if key in self._said:
            return
        self._said.add(key)
        reason = str(error)
        if isinstance(error, OSError):
            refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
            reason = _READ_ONLY if refused else f"{error.strerror}; tried again later"
        _log.warning(message, extra={"fields": {"file": str(path), "reason": reason}})
