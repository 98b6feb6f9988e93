"""What could have been compressed is told by the headers of the response."""

import pytest

from perfsdk.frameworks.delivery import is_uncompressed


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/plain", True),
        ("text/html; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/problem+json", True),
        ("application/vnd.api+json", True),
        ("image/svg+xml", True),
        ("text/event-stream", False),
        ("image/png", False),
        ("application/octet-stream", False),
        ("application/zip", False),
        ("video/mp4", False),
        ("", False),
    ],
)
def test_the_type_tells_what_is_worth_compressing(content_type, expected):
    """Text and its like; not what is compressed in itself, nor events that are sent one by one."""
    assert expected == is_uncompressed([("Content-Type", content_type)])
    encoded = [(b"content-type", content_type.encode()), (b"x", b"y")]
    assert expected == is_uncompressed(encoded)


@pytest.mark.parametrize(
    ("encoding", "expected"), [("gzip", False), ("br", False), ("identity", True), ("zstd", False)]
)
def test_what_is_compressed_is_not_counted(encoding, expected):
    """Wherever the header stands."""
    headers = [("content-type", "text/css"), ("content-encoding", encoding)]
    assert expected == is_uncompressed(headers) == is_uncompressed(reversed(headers))


def test_without_a_type_nobody_knows():
    """A response without headers is not counted."""
    assert not is_uncompressed([])
