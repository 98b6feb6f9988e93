"""Figures and foreign text as people read them."""

UNKNOWN = "-"

_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def duration(seconds: float | None) -> str:
    """Three digits and a unit: `1.23 s`, `45.6 ms`; a dash for what is not known."""
    if seconds is None:
        return UNKNOWN
    for size, unit in _UNITS:
        if seconds >= size or unit == "µs":
            return f"{_three_digits(seconds / size)} {unit}"
    raise AssertionError  # the last unit takes all


def count(value: float) -> str:
    """A whole number, in groups of three digits."""
    return f"{value:,.0f}"


def per_call(value: float | None) -> str:
    """A mean: one decimal unless it is whole or large; a dash for what is not known."""
    if value is None:
        return UNKNOWN
    return count(value) if value.is_integer() or value >= 1000 else f"{value:,.1f}"


def share(part: float) -> str:
    """A part of 1 in percent; what is there is never 0."""
    return "<0.1%" if 0 < part < 0.0005 else f"{part:.1%}"


def visible(text: str) -> str:
    """The text with what cannot be seen, or turns the direction of writing, as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
