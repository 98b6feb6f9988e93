"""Measures in fresh processes that take turns, so that all meet the same neighbours.

Neighbours on a machine come and go within seconds. A round starts a fresh process for each
subject, the bare thing among them; then they take short turns, in reversed order every second
time, while all others wait. What is compared ran within a fraction of a second.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")

# What a caller has set must not slow down one subject and not another. Without bytecode files
# every import would compile.
DROPPED_VARIABLES = ("OTEL_", "PERFSDK_", "PROMETHEUS_", "PYTHON")

Figures = dict[str, float]

Sample = dict[str, Any]
"""One round of one subject: lists of figures by name, one for each turn, beside what was said at
the end: `calls` and `recorded`. Or `failed` alone, with the reason."""

Samples = dict[str, list[Sample]]
"""By subject, one sample for each round."""


class Options(NamedTuple):
    """What a user chose; `rounds` 0 leaves their number to the measurement."""

    quick: bool
    rounds: int

    def rounds_or(self, full: int, quick: int = 2) -> int:
        """How many rounds to run."""
        return self.rounds or (quick if self.quick else full)


class Running(Protocol):
    """A process that waits for its turn; what fails raises a RuntimeError with the reason."""

    def turn(self) -> Figures:
        """Measure for a moment."""

    def end(self) -> Figures:
        """Say what was recorded, and end."""


Start = Callable[[str, ExitStack], Running]
"""Starts a subject; the stack ends it, whatever happens."""


def interleave(
    start: Start, subjects: Iterable[str], *, rounds: int, turns: int, label: str
) -> Samples:
    """Let all subjects take turns in every round, and say how far it is."""
    names = list(subjects)
    samples: Samples = {name: [] for name in names}
    for number in range(rounds):
        with ExitStack() as stack:
            for name, sample in _round(start, names, turns, number, stack).items():
                samples[name].append(sample)
        print(
            f"{label}: round {number + 1} of {rounds}, load {os.getloadavg()[0]:.2f}",
            file=sys.stderr,
            flush=True,
        )
    return samples


def _round(
    start: Start, names: list[str], turns: int, number: int, stack: ExitStack
) -> dict[str, Sample]:
    samples: dict[str, Sample] = {name: {} for name in names}
    running: dict[str, Running] = {}
    for name in names:
        with _failure_in(samples[name]):
            running[name] = start(name, stack)
    for turn in range(turns):
        forwards = (turn + number) % 2 == 0
        for name in names if forwards else reversed(names):
            if name in running and "failed" not in samples[name]:
                with _failure_in(samples[name]):
                    for key, value in running[name].turn().items():
                        samples[name].setdefault(key, []).append(value)
    for name, process in running.items():
        if "failed" not in samples[name]:
            with _failure_in(samples[name]):
                samples[name].update(process.end())
    return samples


@contextmanager
def _failure_in(sample: Sample):
    """A subject that fails leaves the round; the others go on."""
    try:
        yield
    except RuntimeError as error:
        sample.clear()
        sample["failed"] = str(error)


def environment(stack: ExitStack, *, multiprocess: bool = False) -> dict[str, str]:
    """Variables for a child, with directories of its own in memory where that can be had.

    Memory for all alike: what a disk costs is no property of a library.
    """
    made = TemporaryDirectory(prefix="perfsdk-bench-", dir=memory_directory())
    directory = stack.enter_context(made)
    variables = {k: v for k, v in os.environ.items() if not k.startswith(DROPPED_VARIABLES)}
    variables["PERFSDK_DIR"] = f"{directory}/segments"
    if multiprocess:
        files = Path(directory, "prometheus")
        files.mkdir()
        variables["PROMETHEUS_MULTIPROC_DIR"] = str(files)
    return variables


def memory_directory() -> Path | None:
    """Where files are in memory, so that no disk is measured; None where that cannot be had."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
