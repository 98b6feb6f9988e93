"""Measures the clients of clusters and their pipelines, as `redis_clients` does all others.

A command goes through `execute_command` once, to whatever nodes; a pipeline is one operation,
to however many nodes it is sent. After redis-py 6.0, what is queued is held by a strategy, and a
transaction sends commands between WATCH and MULTI by a method of its own.
"""

from collections.abc import Sequence
from typing import Any

from perfsdk.integrations.redis_clients import Clients
from perfsdk.wrapping.calls import Args
from perfsdk.wrapping.patches import Patches


def patch_cluster(module: Any, name: str, patches: Patches, clients: Clients) -> None:
    """Measure the clients of `module`, whose class is called `name`."""
    patches.replace(getattr(module, name), "execute_command", clients.command())
    patches.replace(module.ClusterPipeline, "execute", clients.pipeline(queue_of))
    if strategy := getattr(module, "TransactionStrategy", None):
        patches.replace(strategy, "_immediate_execute_command", clients.command())


def patch_awaited_cluster(module: Any, name: str, patches: Patches, clients: Clients) -> None:
    """The same for asyncio."""
    patches.replace(getattr(module, name), "execute_command", clients.awaited_command())
    patches.replace(module.ClusterPipeline, "execute", clients.awaited_pipeline(queue_of))
    if strategy := getattr(module, "TransactionStrategy", None):
        patches.replace(strategy, "_immediate_execute_command", clients.awaited_command())


def queue_of(pipeline: Any) -> tuple[Sequence[Args], bool]:
    """What the pipeline of a cluster holds, and whether EXEC is sent without any command."""
    strategy = getattr(pipeline, "_execution_strategy", None)
    if strategy is not None:  # asked first: `command_stack` is there as well, always empty
        queue, is_sent = strategy._command_queue, getattr(strategy, "_watching", False)  # noqa: SLF001 - no other way
    else:
        queue, is_sent = getattr(pipeline, "_command_stack", None), False
        if queue is None:
            queue = pipeline.command_stack
    return [command.args for command in queue], bool(is_sent)
