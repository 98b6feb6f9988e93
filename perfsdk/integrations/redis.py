"""Times each command and pipeline of redis-py once, and counts hits, misses and writes by key.

Known: redis-py 5 to 8, sync and asyncio, clusters, and what Sentinel finds
(https://redis.readthedocs.io); pub/sub is left alone. Entry points: `execute_command`, through
which a command goes once whatever is retried below it; `Pipeline.execute`, one operation for all
that was queued; and `immediate_execute_command`, for commands between WATCH and MULTI.

`redis_commands` says what each command is. Answers that are errors say nothing; keys of brokers,
queues, locks and sessions are no cache's. Commands that wait, and pipelines with one of them,
are not timed. An answer of the client-side cache is a hit like any other.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from perfsdk.integrations.redis_clients import Clients
from perfsdk.integrations.redis_cluster import patch_awaited_cluster, patch_cluster
from perfsdk.recorder import Recorder
from perfsdk.wrapping.calls import Args
from perfsdk.wrapping.patches import Patches

VERSIONS = ((5,), (9,))


def patch(module: Any, patches: Patches, recorder: Recorder) -> None:
    """Measure the clients and pipelines that are there and those to come."""
    patch_clients(module.__name__, "Redis", patches, recorder)


def patch_clients(library: str, name: str, patches: Patches, recorder: Recorder) -> None:
    """Measure the clients of a library that is made like redis-py; `name` is that of its class."""
    clients = Clients(recorder, library)
    client = import_module(f"{library}.client")
    command = clients.command(is_leaf=True)
    patches.replace(getattr(client, name), "execute_command", command)
    patches.replace(client.Pipeline, "immediate_execute_command", command)
    patches.replace(client.Pipeline, "execute", clients.pipeline(queue_of))
    client = import_module(f"{library}.asyncio.client")
    command = clients.awaited_command()
    patches.replace(getattr(client, name), "execute_command", command)
    patches.replace(client.Pipeline, "immediate_execute_command", command)
    patches.replace(client.Pipeline, "execute", clients.awaited_pipeline(queue_of))
    patch_cluster(import_module(f"{library}.cluster"), f"{name}Cluster", patches, clients)
    cluster = import_module(f"{library}.asyncio.cluster")
    patch_awaited_cluster(cluster, f"{name}Cluster", patches, clients)


def queue_of(pipeline: Any) -> tuple[Sequence[Args], bool]:
    """What a pipeline holds, and whether EXEC is sent without any command."""
    return [args for args, _ in pipeline.command_stack], bool(pipeline.watching)
