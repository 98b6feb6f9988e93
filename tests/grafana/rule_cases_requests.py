"""Cases of what callers see: objectives, lost traffic, the tail, new errors, more calls."""

from tests.grafana.rule_cases import (
    BUILD_INFO,
    DAY,
    SHIFT,
    WEEK,
    WORKERS,
    Case,
    always,
    calls,
    requests,
    value,
)

PAGE, TICKET = "PerfsdkErrorBudgetBurnPage", "PerfsdkErrorBudgetBurnTicket"
SLOW_PAGE, SLOW_TICKET = "PerfsdkLatencyBudgetBurnPage", "PerfsdkLatencyBudgetBurnTicket"
TRAFFIC, CALLS = "PerfsdkTrafficDropped", "PerfsdkDatabaseCallsGrew"
NEW_ERROR, P99 = "PerfsdkNewError", "PerfsdkLatencyP99High"
NOT_MEASURED = "PerfsdkObjectiveNotMeasured"

SEVEN_HOURS, EIGHT_HOURS = 7 * 60, 8 * 60
DAY_BEFORE, TODAY = 24 * 60 + 15, 75
TWO_HOURS, BETWEEN = 120, 7 * 24 * 60 - 120


def failing(share, per_minute=600.0, **end):
    """A steady service of which so much fails."""
    end = {"status": "500", "error": "ValueError"} | end
    well, failed = per_minute * (1 - share), per_minute * share
    return [*requests(*always(well)), *requests(*always(failed), **end)]


def failing_lately(share, minutes):
    """A service that was well for hours, and then fails."""
    return [
        *requests(*always(600, SHIFT)),
        *requests(
            (0, EIGHT_HOURS - minutes), (600 * share, minutes), status="500", error="ValueError"
        ),
    ]


def slow(share, per_minute=600.0):
    """A steady service of which so much takes 300 ms."""
    return requests(*always(per_minute), slow=share)


def without_bucket():
    """A service none of whose buckets ends at the objective's threshold."""
    return [one for one in requests(*always(600)) if one.labels.get("le") != "0.1"]


OBJECTIVES = [
    Case("fails-5-percent", PAGE, failing(0.05), (PAGE, TICKET)),
    Case("fails-with-an-error-after-200", PAGE, failing(0.05, status="200"), (PAGE, TICKET)),
    Case("fails-with-status-alone", PAGE, failing(0.05, status="503", error="503"), (PAGE, TICKET)),
    Case("fails-5-percent-of-nothing", PAGE, failing(0.05, per_minute=2), guard=True),
    Case("clients-leave", PAGE, failing(0.3, status="499", error="client_disconnect")),
    Case("unknown-ends", PAGE, failing(0.3, status="<overflow>", error="<overflow>")),
    Case("not-found", PAGE, failing(0.3, status="404", error="")),
    Case(
        "failed-and-recovered",
        PAGE,
        [
            *requests(*always(570)),
            *requests((30, 20), (0, 80), status="500", error="ValueError"),
        ],
        (TICKET,),
    ),
    Case("fails-4-in-1000", TICKET, failing(0.004), (TICKET,)),
    Case("fails-1-in-2000", TICKET, failing(0.0005)),
    Case("fails-4-in-1000-of-nothing", TICKET, failing(0.004, per_minute=2), guard=True),
    Case("slow-9-of-10", SLOW_PAGE, slow(0.9), (SLOW_PAGE, SLOW_TICKET)),
    Case("slow-6-of-10", SLOW_TICKET, slow(0.6), (SLOW_TICKET,)),
    Case("slow-4-of-10", SLOW_TICKET, slow(0.4)),
    Case("slow-7-of-10", SLOW_PAGE, slow(0.7), (SLOW_TICKET,)),
    Case("slow-of-nothing", SLOW_PAGE, slow(1.0, per_minute=2), guard=True),
    Case("slowness-of-nothing", SLOW_TICKET, slow(0.6, per_minute=2), guard=True),
    Case("no-bucket-at-the-threshold", NOT_MEASURED, without_bucket(), (NOT_MEASURED,)),
    Case("tail-is-slow", NOT_MEASURED, slow(0.05)),
]


def weekly(before, now):
    """Traffic a week ago and now; nothing was recorded between."""
    return requests((before, TWO_HOURS), (None, BETWEEN), (now, TWO_HOURS))


WINDOWS = [
    # Six hours of it are within what pages, the last hour is not.
    Case("fails-since-50-minutes", PAGE, failing_lately(0.03, 50), (PAGE, TICKET), SHIFT),
    # Neither five minutes nor an hour are 14.4 times too bad, six hours are 6 times.
    Case("fails-since-7-hours", PAGE, failing_lately(0.008, SEVEN_HOURS), (PAGE, TICKET), SHIFT),
    Case("fails-since-half-an-hour", PAGE, failing_lately(0.02, 30), (), SHIFT),
    Case("failed-once-in-7-hours", TICKET, failing_lately(0.02, 10), (), SHIFT),
]

TRAFFIC_CASES = [
    Case("traffic-is-a-tenth", TRAFFIC, weekly(600, 60), (TRAFFIC,), WEEK),
    Case("traffic-is-half", TRAFFIC, weekly(600, 300), (), WEEK),
    Case("traffic-stopped", TRAFFIC, weekly(600, 0), (TRAFFIC,), WEEK),
    Case("traffic-has-no-series", TRAFFIC, requests((600, TWO_HOURS)), (TRAFFIC,), WEEK),
    Case("traffic-was-nothing", TRAFFIC, weekly(2, 0), (), WEEK, guard=True),
    Case(
        "service-was-removed",
        TRAFFIC,
        [
            *requests((600, TWO_HOURS)),
            *(value(name, (1, TWO_HOURS)) for name in ("up", BUILD_INFO, WORKERS)),
        ],
        (),
        WEEK,
    ),
]

SINCE_YESTERDAY = [
    Case("n-plus-one", CALLS, calls((2, DAY_BEFORE), (12, TODAY)), (CALLS,), DAY),
    Case("one-call-more", CALLS, calls((2, DAY_BEFORE), (3, TODAY)), (), DAY),
    Case("four-calls-for-one", CALLS, calls((1, DAY_BEFORE), (4, TODAY)), (), DAY),
    Case("always-many-calls", CALLS, calls(*always(40, DAY)), (), DAY),
    Case(
        "n-plus-one-of-nothing", CALLS, calls((2, DAY_BEFORE), (12, TODAY), of=1), (), DAY, 0, True
    ),
    Case(
        "new-error",
        NEW_ERROR,
        [
            *requests(*always(6000, DAY)),
            *requests((0, DAY_BEFORE + 30), (1, 45), status="500", error="KeyError"),
        ],
        (NEW_ERROR,),
        DAY,
    ),
    Case(
        "error-as-yesterday",
        NEW_ERROR,
        [*requests(*always(6000, DAY)), *requests(*always(1, DAY), status="500", error="KeyError")],
        (),
        DAY,
    ),
    Case(
        "error-of-a-new-service",
        NEW_ERROR,
        [
            *requests((None, DAY_BEFORE), (6000, TODAY)),
            *requests((None, DAY_BEFORE), (1, TODAY), status="500", error="KeyError"),
        ],
        (),
        DAY,
    ),
    Case(
        "new-error-of-nothing",
        NEW_ERROR,
        [
            *requests(*always(1, DAY)),
            *requests((0, DAY_BEFORE + 30), (1, 45), status="500", error="KeyError"),
        ],
        (),
        DAY,
        guard=True,
    ),
]

CASES = [*OBJECTIVES, *WINDOWS, *TRAFFIC_CASES, *SINCE_YESTERDAY]

P99_ON = [
    Case("p99-is-400-ms", P99, slow(0.05), (P99,)),
    Case("p99-is-30-ms", P99, slow(0.0)),
    Case("p99-of-nothing", P99, slow(0.05, per_minute=2), guard=True),
]
"""With a limit of 0.2 s: it is off by default."""
