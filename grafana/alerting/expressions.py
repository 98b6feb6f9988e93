"""Writes the PromQL of rules: one value a service, from classic and native histograms alike."""

from grafana.alerting.names import REQUESTS
from grafana.alerting.parameters import MIN_REQUESTS, SELECTOR
from grafana.alerting.rule import JOB
from perfsdk import catalog
from perfsdk.catalog import Metric

DURATION = catalog.HTTP_SERVER_REQUEST_DURATION
SERVER_ERROR = 'http_response_status_code=~"5.."'
# Of what came past a bound of series it is not known how it ended.
RAISED = f'error_type!~"|client_disconnect|{catalog.OVERFLOW}"'
IS_ERROR = 'error_type!=""'

OF_JOB = f"on ({', '.join(JOB)})"


def series(name: str, *where: str) -> str:
    """The series of a name, narrowed by matchers and by what the user selects."""
    return f"{name}{{{','.join((*where, str(SELECTOR)))}}}"


def total(expr: str, *by: str, function: str = "sum") -> str:
    """One value for each service, or for each of its values of `by`."""
    return f"{function} by ({', '.join((*JOB, *by))}) (\n{indented(expr)}\n)"


def indented(expr: str) -> str:
    """The expression two columns to the right."""
    return "\n".join(f"  {line}" for line in expr.split("\n"))


def rate(name: str, *where: str, over: str = "5m") -> str:
    """Growth a second of each series."""
    return f"rate({series(name, *where)}[{over}])"


def observations(metric: Metric, *where: str) -> str:
    """Observations a second of each series of a histogram, however it is stored.

    The choice is made for each series: where a part of the instances stores native histograms,
    or both forms, every observation counts once.
    """
    classic = rate(f"{metric.name}_count", *where)
    if not metric.native:
        return classic
    return f"{classic}\nor\nhistogram_count({rate(metric.name, *where)})"


def failed_requests() -> str:
    """Failed requests a second of each series: 5xx, or an error but a client that left."""
    return f"{observations(DURATION, SERVER_ERROR)}\nor\n{observations(DURATION, RAISED)}"


def fast_requests(seconds: str) -> str:
    """Requests a second of each series that took at most so long.

    `seconds` is the bound of a bucket; in a native histogram it may lie between two.
    """
    # 1 is written 1.0, here too where somebody's proxy or an older server says 1.
    within = rate(f"{DURATION.name}_bucket", f'le=~"{seconds}(\\\\.0)?"')
    native = rate(DURATION.name)
    # Where nothing was observed the fraction is NaN, and one NaN would be the sum.
    return (
        f"sum without (le) ({within})\nor\n"
        f"histogram_fraction(0, {seconds}, {native})\n"
        f"  * (histogram_count({native}) > 0)"
    )


def quantile(q: float, classic: str, native: str) -> str:
    """A quantile of rates of buckets, or of native histograms; nothing where nothing happened."""
    return (
        f"histogram_quantile({q:g}, {classic}) >= 0\nor\nhistogram_quantile({q:g}, {native}) >= 0"
    )


def quantile_of(q: float, metric: Metric, *by: str) -> str:
    """The same, from a metric."""
    classic = total(rate(f"{metric.name}_bucket"), "le", *by)
    return quantile(q, classic, total(rate(metric.name), *by))


def or_none(expr: str, whole: str) -> str:
    """0 where there is a whole and nothing of this part in it."""
    return f"{expr}\nor\n0 * {whole}"


def share(part: str, whole: str) -> str:
    """The part of a whole; nothing where there is none."""
    return f"{part} / ({whole} > 0)"


def busy(over: str = "1h") -> str:
    """The guard of an alert: without this much traffic no share of it tells anything."""
    return f"and {OF_JOB} avg_over_time({REQUESTS}[{over}]) > {MIN_REQUESTS}"


def before(name: str, over: str = "1h") -> str:
    """What a recorded series was a week ago, or where it is younger, a day ago."""
    week, day = (f"avg_over_time({name}[{over}] offset {ago})" for ago in ("1w", "1d"))
    return f"({week} or {day})"
