"""The process itself: what must be read at an interval rather than observed."""
