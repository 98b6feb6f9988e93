"""The sidecar: serves the exact totals of all worker processes to Prometheus."""
