"""Marks for tests of what a framework can do since some version."""

from importlib.metadata import version

import pytest


def is_since(distribution, minimum):
    """Whether the installed version is `minimum`, such as "0.33", or newer."""
    return _numbers(version(distribution)) >= _numbers(minimum)


def since(distribution, minimum, reason):
    """Skip the test with older versions; `reason` says what those cannot do."""
    text = f"since {distribution} {minimum}: {reason}"
    return pytest.mark.skipif(not is_since(distribution, minimum), reason=text)


def _numbers(text):
    parts = []
    for part in text.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)
