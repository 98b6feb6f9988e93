# noqa: INP001 - Python finds it by its name alone, in a directory of PYTHONPATH
"""Has a Python that `perfsdk run` started watch for web frameworks and servers, and steps aside.

Any Python 3 may come here, also one that is older or has no perfsdk: nothing fails because of us.
"""

import os
import sys


class _Watch:
    """Stands before all other finders until the first of these modules is imported."""

    names = frozenset(
        (
            *("aiohttp", "django", "flask", "granian", "gunicorn", "hypercorn", "litestar"),
            *("quart", "starlette", "uvicorn", "perfsdk.instrumentation"),
        )
    )

    def find_spec(self, name: str, path=None, target=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - typing is not loaded for this
        if name not in self.names:
            return None
        self.names = frozenset()
        try:
            from perfsdk.cli.run.hooks import take_over

            return take_over(self).find_spec(name, path, target)
        except Exception as error:
            _complain(error)


def _complain(error: Exception) -> None:
    # Only the program that was named, not each Python that it starts.
    if os.environ.get("PERFSDK_RUN_PID") == str(os.getpid()):
        sys.stderr.write(
            f"perfsdk run: nothing is measured, {sys.executable} cannot import perfsdk ({error}); "
            "install it there\n"
        )


if sys.version_info >= (3, 10):  # noqa: UP036 - no other Python can import what follows
    sys.meta_path.insert(0, _Watch())

# The user's own is found, fails, or is missing exactly as if this one had never been there.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if entry != _here]
del sys.modules["sitecustomize"]
__import__("sitecustomize")
