"""Reads listen addresses and opens their sockets; what is wrong is said in one line."""

import errno
import os
import re
import socket
from typing import NamedTuple

_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]*)):(?P<port>[0-9]{1,5})"
)

_WHAT_TO_DO = {
    errno.EADDRINUSE: "the port is taken; stop what listens there or give another port",
    errno.EACCES: "permission denied; give a port above 1023",
    errno.EADDRNOTAVAIL: "this machine does not have that address; give one of its own",
}


class AddressError(Exception):
    """An address that cannot be listened on; the message says why and what to do, in one line."""


class Address(NamedTuple):
    """Where to listen; an empty host is all interfaces, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `:8979`, `127.0.0.1:8979`, `localhost:8979` or `[::1]:8979`.

    Raises:
        AddressError: it is none of these.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise AddressError(f"{text!r}: give [HOST]:PORT, such as :8979, 127.0.0.1:0 or [::1]:8979")
    return Address(found["ipv6"] or found["host"] or "", int(found["port"]))


def listen(address: Address) -> socket.socket:
    """A listening socket; all interfaces are IPv6 and IPv4 where the machine has both.

    Raises:
        AddressError: the port is taken, the address is not ours, or the host has none.
    """
    try:
        if not address.host:
            return _listen_everywhere(address.port)
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family)
    except socket.gaierror as error:
        raise AddressError(f"{address}: {error.strerror}; give a host of this machine") from error
    except OSError as error:
        # asyncio and socket put more text into strerror than the operating system does.
        reason = _WHAT_TO_DO.get(error.errno or 0) or os.strerror(error.errno or 0)
        raise AddressError(f"{address}: {reason}") from error


def address_of(opened: socket.socket) -> Address:
    """The address really taken."""
    host, port = opened.getsockname()[:2]
    return Address(host, port)


def _listen_everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            # IPv6 may be compiled in and switched off.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return socket.create_server(("", port))
