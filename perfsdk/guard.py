"""An error inside perfsdk is logged once and counted, never raised into the application."""

import logging
from collections.abc import Callable

logger = logging.getLogger("perfsdk")

count_error: Callable[[str], None] | None = None
"""Counts an error by the place where it happened; set by whoever owns the recorder."""

reraise = False
"""Under our own tests errors are raised after all, so that none hides."""

_logged: set[str] = set()


def failed(where: str) -> None:
    """Report the exception being handled: call it from an `except` block.

    `where` names the function of ours that failed, from a small fixed set: it becomes a label.
    """
    if reraise:
        raise  # noqa: PLE0704 - the exception being handled, by contract
    try:
        if count_error is not None:
            count_error(where)
        if where not in _logged:
            _logged.add(where)
            logger.warning(
                "perfsdk: %s failed; the application is not affected, later failures there are "
                "only counted in perfsdk_internal_errors_total",
                where,
                exc_info=True,  # noqa: LOG014 - called from an except block, by contract
            )
    except Exception:  # noqa: S110 - a failing log handler must not reach the application either
        pass


def log_once(key: str, message: str, *args: object) -> None:
    """Log a warning the first time `key` is seen in this process."""
    if key in _logged:
        return
    _logged.add(key)
    try:
        logger.warning(message, *args)
    except Exception:  # noqa: S110 - a failing log handler must not reach the application
        pass


def reset() -> None:
    """Forget what was logged and who counts."""
    global count_error
    count_error = None
    _logged.clear()
