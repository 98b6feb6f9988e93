"""The two ways in which a demo ends before its report."""


class DemoError(Exception):
    """It cannot go on; the message says in one line why, `log_tail` is what a child said last."""

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail


class Interrupted(Exception):  # noqa: N818 - no error: somebody asked for it
    """A signal asked to stop."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
