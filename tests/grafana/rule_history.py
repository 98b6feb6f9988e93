"""What promtool says that the rules make of a history: recorded series and alerts that fire."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from grafana.alerting.files import alert_groups
from tests.grafana.rule_cases import Case, Series, in_order
from tests.servers import require

ALERTS = {alert.name: alert for alerts in alert_groups().values() for alert in alerts}

_HEAD = re.compile(r"alertname: (\w+), time: (\S+),")
_LABEL = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


class Fired(NamedTuple):
    """An alert that fires."""

    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]


def history(cases: Iterable[Case], namespace: str = "") -> list[dict[str, str]]:
    """The series of all cases, each as a job of the case's name."""
    return [
        {"series": _written(one, case.name, namespace), "values": one.values}
        for case in cases
        for one in (*case.series, *in_order(case))
    ]


def _written(series: Series, job: str, namespace: str) -> str:
    labels = {**series.labels, "job": job, "instance": series.instance, "namespace": namespace}
    shown = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items() if value)
    return f"{series.name}{{{shown}}}"


def promtool(folder: Path, rules: Sequence[Path], every: str, **test: object) -> str:
    """The words of `promtool test rules`, evaluating every so often; none when all is expected.

    Raises:
        AssertionError: it could not run the test.
    """
    program = require("promtool")
    path = folder / "test.json"
    content = {
        "rule_files": [str(file) for file in rules],
        "evaluation_interval": every,
        # promtool's own order is another one every time; steps may be longer than the lookback.
        "group_eval_order": [
            group["name"]
            for file in sorted(rules, key=_reads_others)
            for group in yaml.safe_load(file.read_text())["groups"]
        ],
        "tests": [{"interval": "1m", **test}],
    }
    path.write_text(json.dumps(content))  # JSON is YAML
    result = subprocess.run(
        [program, "test", "rules", path], capture_output=True, text=True, check=False
    )
    failed = "FAILED:" in result.stdout + result.stderr
    assert (result.returncode != 0) == failed, result.stdout + result.stderr
    return (result.stdout + result.stderr).partition("FAILED:")[2]


def _reads_others(file: Path) -> int:
    return ["aggregations", "objectives", "alerts"].index(file.name.split(".")[0].split("-")[1])


def fired(
    folder: Path, rules: Sequence[Path], every: str, cases: Sequence[Case], namespace: str = ""
) -> dict[int, list[Fired]]:
    """Every alert that fires for the cases, by the minute at which it was looked.

    Raises:
        AssertionError: promtool could not run the test, or says what is not understood here.
    """
    minutes = sorted({case.minute for case in cases})
    return looked(folder, rules, every, minutes, input_series=history(cases, namespace))


def looked(
    folder: Path, rules: Sequence[Path], every: str, minutes: Sequence[int], **test: object
) -> dict[int, list[Fired]]:
    """Every alert that fires in a test with this input, by the minute at which it was looked.

    Raises:
        AssertionError: as for fired.
    """
    # promtool names what fires where nothing is expected to.
    looks = [
        {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []}
        for minute in minutes
        for name in ALERTS
    ]
    words = promtool(folder, rules, every, alert_rule_test=looks, **test)
    times = {_as_go_writes(minute): minute for minute in minutes}
    found: dict[int, list[Fired]] = {minute: [] for minute in minutes}
    before, *parts = re.split(r"(?=alertname: )", words)
    assert not before.strip(), words
    for part in parts:
        head = _HEAD.match(part)
        labels = re.findall(r"Labels:(\{.*\})", part)
        annotations = re.findall(r"Annotations:(\{.*\})", part)
        assert head, part
        assert labels, part
        found[times[head[2]]] += [
            Fired(head[1], _read(one), _read(other))
            for one, other in zip(labels, annotations, strict=True)
        ]
    return found


def _as_go_writes(minute: int) -> str:
    days, rest = divmod(minute, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def _read(text: str) -> dict[str, str]:
    return {name: json.loads(value) for name, value in _LABEL.findall(text)}
