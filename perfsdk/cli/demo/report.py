"""Shows the three answers: as tables for people, as plain data for programs."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from perfsdk.catalog import COMPONENTS
from perfsdk.cli.demo import wording
from perfsdk.cli.demo.answers import Answers, CacheUse, RouteLatency, RouteTime, Spent
from perfsdk.cli.demo.load import Sent

NOTHING = "-"
GOOD_HIT_RATE = 0.8
POOR_HIT_RATE = 0.5


def print_answers(console: Console, answers: Answers) -> None:
    """Print the three tables, each with what it means."""
    _print_heading(console, "1. What is my P99?")
    console.print(_latency_table(answers.latencies))
    _print_note(console, "failed: a 5xx, or an error that is not the client's")
    _print_heading(console, "2. Where does the time go?")
    console.print(_time_table(answers.times))
    note = "averages of one request"
    if any(route.tail for route in answers.times):
        note += "; slow tail: above the P95 of the route's last ones"
    _print_note(console, note)
    _print_findings(console, wording.findings(answers))
    _print_heading(console, "3. What is my cache hit rate?")
    if answers.caches:
        console.print(_cache_table(answers.caches))
        _print_findings(console, [wording.cache_finding(cache) for cache in answers.caches])
    else:
        _print_note(console, "no cache was asked")


def print_comparison(console: Console, answers: Answers, sent: Sent) -> None:
    """Say whether the page holds exactly what the load was answered."""
    exact = sent.answered == answers.requests
    workers = wording.count(answers.workers, "worker")
    text = (
        f"Check: {sent.answered:,} answers to the load, {answers.requests:,} requests on the "
        f"page ({workers})."
    )
    console.print(Text(text, style="green" if exact else "yellow"))
    if sent.unanswered:
        console.print(Text(f"{sent.unanswered:,} requests had no answer.", style="red"))


def as_data(answers: Answers, sent: Sent) -> dict[str, Any]:
    """The report for `json.dumps`: durations in seconds, shares and rates from 0 to 1."""
    return {
        "sent": {"answers": sent.by_route(), "unanswered": sent.unanswered},
        "latencies": [_latency_data(latency) for latency in answers.latencies],
        "times": [
            {
                "route": route.route,
                "all": _spent_data(route.all),
                "tail": _spent_data(route.tail) if route.tail else None,
                "db_calls": route.db_calls,
            }
            for route in answers.times
        ],
        "findings": wording.findings(answers),
        "caches": [asdict(cache) | {"hit_rate": cache.hit_rate} for cache in answers.caches],
    }


def _latency_table(latencies: list[RouteLatency]) -> Table:
    table = _table("route", "requests", "failed", "P50", "P95", "P99")
    for latency in latencies:
        share = latency.failed / latency.requests
        table.add_row(
            Text(latency.route),
            f"{latency.requests:,}",
            Text(wording.percent(share), style="red" if latency.failed else ""),
            *map(wording.quantile, (latency.p50, latency.p95)),
            Text(wording.quantile(latency.p99), style="bold"),
        )
    return table


def _time_table(routes: list[RouteTime]) -> Table:
    shown = [name for name in COMPONENTS if _is_shown(name, routes)]
    table = _table("route", "average", *shown, "db calls")
    for route in routes:
        calls = NOTHING if route.db_calls is None else wording.times(route.db_calls)
        table.add_row(Text(route.route), *_spent_cells(route.all, shown), calls)
        if route.tail:
            share = wording.percent(route.tail.requests / route.all.requests)
            name = Text(f"  slow tail, {share}", style="dim")
            table.add_row(name, *_spent_cells(route.tail, shown), "")
    return table


def _cache_table(caches: list[CacheUse]) -> Table:
    table = _table("cache", "lookups", "hit rate", "a miss costs")
    for cache in caches:
        table.add_row(
            Text(wording.cache_name(cache)),
            f"{cache.lookups:,}",
            Text(wording.percent(cache.hit_rate), style=_hit_rate_style(cache.hit_rate)),
            NOTHING if cache.miss_seconds is None else wording.duration(cache.miss_seconds),
        )
    return table


def _spent_cells(spent: Spent, components: list[str]) -> list[Text]:
    """The average and each component's share, the largest of them marked."""
    cells = [Text(wording.duration(spent.average_seconds))]
    for name in components:
        style = "bold yellow" if name == spent.bottleneck else ""
        cells.append(Text(wording.percent(spent.share(name)), style=style))
    return cells


def _is_shown(component: str, routes: list[RouteTime]) -> bool:
    """The components of every shop, and others where they took time."""
    always = component in {"app", "db", "cache"}
    return always or any(route.all.seconds.get(component) for route in routes)


def _hit_rate_style(hit_rate: float) -> str:
    if hit_rate >= GOOD_HIT_RATE:
        return "green"
    return "yellow" if hit_rate >= POOR_HIT_RATE else "red"


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_heading(console: Console, question: str) -> None:
    console.print()
    console.print(Text(question, style="bold cyan"))
    console.print()


def _print_note(console: Console, note: str) -> None:
    console.print(Padding(Text(note, style="dim italic"), (0, 0, 0, 1), expand=False))


def _print_findings(console: Console, sentences: list[str]) -> None:
    console.print()
    for sentence in sentences:
        console.print(Padding(Text(sentence), (0, 0, 0, 1), expand=False))


def _latency_data(latency: RouteLatency) -> dict[str, Any]:
    data = asdict(latency)
    for name in ("p50", "p95", "p99"):
        data[f"{name}_seconds"] = data.pop(name)[0]
    return data


def _spent_data(spent: Spent) -> dict[str, Any]:
    return {"requests": spent.requests, "seconds": dict(spent.seconds)}
