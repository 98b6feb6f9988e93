"""Listen addresses are read as Prometheus writes them, and what is wrong is one clear line."""

import socket

import pytest

from perfsdk_exporter.web.listening import Address, AddressError, address_of, listen, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8979", Address("", 8979)),
        (":0", Address("", 0)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:8979", Address("::1", 8979)),
        ("[::]:65535", Address("::", 65535)),
    ],
)
def test_addresses(text, expected):
    """All forms are understood, and written as they were read."""
    assert expected == parse_address(text)
    assert text == str(expected)


@pytest.mark.parametrize(
    "text", ["", "8979", ":", ":65536", ":-1", "::1:8979", "[::1]", "a b:1", ":8979x", "http://a:1"]
)
def test_what_is_no_address(text):
    """Anything else is refused with the forms that are right."""
    with pytest.raises(AddressError, match=r"give \[HOST\]:PORT, such as :8979"):
        parse_address(text)


def test_port_0_takes_a_free_port():
    """The socket tells which one it is, and it is connected to."""
    with listen(parse_address("127.0.0.1:0")) as opened:
        address = address_of(opened)
        assert address.port > 0
        socket.create_connection(address).close()


def test_all_interfaces_answer_on_ipv4_too():
    """Without a host the loopback address of IPv4 is among what is listened on."""
    with listen(parse_address(":0")) as opened:
        socket.create_connection(("127.0.0.1", address_of(opened).port)).close()


def test_a_taken_port():
    """The line says what to do."""
    with listen(parse_address("127.0.0.1:0")) as opened:
        port = address_of(opened).port
        with pytest.raises(AddressError, match=f"^127.0.0.1:{port}: the port is taken; stop what"):
            listen(parse_address(f"127.0.0.1:{port}"))


def test_an_address_of_another_machine():
    """192.0.2.0/24 is nobody's."""
    with pytest.raises(AddressError, match="does not have that address"):
        listen(parse_address("192.0.2.1:0"))
