"""A plugin of pytest that has the libraries of a run measured, from their import on.

It is loaded with `-p`, in the environment of the suite that is run.
"""

import perfsdk


async def application(_scope, _receive, _send):
    """Nobody calls it: it is there for the libraries to be measured."""


def pytest_configure():
    """Patch what is imported later, before any test module is."""
    perfsdk.instrument(application)
