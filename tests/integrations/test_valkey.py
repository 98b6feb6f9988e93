"""valkey-py, against a real server: it is measured as redis-py is, under its own name."""

from tests.integrations.redis_contract import (
    AsyncClusterContract,
    AsyncRedisContract,
    SyncClusterContract,
    SyncRedisContract,
)


class TestValkey(SyncRedisContract):
    """The sync client."""

    library, name = "valkey", "Valkey"


class TestAsyncValkey(AsyncRedisContract):
    """The asyncio client."""

    library, name = "valkey", "Valkey"


class TestValkeyCluster(SyncClusterContract):
    """The sync client of a cluster."""

    library, name = "valkey", "ValkeyCluster"


class TestAsyncValkeyCluster(AsyncClusterContract):
    """The asyncio client of a cluster."""

    library, name = "valkey", "ValkeyCluster"
