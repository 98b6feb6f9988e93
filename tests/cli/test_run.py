"""`perfsdk run` becomes the program that it is given, or says in one line why it cannot."""

import os
import subprocess
import sys

import pytest

from perfsdk.cli.__main__ import main
from perfsdk.cli.run.command import EXAMPLE

SHOW = "import os, sys; print(os.getpid(), sys.argv[1:], os.environ.get({!r}))"


def run(*arguments, **variables):
    """`perfsdk run` as a process of its own, with some more environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "perfsdk.cli", "run", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **variables},
    )


def shown(variable, *options, **variables):
    """What a program that it starts sees in a variable."""
    done = run(*options, sys.executable, "-c", SHOW.format(variable), **variables)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.rstrip().rpartition("] ")[2]


def test_it_becomes_the_program():
    """The process stays, arguments go to the program untouched, and so does its exit code."""
    code = SHOW.format("NONESUCH") + "; sys.exit(7)"
    command = [sys.executable, "-m", "perfsdk.cli", "run", "--", sys.executable, "-c", code]
    with subprocess.Popen([*command, "--help", "--", "-x"], stdout=subprocess.PIPE) as process:
        output = process.stdout.read().decode()
    assert (7, f"{process.pid} ['--help', '--', '-x'] None\n") == (process.returncode, output)


def test_signals_are_as_the_caller_left_them():
    """A Python ignores SIGPIPE for itself; the program must not inherit that."""
    command = ["grep", "-i", "sigign", "/proc/self/status"]
    bare = subprocess.run(command, capture_output=True, text=True, check=True)
    assert bare.stdout == run(*command).stdout


def test_options_are_the_settings_of_the_program(tmp_path):
    """`--service` and `--dir` are environment variables there, before those of the caller."""
    assert "shop" == shown("OTEL_SERVICE_NAME", "--service", "shop", OTEL_SERVICE_NAME="other")
    assert str(tmp_path) == shown("PERFSDK_DIR", "--dir", str(tmp_path))


def test_turned_off_it_changes_nothing():
    """With PERFSDK_ENABLED=0 the program has the environment of its caller."""
    assert "mine" == shown("PYTHONPATH", PYTHONPATH="mine", PERFSDK_ENABLED="0")
    path = shown("PYTHONPATH", PYTHONPATH="mine").split(os.pathsep)
    assert (2, "mine") == (len(path), path[1])


def test_it_writes_nothing(perfsdk_dir):
    """Trying the settings leaves no file."""
    assert 0 == run(sys.executable, "-c", "").returncode
    assert [] == list(perfsdk_dir.iterdir())


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "problem"),
    [
        ([], {}, 2, f"give a program, as in: {EXAMPLE}"),
        (["--"], {}, 2, f"give a program, as in: {EXAMPLE}"),
        (["nonesuch"], {}, 127, "nonesuch is not installed, or not in PATH"),
        (["/dev/null"], {}, 126, "/dev/null cannot be executed"),
        (["true"], {"PERFSDK_ENABLED": "2"}, 2, "PERFSDK_ENABLED=2: "),
        (["true"], {"PERFSDK_DISABLED_INTEGRATIONS": "mongo"}, 2, "mongo is not one of "),
        (["true"], {"PERFSDK_DIR": "/dev/null"}, 2, "/dev/null is not a directory"),
        (["--dir", "/dev/null", "true"], {}, 2, "/dev/null is not a directory"),
        (["--service", "", "true"], {}, 2, "service='': "),
    ],
)
def test_what_is_wrong_is_one_line(arguments, variables, code, problem):
    """Exit code and message, before anything is started."""
    done = run(*arguments, **variables)
    assert (code, "") == (done.returncode, done.stdout)
    assert problem in done.stderr
    assert done.stderr.startswith("perfsdk run: ")
    assert 1 == done.stderr.count("\n")


def test_help_names_the_options(capsys):
    """`perfsdk run --help` ends with 0; after the program, it is the program's."""
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--help"])
    output = " ".join(capsys.readouterr().out.split())
    assert EXAMPLE in output
    for option in ("--service NAME", "--dir PATH"):
        assert option in output
    assert "['--help']" in run(sys.executable, "-c", SHOW.format(""), "--help").stdout
