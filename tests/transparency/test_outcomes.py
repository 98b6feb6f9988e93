"""Two runs of a suite are compared test by test."""

import pytest

from tests.transparency.outcomes import Case, Difference, differences, read_outcomes

pytest_plugins = ["pytester"]

ONE = Case("tests/test_one.py", "tests.test_one::test_one")


def test_outcomes_of_a_real_report(pytester, tmp_path):
    """Passed, failed, broken around the test, skipped; tests of one name stay apart."""
    pytester.makepyfile(
        test_one="""
        import pytest

        def test_passes(): pass
        def test_fails(): assert 0
        @pytest.mark.skip
        def test_skipped(): pass
        @pytest.fixture
        def broken(): raise ValueError
        def test_broken(broken): pass
        @pytest.mark.parametrize("x", [1, 2])
        def test_each(x): pass
        """
    )
    report = tmp_path / "report.xml"
    pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"
    )
    expected = {
        "test_one::test_passes": "passed",
        "test_one::test_fails": "failed",
        "test_one::test_skipped": "skipped",
        "test_one::test_broken": "failed",
        "test_one::test_each[1]": "passed",
        "test_one::test_each[2]": "passed",
    }
    expected = {Case("test_one.py", name): outcome for name, outcome in expected.items()}
    assert expected == read_outcomes(report)


@pytest.mark.parametrize(
    ("bare", "measured", "expected"),
    [
        ({ONE: "passed"}, {ONE: "passed"}, []),
        ({ONE: "passed"}, {ONE: "failed"}, [Difference(ONE, "passed", "failed")]),
        ({ONE: "failed"}, {ONE: "passed"}, [Difference(ONE, "failed", "passed")]),
        ({ONE: "passed"}, {}, [Difference(ONE, "passed", None)]),
        ({}, {ONE: "skipped"}, [Difference(ONE, None, "skipped")]),
    ],
)
def test_differences(bare, measured, expected):
    """Each test that ended in another way, or did not run."""
    assert expected == differences(bare, measured)
