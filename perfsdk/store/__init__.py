"""Shared memory, the only thing that the SDK and the sidecar both know."""
