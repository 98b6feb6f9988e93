"""What the end-to-end tests share: the exporter of the test's directory."""

import pytest

from tests.e2e.running import start_exporter

pytest.register_assert_rewrite("tests.e2e.totals")


@pytest.fixture
def exporter(perfsdk_dir, tmp_path):
    """The real exporter, reading what this test's applications write."""
    with start_exporter(perfsdk_dir, tmp_path) as exporter:
        yield exporter
