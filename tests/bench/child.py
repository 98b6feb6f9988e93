"""One subject in a process of its own, which measures whenever its parent says so.

A module of this package offers `prepare(subject, **arguments)`, which is called in the child and
returns two functions: `turn()` measures for a moment, `end()` tells what was recorded. Parent and
child talk in lines of JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from importlib import import_module
from threading import Timer
from typing import Any

from tests.bench.rounds import ROOT, Figures, Start, environment, last_line

LIFE_SECONDS = 300
"""A child that lives longer hangs, and is killed."""


class Child:
    """The parent's side of a child."""

    def __init__(self, arguments: list[str], stack: ExitStack, *, multiprocess: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.child", *arguments],
            cwd=ROOT,
            env=environment(stack, multiprocess=multiprocess),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        alarm = Timer(LIFE_SECONDS, self._process.kill)
        alarm.start()
        stack.callback(self._process.communicate)
        stack.callback(self._process.kill)
        stack.callback(alarm.cancel)
        self._answer()  # it is ready

    def turn(self) -> Figures:
        return self._ask("turn")

    def end(self) -> Figures:
        return self._ask("end")

    def _ask(self, question: str) -> Figures:
        print(question, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Figures:
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):  # something that a library prints
            line = self._process.stdout.readline()
        if not line:
            self._process.kill()
            error = last_line(self._process.communicate()[1])
            raise RuntimeError(error or f"exit code {self._process.returncode}")
        return json.loads(line)


def in_child(module: str, *, multiprocess: Iterable[str] = (), **arguments: Any) -> Start:
    """Starts subjects of a module; for those in `multiprocess` prometheus_client writes files."""
    shared = set(multiprocess)

    def start(subject: str, stack: ExitStack) -> Child:
        words = [module, subject, json.dumps(arguments)]
        return Child(words, stack, multiprocess=subject in shared)

    return start


def main():
    """The child's side."""
    module, subject, arguments = sys.argv[1:]
    prepare = import_module(f"tests.bench.{module}").prepare
    turn, end = prepare(subject, **json.loads(arguments))
    print("{}", flush=True)
    while sys.stdin.readline() == "turn\n":
        print(json.dumps(turn()), flush=True)
    print(json.dumps(end()), flush=True)
    os._exit(0)  # the exit hooks of some libraries take seconds


if __name__ == "__main__":
    main()
