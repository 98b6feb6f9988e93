"""The sidecar loads nothing that only applications need."""

import subprocess
import sys

FORBIDDEN = (
    "fastapi",
    "perfsdk.catalog",
    "perfsdk.instrumentation",
    "perfsdk.recorder",
    "perfsdk.settings",
    "perfsdk.store.segment",
    "perfsdk.store.writer",
    "starlette",
    "wrapt",
)


def test_the_exporter_loads_no_part_of_the_application_side():
    """Importing the program loads neither the SDK's half nor the libraries that it measures."""
    code = "import perfsdk_exporter.__main__, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "perfsdk_exporter.web.server" in loaded
    assert not set(FORBIDDEN) & set(loaded)


def test_importing_the_exporter_starts_nothing():
    """No thread, no child process, no handler of a signal."""
    code = (
        "import signal, threading; before = signal.getsignal(signal.SIGTERM);"
        "import perfsdk_exporter.__main__;"
        "assert signal.getsignal(signal.SIGTERM) is before;"
        "print(threading.active_count())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"
