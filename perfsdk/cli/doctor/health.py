"""Tells what perfsdk counts about itself: libraries, errors, series and routes that it lost."""

from perfsdk.catalog import DROPPED_SERIES, INTERNAL_ERRORS, UNRESOLVED_ROUTES
from perfsdk.cli.doctor.report import Section, counted, note, table
from perfsdk.cli.doctor.segments import Reading
from perfsdk.integrations import INTEGRATIONS

_PROBLEMS = {
    "unsupported": "is not known and not measured; update perfsdk, or install one that it knows",
    "failed": "could not be measured; the application's log says why, please report it",
}


def examine_libraries(reading: Reading) -> Section:
    """The status of each library that a live worker has imported, or shall leave alone."""
    rows = []
    problems = []
    for (library, version, status), workers in sorted(reading.libraries.items()):
        rows.append((library, version or "-", status, counted(workers, "worker")))
        if status in _PROBLEMS:
            problems.append(f"{library} {version} {_PROBLEMS[status]}")
    lines = table(rows)
    seen = {library for library, _, _ in reading.libraries}
    if reading.live and (absent := [name for name in INTEGRATIONS if name not in seen]):
        lines += note(f"not imported: {', '.join(absent)}")
    return Section("Libraries", lines or note("no worker tells"), problems)


def examine_counts(reading: Reading) -> Section:
    """What was counted by the processes whose segments are there, and what it means."""
    totals = {"": 0, DROPPED_SERIES.name: 0, INTERNAL_ERRORS.name: 0, UNRESOLVED_ROUTES.name: 0}
    problems = []
    for (name, *labels), number in sorted(reading.counts.items()):
        totals[name] += number
        if number:
            problems.append(_problem(name, labels[0], labels[-1], number))
    lines = table(
        [
            ("errors inside perfsdk", f"{totals[INTERNAL_ERRORS.name]:,}"),
            ("values without a series", f"{totals[DROPPED_SERIES.name]:,}"),
            ("requests under <unresolved>", f"{reading.unresolved:,}"),
            ("of a route without template", f"{totals[UNRESOLVED_ROUTES.name]:,}"),
        ]
    )
    return Section("Counted by these processes", lines, problems)


def _problem(name: str, first: str, last: str, number: int) -> str:
    if name == INTERNAL_ERRORS.name:
        return (
            f"{counted(number, 'error')} inside perfsdk in {first}; the application is not "
            f'affected, its log has the traceback at "perfsdk: {first} failed", please report it'
        )
    if name == UNRESOLVED_ROUTES.name:
        return (
            f"{counted(number, 'request')} of a route of {first} that tells no template "
            f"({last}), shown as <unresolved>; update perfsdk, or report the class"
        )
    if last:
        return (
            f"{first} has too many values of label {last}, {number:,} went to <overflow>; "
            f"let fewer values of {last} come about"
        )
    return (
        f"{first} found no room for new series {counted(number, 'time')}; raise "
        "PERFSDK_SEGMENT_SIZE_BYTES or make room in the directory"
    )
