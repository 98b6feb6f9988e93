"""What a user may choose of the rules: every name, default and meaning once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HELM_PREFIX = ".Values.rules.parameters"

Value = float | str


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One choice; in the text of a rule it stands as a mark until the text is filled.

    `least` and `most` are the bounds of a number, themselves not allowed where `inside` is true.
    """

    name: str
    default: Value
    meaning: str
    least: float = 0.0
    most: float = float("inf")
    inside: bool = False

    def __str__(self) -> str:
        return f"«{self.name}»"

    def checked(self, value: Value) -> Value:
        """The value as this parameter takes it: a number, where its default is one.

        Raises:
            ValueError: it is not a number, or out of bounds.
        """
        if isinstance(self.default, str):
            return str(value)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{self.name} is a number, not {value!r}") from None
        within = self.least <= number <= self.most
        if not within or (self.inside and number in {self.least, self.most}):
            edges = "excluded" if self.inside else "included"
            raise ValueError(
                f"{self.name} is from {self.least:g} to {self.most:g} ({edges}), not {number:g}"
            )
        return number


AVAILABILITY_OBJECTIVE = Parameter(
    name="availabilityObjective",
    default=0.999,
    least=0.95,  # below, 14.4 times the budget comes near to all requests, and nothing would page
    most=1.0,
    inside=True,
    meaning="Share of requests that do not fail, over 30 days; 0.999 is an error rate of 0.1 %.",
)
LATENCY_SECONDS = Parameter(
    name="latencySeconds",
    default=0.1,
    inside=True,
    meaning="A request that takes longer is slow. The bound of a bucket: one of the catalog, or"
    " the application's `latency_objective`.",
)
LATENCY_OBJECTIVE = Parameter(
    name="latencyObjective",
    default=0.5,
    most=1.0,
    inside=True,
    meaning="Share of requests that are not slow, over 30 days; 0.5 says that P50 is below"
    " latencySeconds.",
)
P99_SECONDS = Parameter(
    name="p99Seconds",
    default=0.0,
    meaning="P99 of a service above which `PerfsdkLatencyP99High` warns; 0: never. The objective"
    " above is the better alert.",
)
MIN_REQUESTS = Parameter(
    name="minRequestsPerSecond",
    default=0.05,
    meaning="Traffic below which no share of requests is judged.",
)
MIN_OPERATIONS = Parameter(
    name="minOperationsPerSecond",
    default=0.5,
    meaning="Database or cache operations a second below which none of their shares is judged.",
)
TRAFFIC_KEPT = Parameter(
    name="trafficKept",
    default=0.2,
    most=1.0,
    meaning="Share of the traffic of a week ago below which traffic counts as lost; 0: never.",
)
DB_ERRORS = Parameter(
    name="databaseErrors",
    default=0.01,
    most=1.0,
    meaning="Share of failed database operations that is too high.",
)
DB_SECONDS = Parameter(
    name="databaseSeconds",
    default=0.05,
    meaning="P95 of database operations below which they are never called slow.",
)
POOL_USED = Parameter(
    name="poolUsed",
    default=0.9,
    most=1.0,
    meaning="Share of a pool's connections in use, of one instance, that is too high.",
)
CACHE_ERRORS = Parameter(
    name="cacheErrors",
    default=0.01,
    most=1.0,
    meaning="Share of failed cache operations that is too high.",
)
RESTARTS = Parameter(
    name="restarts",
    default=3.0,
    meaning="Restarts of workers of one instance in 15 minutes that are not yet a loop.",
)
FDS_USED = Parameter(
    name="fdsUsed",
    default=0.85,
    most=1.0,
    meaning="Share of a worker's file descriptors in use that is too high.",
)
SCRAPE_TIMEOUT = Parameter(
    name="scrapeTimeoutSeconds",
    default=10.0,
    inside=True,
    meaning="The scrape timeout of the server: 10 s unless you have set another.",
)
SELECTOR = Parameter(
    name="selector",
    default='job=~".+"',
    meaning="Matchers of every series that is read, one at least; for instance"
    ' `job=~".+",namespace="shop"`.',
)
GRAFANA_URL = Parameter(
    name="grafanaUrl",
    default="http://localhost:3000",
    meaning="Where Grafana is, without a slash at the end: links to dashboards begin so.",
)
RUNBOOK_URL = Parameter(
    name="runbookUrl",
    default="grafana/runbooks.md",
    meaning="Where you keep `runbooks.md`: its address, to which `#` and the alert are added.",
)

PARAMETERS = tuple(value for value in list(globals().values()) if isinstance(value, Parameter))


def chosen(values: Mapping[str, Value]) -> dict[str, Value]:
    """The value of every parameter by name: those that are given, else the defaults.

    Raises:
        ValueError: there is no such parameter, or a value is not one that it takes.
    """
    unknown = values.keys() - {parameter.name for parameter in PARAMETERS}
    if unknown:
        known = ", ".join(parameter.name for parameter in PARAMETERS)
        raise ValueError(f"no such parameter: {', '.join(sorted(unknown))}; there are {known}")
    return {p.name: p.checked(values.get(p.name, p.default)) for p in PARAMETERS}


def filled(text: str, values: Mapping[str, Value]) -> str:
    """The text with values for marks; numbers in the fewest digits that tell them."""
    texts = {
        name: value if isinstance(value, str) else f"{value:.12g}" for name, value in values.items()
    }
    return re.sub(r"«(\w+)»", lambda mark: texts[mark[1]], text)


def for_helm(text: str) -> str:
    """The text as a template of Helm: `tpl` fills the marks from the chart's values.

    What is a template already, Prometheus's own `{{ $labels.job }}`, passes through Helm as it is.
    """
    kept = text.replace("{{", '{{ "{{" }}')
    # A brace of PromQL right before a value would be read as one of Helm's.
    kept = kept.replace("{«", '{{ "{" }}«')
    return re.sub(r"«(\w+)»", rf"{{{{ {HELM_PREFIX}.\1 }}}}", kept)
