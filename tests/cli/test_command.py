"""The command line says in one clear line what is wrong, before anything is started."""

import socket
import subprocess
import sys

import pytest

import perfsdk
from perfsdk.cli.__main__ import main
from perfsdk.cli.demo.command import INSTALL, NEEDED
from tests.servers import HOST, free_port


def perfsdk_command(*arguments):
    """Run `perfsdk` as a process of its own."""
    command = [sys.executable, "-m", "perfsdk.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_version_is_that_of_the_package():
    """`--version` names the program and its version."""
    done = perfsdk_command("--version")
    assert (0, f"perfsdk {perfsdk.__version__}\n") == (done.returncode, done.stdout)


def test_without_a_command_help_is_shown_and_the_exit_code_says_so(capsys):
    """`perfsdk` alone lists the commands on stderr and ends with 2."""
    assert 2 == main([])
    assert "demo" in capsys.readouterr().err


def test_help_of_the_demo_names_every_option(capsys):
    """`perfsdk demo --help` ends with 0 and tells each option."""
    with pytest.raises(SystemExit, match="0"):
        main(["demo", "--help"])
    shown = capsys.readouterr().out
    for option in ("--once", "--duration", "--rate", "--workers", "--port", "--json"):
        assert option in shown


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--duration", "0"], "argument --duration: 0: give 1 to 3600"),
        (["--duration", "nan"], "argument --duration: nan: give 1 to 3600"),
        (["--duration", "soon"], "argument --duration: invalid number value: 'soon'"),
        (["--workers", "0"], "argument --workers: 0: give 1 to 64"),
        (["--port", "70000"], "argument --port: 70000: give 1 to 65535"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, problem, capsys):
    """Exit code 2 and the range that is right."""
    with pytest.raises(SystemExit, match="2"):
        main(["demo", *arguments])
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("library", NEEDED)
def test_a_missing_extra_is_one_line(library):
    """What the demo needs is told with the command that installs it; nothing else is said."""
    script = f"""
import sys
sys.modules[{library!r}] = None
from perfsdk.cli.__main__ import main
sys.exit(main(["demo"]))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert f"perfsdk demo needs {library}: {INSTALL}\n" == done.stderr


def test_the_command_line_itself_needs_no_extra():
    """Help and version work where only the SDK is installed."""
    script = "import sys; from perfsdk.cli import __main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set() == {name.partition(".")[0] for name in loaded} & set(NEEDED)


def test_a_taken_port_is_one_line():
    """The port that the user chose is never exchanged for another one."""
    port = free_port()
    with socket.create_server((HOST, port)):
        done = perfsdk_command("demo", "--port", str(port))
    assert (1, "") == (done.returncode, done.stdout)
    problem = f"port {port} of {HOST} cannot be had; give another one with --port"
    assert f"perfsdk demo: {problem}\n" == done.stderr
