"""What a request costs without a network: one ASGI application awaited in one task on uvloop."""

import statistics

from tests.bench.applications import FRAMEWORKS, Client, make
from tests.bench.child import in_child
from tests.bench.figures import (
    BARE,
    OURS,
    Report,
    goal_of,
    goal_of_overhead,
    overhead,
    overhead_table,
    problem,
    ratio_of_overheads,
    table,
    turns,
)
from tests.bench.peers import HAND_WRITTEN_MULTIPROCESS, PEERS, multiprocess_peers, peers_of
from tests.bench.rounds import interleave

MOST_US = {"starlette": 4.0, "fastapi": 8.0}
MOST_OF_HAND_WRITTEN = {"starlette": 0.73, "fastapi": 0.80}
TURNS = 40
WARM_REQUESTS = 1000
ROUTES = (1, 200, 1000)
FLAT_WITHIN_US = 1.0
BARE_AGAIN = "bare again"


def prepare(subject, *, framework, routes=1, requests):
    """In a child: one peer around one application, asked `requests` times a turn."""
    import uvloop

    peer = PEERS[subject.removesuffix(" again")]
    client = Client(peer.wrap(make(framework, routes)))
    loop = uvloop.new_event_loop()
    client.microseconds(loop, WARM_REQUESTS)

    def turn():
        client.microseconds(loop, requests // 10)  # after the others' turns the caches are theirs
        return {"us": client.microseconds(loop, requests)}

    def end():
        client.check()
        recorded = {"recorded": peer.recorded()} if peer.recorded else {}
        return {"calls": client.calls, **recorded}

    return turn, end


def collect(options):
    """Every peer around Starlette and around FastAPI."""
    texts, goals, samples = [], [], {}
    for framework in FRAMEWORKS:
        start = in_child(
            "asgi", multiprocess=multiprocess_peers(), framework=framework, requests=200
        )
        found = interleave(
            start,
            peers_of(framework),
            rounds=options.rounds_or(7),
            turns=TURNS,
            label=f"asgi {framework}",
        )
        samples[framework] = found
        texts += [f"### One request in-process, {framework}\n", overhead_table(found, "us", "us")]
        goals += [
            goal_of_overhead(
                f"asgi, {framework}: a request",
                MOST_US[framework],
                found,
                key="us",
                unit="us",
            ),
            _goal_beside_hand_written(framework, found),
        ]
    return Report("\n".join(texts), goals, samples)


def _goal_beside_hand_written(framework, samples):
    most = MOST_OF_HAND_WRITTEN[framework]

    def judge():
        share = ratio_of_overheads(samples, OURS, HAND_WRITTEN_MULTIPROCESS, "us")
        return f"{share.median:.2f}, by minima {share.least:.2f}", share.median <= most

    return goal_of(
        f"asgi, {framework}: added, ours / {HAND_WRITTEN_MULTIPROCESS}",
        f"<= {most}",
        samples,
        (BARE, OURS, HAND_WRITTEN_MULTIPROCESS),
        judge,
    )


def collect_routes(options):
    """Ours against bare with more and more routes: what is added must not grow.

    A router that walks along 500 routes takes a hundred times what is added, and so does its
    noise: how far a second bare application is from the first tells how much to believe.
    """
    texts, goals, samples = [], [], {}
    for framework in FRAMEWORKS:
        by_routes = {routes: _at(routes, framework, options) for routes in ROUTES}
        texts += [f"### Number of routes, the middle one asked, {framework}\n", _routes(by_routes)]
        goals.append(_goal_flat(framework, by_routes))
        samples |= {f"{framework} {routes}": found for routes, found in by_routes.items()}
    return Report("\n".join(texts), goals, samples)


def _at(routes, framework, options):
    return interleave(
        in_child("asgi", framework=framework, routes=routes, requests=100),
        (BARE, OURS, BARE_AGAIN),
        rounds=options.rounds_or(5),
        turns=TURNS,
        label=f"routes {framework} {routes}",
    )


def _routes(by_routes):
    rows = []
    for routes, samples in by_routes.items():
        if why := problem(samples[OURS]) or problem(samples[BARE]):
            rows.append([str(routes), why])
            continue
        bare = statistics.median(turns(samples, BARE, "us"))
        row = [overhead(samples, name, "us") for name in (OURS, BARE_AGAIN)]
        rows.append([str(routes), f"{bare:.1f}", *(f"{added:+.2f}" for added in row)])
    headers = ["routes", "bare us", "added us (quartiles)", "added us by a second bare one"]
    return table(headers, rows)


def _goal_flat(framework, by_routes):
    def judge():
        at_least, *at_more = [
            {name: overhead(samples, name, "us").median for name in (OURS, BARE_AGAIN)}
            for samples in by_routes.values()
        ]
        growths = [at[OURS] - at_least[OURS] for at in at_more]
        noises = [abs(at[BARE_AGAIN]) for at in at_more]
        measured = " and ".join(
            f"{growth:+.2f} us (noise {noise:.2f})"
            for growth, noise in zip(growths, noises, strict=True)
        )
        pairs = zip(growths, noises, strict=True)
        return measured, all(growth <= FLAT_WITHIN_US + noise for growth, noise in pairs)

    return goal_of(
        f"routes, {framework}: added at {ROUTES[1]} and {ROUTES[2]} routes over added at 1",
        f"<= {FLAT_WITHIN_US:g} us and noise",
        {f"perfsdk, {n} routes": found[OURS] for n, found in by_routes.items()},
        [f"perfsdk, {n} routes" for n in by_routes],
        judge,
    )
