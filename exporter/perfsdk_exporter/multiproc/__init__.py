"""The files of prometheus_client's multi-process mode."""
