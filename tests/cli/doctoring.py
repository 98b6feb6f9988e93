"""Runs `perfsdk doctor` and tells what it found."""

import os
import re
import tempfile
from typing import NamedTuple

from perfsdk.cli.__main__ import main
from tests.servers import HOST, free_port


class Report(NamedTuple):
    """What the doctor printed, and how it ended."""

    code: int
    text: str

    @property
    def problems(self):
        """Each problem, without the word in front."""
        prefix = "problem: "
        lines = [line for line in self.text.splitlines() if line.startswith(prefix)]
        return [line.removeprefix(prefix) for line in lines]

    def row(self, name):
        """What stands behind the first such name, with one space between words."""
        text = re.sub(r"\n {4,}", " ", self.text)  # a long one goes on in the next line
        lines = [" ".join(line.split()) for line in text.splitlines()]
        found = next(line for line in lines if line.startswith(f"{name} "))
        return found.removeprefix(f"{name} ")


def run_doctor(capsys, *arguments):
    """Run the command in this process."""
    code = main(["doctor", *map(str, arguments)])
    return Report(code, capsys.readouterr().out)


def examine_files(capsys, *arguments):
    """The problems but for the exporter, which is none: it is asked where nobody listens."""
    url = f"http://{HOST}:{free_port()}"
    report = run_doctor(capsys, "--exporter", url, *arguments)
    assert 1 == report.code
    *others, exporter = report.problems
    assert (
        f"no exporter at {url}/metrics: Connection refused; start perfsdk-exporter, or say with "
        "--exporter where its page is"
    ) == exporter
    return report._replace(text=report.text.replace(f"problem: {exporter}\n", "")), others


def directory_of_another_user(uid):
    """A directory that nobody may write to, of a user that is not us; the caller removes it."""
    path = tempfile.mkdtemp(prefix="perfsdk-doctor-", dir="/tmp")
    os.chown(path, uid, uid)
    os.chmod(path, 0o500)
    return path
