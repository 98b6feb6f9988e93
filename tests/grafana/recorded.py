"""Hours of the healthy demo and then an incident, as promtool reads them, from the recordings."""

from collections.abc import Iterable

from grafana.recordings.series import FOLDER, STARTED, Values, read, written

FIRES_WITHIN_MINUTES = {
    "none": {},
    "slow-query": {"PerfsdkDatabaseSlow": 15},
    "n-plus-one": {"PerfsdkDatabaseCallsGrew": 15},
    "cache-flush": {"PerfsdkCacheHitRatioDropped": 15},
    "pool-exhaustion": {"PerfsdkPoolSaturated": 12},
    "errors": {
        "PerfsdkNewError": 5,
        "PerfsdkErrorBudgetBurnPage": 20,
        "PerfsdkErrorBudgetBurnTicket": 25,
    },
}
"""All that fires in an incident, and how many minutes after its beginning at the latest."""

STEP = "30s"
"""What a step of a recording stands for, so that half an hour needs no half an hour."""

STEPS_A_MINUTE = 2
WARM_STEPS = 20
"""Steps of the recording without incident in which its cache still fills."""

BEFORE_MINUTES = 25 * 60 + 10
"""Alerts compare with the hour that ends a day ago."""

YESTERDAY, TODAY = 5, 4
"""How often the healthy demo is repeated; at night it is off, so there is little to evaluate."""

INSTANCE = "127.0.0.1:8979"
COUNTERS = ("_total", "_count", "_sum", "_bucket")

HEALTHY = read(FOLDER / "none.yaml")
STEPS = len(HEALTHY["up"])
BEFORE_STEPS = BEFORE_MINUTES * STEPS_A_MINUTE
NIGHT_STEPS = BEFORE_STEPS - (YESTERDAY + TODAY) * (STEPS - WARM_STEPS)
INCIDENT_MINUTES = STEPS // STEPS_A_MINUTE


def history(incidents: Iterable[str]) -> list[dict[str, str]]:
    """The series of the incidents, each as a job of its name.

    The healthy demo again and again, yesterday and for more than an hour of today, then what was
    recorded from the start of the demo with the incident: a deployment that brought it.
    """
    return [
        {"series": _of_job(name, incident), "values": values}
        for incident in incidents
        for name, values in _with(read(FOLDER / f"{incident}.yaml")).items()
    ]


def _with(incident: dict[str, Values]) -> dict[str, str]:
    # What the new processes do not have ends as Prometheus has it.
    ended = {name: f"{_before(name, HEALTHY[name])} stale" for name in HEALTHY.keys() - incident}
    return ended | {
        name: f"{_before(name, HEALTHY.get(name, []))} {_since(name, values)}"
        for name, values in incident.items()
    }


def _before(name: str, values: Values) -> str:
    if not values:
        return f"_x{BEFORE_STEPS}"
    warm = values[WARM_STEPS:]
    healthy = _repeated(warm, YESTERDAY + TODAY, grows=_counts(name))
    evening = YESTERDAY * len(warm)
    night = f"stale _x{NIGHT_STEPS - 1}"
    return f"{written(healthy[:evening])} {night} {written(healthy[evening:])}"


def _repeated(values: Values, times: int, *, grows: bool = False) -> Values:
    """The values again and again; a counter goes on where it was."""
    # Before its first value there was nothing to count.
    first, last = values[0] or 0.0, values[-1] or 0.0
    growth = (last - first) * len(values) / (len(values) - 1) if grows else 0.0
    return [
        None if value is None else value + growth * time
        for time in range(times)
        for value in values
    ]


def _since(name: str, values: Values) -> str:
    if name.startswith(STARTED):
        # Recorded as seconds before the first step; that step is the time 0 of promtool's.
        seconds = BEFORE_STEPS * 60 / STEPS_A_MINUTE
        return written([None if value is None else seconds + value for value in values])
    return written(values)


def _counts(name: str) -> bool:
    return name.partition("{")[0].endswith(COUNTERS)


def _of_job(name: str, job: str) -> str:
    head, _, labels = name.rstrip("}").partition("{")
    of_target = f'job="{job}",instance="{INSTANCE}"'
    return f"{head}{{{','.join(filter(None, (labels, of_target)))}}}"
