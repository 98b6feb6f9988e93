"""From samples to figures: paired differences, medians, quartiles, and the tables of the report."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tests.bench.rounds import Sample, Samples

BARE = "bare"
OURS = "perfsdk"


class Goal(NamedTuple):
    """A figure to reach; `met` is None when it was not measured."""

    what: str
    goal: str
    measured: str
    met: bool | None


class Report(NamedTuple):
    """What a measurement found: Markdown, goals, and all samples by table."""

    text: str
    goals: list[Goal]
    samples: dict[str, Samples]


class Spread(NamedTuple):
    """Median and quartiles of the rounds; `least` is told by minima, see where it is made."""

    median: float
    low: float
    high: float
    least: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def spread(rounds: Sequence[float], least: float | None = None) -> Spread:
    """Of at least one value."""
    low = high = rounds[0]
    if len(rounds) > 1:
        low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Spread(statistics.median(rounds), low, high, min(rounds) if least is None else least)


def problem(samples: Iterable[Sample]) -> str:
    """Why the figures of a subject must not be shown; empty when they may.

    A library that fails, or records nothing, is fast.
    """
    samples = list(samples)
    failures = [sample["failed"] for sample in samples if "failed" in sample]
    if failures and len(failures) == len(samples):
        return f"FAILED: {failures[0][:160]}"
    for sample in samples:
        if "recorded" in sample and sample["recorded"] < sample["calls"]:
            return f"RECORDED ONLY {sample['recorded']:.0f} OF {sample['calls']:.0f} CALLS"
    return ""


def is_shown(samples: Samples, *subjects: str) -> bool:
    """Whether all of these were measured and may be shown."""
    return all(samples.get(name) and not problem(samples[name]) for name in subjects)


def turns(samples: Samples, subject: str, key: str) -> list[float]:
    """A figure of a subject in all turns of all rounds that did not fail."""
    return [turn for sample in samples[subject] for turn in sample.get(key, ())]


def paired(samples: Samples, *figures: tuple[str, str]) -> list[list[tuple[float, ...]]]:
    """Figures, each a subject and a key, turn by turn, for each round where none failed."""
    subjects, keys = zip(*figures, strict=True)
    rounds = zip(*(samples[name] for name in subjects), strict=True)
    return [
        list(zip(*(sample[key] for sample, key in zip(together, keys, strict=True)), strict=True))
        for together in rounds
        if not any("failed" in sample for sample in together)
    ]


def overhead(samples: Samples, subject: str, key: str, base: str = BARE) -> Spread:
    """What a subject adds to the base: of each round the median over its turns.

    `least` is the difference of the two minima: a second opinion where neighbours are loud.
    """
    rounds = [
        statistics.median(ours - bare for ours, bare in together)
        for together in paired(samples, (subject, key), (base, key))
    ]
    least = min(turns(samples, subject, key)) - min(turns(samples, base, key))
    return spread(rounds, least)


def ratio(samples: Samples, subject: str, other: str, key: str, of: str | None = None) -> Spread:
    """A subject's figure as a share of another's: of each round the median over its turns.

    `of` is the key of the other's figure where it differs.
    """
    of = of or key
    rounds = [
        statistics.median(a / b for a, b in together)
        for together in paired(samples, (subject, key), (other, of))
    ]
    return spread(rounds, min(turns(samples, subject, key)) / min(turns(samples, other, of)))


def ratio_of_overheads(samples: Samples, subject: str, other: str, key: str) -> Spread:
    """What a subject adds to the bare thing, as a share of what another adds.

    `least` is the ratio of the differences of minima.
    """
    rounds = []
    for together in paired(samples, (subject, key), (other, key), (BARE, key)):
        added = statistics.median(ours - bare for ours, _, bare in together)
        rounds.append(added / statistics.median(theirs - bare for _, theirs, bare in together))
    least = overhead(samples, subject, key).least / overhead(samples, other, key).least
    return spread(rounds, least)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a short row is filled up."""
    lines = [headers, ["---"] * len(headers)]
    lines += [[*row, *[""] * (len(headers) - len(row))] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def overhead_table(samples: Samples, key: str, unit: str) -> str:
    """All subjects beside the bare thing: what they take, what they add, and that as its share."""
    rows = []
    for name in samples:
        if why := problem(samples[name]):
            rows.append([name, why])
            continue
        row = [name, f"{statistics.median(turns(samples, name, key)):.2f}"]
        if name != BARE and is_shown(samples, BARE):
            added = overhead(samples, name, key)
            share = ratio(samples, name, BARE, key).median - 1
            row += [f"{added:+.2f}", f"{added.least:+.2f}", f"{share:+.0%}"]
        rows.append(row)
    headers = ["", unit, f"added {unit} (quartiles)", f"added {unit}, by minima", "added / bare"]
    return table(headers, rows)


def goal_of(
    what: str, goal: str, samples: Samples, subjects: Sequence[str], judge: Callable[[], Any]
) -> Goal:
    """A goal judged by `judge() -> (measured, met)` once all its subjects have figures."""
    for name in subjects:
        if why := problem(samples[name]):
            return Goal(what, goal, f"{name}: {why}", None)
    measured, met = judge()
    return Goal(what, goal, measured, met)


def goal_of_overhead(
    what: str, most: float, samples: Samples, *, key: str, unit: str, subject: str = OURS
) -> Goal:
    """At most so much over the bare thing, by the median."""

    def judge():
        added = overhead(samples, subject, key)
        share = ratio(samples, subject, BARE, key).median - 1
        measured = f"{added:.2f} {unit}, by minima {added.least:.2f}; {share:+.0%} of bare"
        return measured, added.median <= most

    return goal_of(what, f"<= {most:g} {unit}", samples, (BARE, subject), judge)


def goals_table(goals: Iterable[Goal]) -> str:
    """The last table of a report."""
    answers = {True: "yes", False: "NO", None: "not measured"}
    return table(
        ["goal", "to reach", "measured (quartiles)", "met"],
        [[goal.what, goal.goal, goal.measured, answers[goal.met]] for goal in goals],
    )
