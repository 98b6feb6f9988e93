"""What is excluded: health checks, the patterns of the user, handlers that opted out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk import exclude
from perfsdk.frameworks.selection import HEALTH_CHECKS, excluded, is_excluded

BY_DEFAULT = [path + end for path in HEALTH_CHECKS for end in ("", "/")]
CASES = [
    ((), "/healthz", True),
    ((), "/metrics/", True),
    ((), "/healthz/deep", False),
    ((), "/", False),
    (("/internal/*",), "/internal/a/b", True),
    (("/internal/*",), "/internal", False),
    (("/internal/*",), "/healthz", True),
    (("/internal",), "/internal", True),
    (("/internal",), "/internal/", False),
    (("!/healthz",), "/healthz", False),
    (("!/healthz",), "/livez", True),
    (("!*",), "/healthz", False),
    (("!*", "/ping"), "/ping", True),
    (("/a/*", "!/a/b"), "/a/b", False),
    (("/a/*", "!/a/b"), "/a/c", True),
    (("/a/*", "!/a/b*", "/a/bc"), "/a/bc", True),
    (("/a/*", "!/a/b*", "/a/bc"), "/a/bd", False),
    (("!/a/b", "/a/*"), "/a/b", True),
    (("/a/b", "!/a/*"), "/a/b", False),
    (("<unmatched>",), "<unmatched>", True),
    (("*.png",), "/static/logo.png", True),
    (("/item?/[ab]",), "/items/a", True),
    (("/item?/[ab]",), "/items/c", False),
]


@pytest.mark.parametrize(("patterns", "path", "expected"), CASES)
def test_the_last_pattern_that_matches_decides(patterns, path, expected):
    """The defaults stand before the user's; what no pattern matches is measured."""
    chosen = excluded(patterns)
    assert [expected] * 3 == [path in chosen for _ in range(3)]


def test_what_comes_from_clients_is_not_kept_for_ever():
    """Paths past the bound of what is remembered are still told right."""
    chosen = excluded(["/x/*"])
    assert all(f"/x/{n}" in chosen for n in range(5000))
    assert not any(f"/y/{n}" in chosen for n in range(5000))
    assert len(chosen._known) <= 1000


@given(st.lists(st.text(max_size=8), max_size=4), st.one_of(st.text(), st.none(), st.integers()))
def test_no_pattern_and_no_path_fails(patterns, path):
    """Whatever is asked, the answer is yes or no, and the same when asked again."""
    chosen = excluded(patterns)
    assert (path in chosen) == (path in chosen)


def test_the_defaults_are_told_without_code_of_ours():
    """Without globs it is a frozenset: asking costs what Python's own `in` costs."""
    assert frozenset(BY_DEFAULT) == excluded([])
    assert isinstance(excluded(["/a", "!/ping*"]), frozenset)


def test_a_handler_is_returned_as_it_is():
    """Decorated functions and classes stay themselves."""

    def handler():
        """A handler."""

    class View:
        """A class-based view."""

    assert (handler, View) == (exclude(handler), exclude(View))
    assert [True, True, False] == [is_excluded(found) for found in (handler, View, len)]
