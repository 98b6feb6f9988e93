"""Sends the demo shop some requests a second for as long as it runs, and waits where it is away."""

import argparse
import asyncio
import signal
import sys

from perfsdk.cli.demo.load import Sent, send_load, wait_for_first_answer

DAY_SECONDS = 86_400.0


def main() -> int:
    """The exit code, 0 when SIGTERM or SIGINT ended it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="where the shop is, as http://127.0.0.1:8000")
    parser.add_argument("rate", type=float, help="requests a second")
    arguments = parser.parse_args()
    if not 0 < arguments.rate <= 500:
        parser.error("rate is above 0 and at most 500")
    # The first process of a container has no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        asyncio.run(_send(arguments.address, arguments.rate))
    except KeyboardInterrupt:
        pass
    return 0


async def _send(address: str, rate: float) -> None:
    while True:
        sent = Sent()
        await wait_for_first_answer(address, sent, each_step=_go_on)
        # The mix repeats every day; a shop that is away costs no more than requests unanswered.
        await send_load(address, sent, duration_seconds=DAY_SECONDS, rate=rate, each_step=_go_on)


def _go_on(_seconds: float) -> None:
    """Nothing ends the load but a signal."""


if __name__ == "__main__":
    sys.exit(main())
