"""The tests of the contract of frameworks, by subject; `http_contract` puts them together."""

import pytest

_PARTS = (
    "framework",
    "hostile",
    "labels",
    "lifetime",
    "outcomes",
    "selection",
    "servers",
    "sizes",
    "times",
    "websockets",
)

# Else a test that fails says only that it failed: pytest looks into no other module by itself.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))
