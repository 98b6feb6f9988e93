"""Starts a program whose Python processes measure what they serve, without a change to it."""
