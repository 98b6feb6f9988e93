"""Times each command and pipeline of valkey-py once, and counts hits, misses and writes by key.

Known: valkey-py 6, sync and asyncio, clusters, and what Sentinel finds
(https://valkey-py.readthedocs.io). It is made like redis-py, and measured as that is.
"""

from typing import Any

from perfsdk.integrations.redis import patch_clients
from perfsdk.recorder import Recorder
from perfsdk.wrapping.patches import Patches

VERSIONS = ((6,), (7,))


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the clients and pipelines that are there and those to come."""
    patch_clients(module.__name__, "Valkey", patches, recorder)
