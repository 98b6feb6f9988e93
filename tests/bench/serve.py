"""A server of one peer: `python -m tests.bench.serve SUBJECT FRAMEWORK PORT CORE`.

uvicorn with one worker, uvloop and httptools, without access log. Ended by SIGTERM, it prints how
many requests the peer has counted.
"""

import json
import os
import signal
import sys

from tests.bench.applications import make
from tests.bench.peers import PEERS


def main():
    import uvicorn

    subject, framework, port, core = sys.argv[1:]
    if int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    peer = PEERS[subject]
    app = peer.wrap(make(framework))
    # uvicorn hands the signal on after it has shut down, which would end this process.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
    print(json.dumps({"recorded": peer.recorded()} if peer.recorded else {}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
