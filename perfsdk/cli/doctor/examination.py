"""Examines everything in the order in which numbers travel: settings, files, workers, exporter."""

import platform

from perfsdk.cli.doctor import exporter, health, in_force, location, workers
from perfsdk.cli.doctor.in_force import InForce
from perfsdk.cli.doctor.report import Section, note
from perfsdk.cli.doctor.trial import try_settings
from perfsdk.version import __version__


def examine(found: InForce, exporter_url: str | None) -> list[Section]:
    """The sections of the report; `exporter_url` is None when the user gave none."""
    directory, origin, problem = location.locate(found)
    # What is wrong with a variable is told already, and would only be told again.
    tried = [] if found.problems or not found.settings.enabled else try_settings()
    title = f"perfsdk {__version__} on Python {platform.python_version()} runs this doctor"
    sections = [Section(title, [])]
    sections.append(in_force.examine(found, directory, origin, tried))
    if directory is None:
        return [*sections, Section("Segment directory", note("not known"), [problem])]
    sections.append(location.examine(directory, found.settings))
    reading = location.read(directory)
    if reading is not None and directory.is_dir():
        sections += [workers.examine(reading), health.examine_libraries(reading)]
        sections.append(health.examine_counts(reading))
    path = found.settings.metrics_path
    if exporter_url is None and path is not None:
        text = f"the application serves the page itself at {path}; --exporter asks it"
        return [*sections, Section("Exporter", note(text))]
    url = exporter_url or exporter.DEFAULT_URL
    return [*sections, exporter.examine(url, lambda: location.read(directory))]
