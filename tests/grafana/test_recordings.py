"""Recordings are written as promtool reads them, small, and of every incident of the demo."""

from hypothesis import given
from hypothesis import strategies as st

from grafana.recordings.series import FOLDER, document, expanded, read, written
from perfsdk.cli.demo.command import INCIDENTS

MOST_BYTES = 1_000_000
samples = st.lists(st.none() | st.integers(-9, 9).map(float) | st.sampled_from([0.125, 1e9]))


@given(samples)
def test_values_are_read_as_they_were(values):
    """Runs, gaps and fractions come back one by one."""
    assert values == expanded(written(values))


def test_the_notation_is_that_of_promtool():
    """Equal growth is one text, and so is a gap."""
    values = [None, None, 0, 4, 7, 10, 1.5, 1.5, 1.5]
    assert "_x2 0 4+3x2 1.5+0x2" == written(values)


def test_a_file_is_read_as_it_was(tmp_path):
    """Names with labels, quotation marks and backslashes are kept."""
    series = {r'a{b="c \"d\" \\",e="{f}"}': [1.0, None, 2.0], "up": [1.0]}
    path = tmp_path / "any.yaml"
    path.write_text(document(series, "Two lines\nof words."))
    assert series == read(path)


def test_every_incident_is_recorded():
    """One file each, of as many steps, and few bytes in all."""
    files = {path.stem: path for path in FOLDER.glob("*.yaml")}
    assert set(INCIDENTS) == set(files)
    lengths = {len(values) for path in files.values() for values in read(path).values()}
    assert 1 == len(lengths)
    assert MOST_BYTES > sum(path.stat().st_size for path in files.values())
