"""Tells how many workers report, what they run, and which files are of no use."""

from collections import defaultdict

from perfsdk.cli.doctor.report import Section, counted, note, table
from perfsdk.cli.doctor.segments import Reading, Unreadable, Worker

_SHOWN_PIDS = 8
_SHOWN_FILES = 10


def examine(reading: Reading) -> Section:
    """The workers, ended ones whose files are there, and what is wrong with any file."""
    title = f"Workers: {len(reading.live)} live, {reading.dead} ended and not folded yet"
    lines = table([("service", "perfsdk", "Python", "workers", "pid"), *_groups(reading.live)])
    if not reading.live:
        lines = note("none")
    problems = [reading.problem] if reading.problem else []
    if not reading.live and not problems:
        problems.append(
            "no worker reports; start the application and send it a request: a process makes "
            "its segment with the first thing that it records"
        )
    problems += map(_unreadable, reading.unreadable[:_SHOWN_FILES])
    more = len(reading.unreadable) - _SHOWN_FILES
    if more > 0:
        problems.append(f"{counted(more, 'more file')} that cannot be read; remove them")
    return Section(title, lines, problems)


def _groups(workers: list[Worker]) -> list[tuple[str, ...]]:
    """One row for workers that run the same."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for pid, *rest in workers:
        groups[tuple(rest)].append(pid)
    return [(*key, str(len(pids)), _pids(pids)) for key, pids in sorted(groups.items())]


def _pids(pids: list[int]) -> str:
    shown = sorted(pids)[:_SHOWN_PIDS]
    more = len(pids) - len(shown)
    return " ".join(map(str, shown)) + (f" and {more} more" if more else "")


def _unreadable(file: Unreadable) -> str:
    return f"{file.name}: {file.reason}; {_what_to_do(file.reason)}"


def _what_to_do(reason: str) -> str:
    if reason.startswith("format version"):
        return "install here and beside the exporter the perfsdk of the application"
    if "another user" in reason or reason.startswith("Permission"):
        return "run doctor and exporter as the application's user, or remove it"
    if reason.startswith(("is a copy", "is a symbolic link")):
        return "remove it"
    return "remove it; a process that lives makes a new one with all its numbers"
