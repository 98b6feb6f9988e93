"""Inbound: one small file for each web framework, over what all of them share."""
