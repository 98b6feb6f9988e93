"""Processes that ended: folded into an archive, their files removed."""
