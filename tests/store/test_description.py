"""What a metric says about itself comes back, and says where it is shown."""

import pytest

from perfsdk.catalog import METRICS
from perfsdk.store.description import PAGES, describe, parse_metric
from tests.store.metrics import COUNTER


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_whole_catalog_comes_back(metric):
    """Every key of a description is in the record, also of metrics of another page."""
    assert describe(metric) == describe(parse_metric(describe(metric)))
    assert metric.page in PAGES
    assert metric.page == parse_metric(describe(metric)).page


def test_who_says_nothing_is_on_the_page_of_metrics():
    """Versions that knew one page alone mean that one."""
    described = describe(COUNTER)
    del described["page"]
    assert "metrics" == parse_metric(described).page


def test_an_unknown_page_is_kept():
    """A later version may have more of them; what it says is not lost."""
    assert "plans" == parse_metric({**describe(COUNTER), "page": "plans"}).page


@pytest.mark.parametrize("page", [None, 5, True, ["queries"]])
def test_a_page_is_a_text(page):
    """Anything else is no description."""
    with pytest.raises(TypeError):
        parse_metric({**describe(COUNTER), "page": page})
