"""Starts Redis servers that belong together: a cluster of three, or what a Sentinel watches."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers import HOST, free_port, require, start_process, wait_until

NODES = 3
SLOTS = 16384
MASTER = "watched"
"""The name by which Sentinel knows the master."""


class Cluster(NamedTuple):
    """A cluster that answers: the ports of its nodes, each a master of a third of the slots."""

    ports: tuple[int, ...]

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.ports[0]}"


class Sentinel(NamedTuple):
    """A Sentinel that knows a master and its replica."""

    port: int
    master_port: int
    replica_port: int


def ask(port: int, *words: object) -> str:
    """The answer of a server to one command, as text; of several lines, all in one.

    Raises:
        OSError: nothing listens there, or the server refused the command.
    """
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(" ".join(map(str, words)).encode() + b"\r\n")
        with connection.makefile("rb") as answers:
            head = answers.readline().decode().rstrip()
            if head.startswith("$"):
                return answers.read(int(head[1:])).decode()
    if head.startswith("-"):
        raise OSError(head)
    return head[1:]


@contextmanager
def start_cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster without replicas, entered when every node knows who has which slot."""
    with ExitStack() as stack:
        ports = tuple(
            stack.enter_context(_start(directory / f"node-{number}", _cluster_options()))
            for number in range(NODES)
        )
        for number, port in enumerate(ports):
            first, end = (SLOTS * each // NODES for each in (number, number + 1))
            ask(port, "CLUSTER ADDSLOTSRANGE", first, end - 1)
            ask(port, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            ask(port, "CLUSTER MEET", HOST, ports[0], _bus_port(ports[0]))
        wait_until(lambda: all(map(_is_complete, ports)), message="a cluster of three")
        yield Cluster(ports)


@contextmanager
def start_sentinel(directory: Path) -> Iterator[Sentinel]:
    """A master, its replica, and a Sentinel that knows both."""
    with ExitStack() as stack:
        options = ["--repl-diskless-sync-delay", "0"]
        master = stack.enter_context(_start(directory / "master", options))
        options = ["--replicaof", f"{HOST} {master}"]
        replica = stack.enter_context(_start(directory / "replica", options))
        wait_until(lambda: "master_link_status:up" in ask(replica, "INFO replication"))
        configuration = directory / "sentinel.conf"
        configuration.write_text(f"sentinel monitor {MASTER} {HOST} {master} 1\n")
        sentinel = stack.enter_context(
            _start(directory / "sentinel", ["--sentinel"], configuration=configuration)
        )
        wait_until(lambda: "slaves=1" in ask(sentinel, "INFO sentinel"))
        yield Sentinel(sentinel, master, replica)


@contextmanager
def _start(directory: Path, options: list[str], configuration: Path | None = None) -> Iterator[int]:
    """A server that keeps nothing on disk, in a directory of its own; gives its port."""
    program = require("redis-server")
    directory.mkdir()
    port = free_port()
    args: list = [program]
    if configuration is not None:
        args.append(configuration)
    else:
        args += ["--save", "", "--appendonly", "no"]
    args += ["--bind", HOST, "--port", str(port), "--dir", directory, *options]
    ready = lambda: ask(port, "PING") == "PONG"  # noqa: E731 - a name for the line below
    with start_process(args, ready=ready, log=directory / "redis.log"):
        yield port


def _cluster_options() -> list[str]:
    return ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]


def _bus_port(port: int) -> int:
    """The port by which the nodes of a cluster talk to each other."""
    address = ask(port, "CLUSTER NODES").split()[1]  # host:port@bus
    return int(address.partition("@")[2].partition(",")[0])


def _is_complete(port: int) -> bool:
    """Whether a node knows all the others and their slots."""
    state = ask(port, "CLUSTER INFO")
    return {"cluster_state:ok", f"cluster_known_nodes:{NODES}"} <= set(state.split()) and (
        f"cluster_slots_ok:{SLOTS}" in state
    )
