"""Case 22: WebSockets are in families of their own."""

from perfsdk import instrumentation
from tests.frameworks import asgi_driver
from tests.frameworks.contract.framework import DURATION, Framework

SOCKET_FAMILIES = (
    "websocket_server_connection_duration_seconds",
    "websocket_server_messages_total",
    "websocket_server_closes_total",
    "websocket_server_active_connections",
)


class Websockets(Framework):
    """A connection is counted by template and close code, and never as a request."""

    async def test_a_websocket_is_no_request(self, app, stage, recording, active):
        """The client sees the same, and the families of HTTP see nothing."""
        self.needs("websockets")
        for path in ("/ws/room", "/nope"):
            bare = await asgi_driver.talk(self.make_app(stage), path, ["hello"])
            measured = await asgi_driver.talk(app, path, ["hello"])
            assert bare[0] == measured[0]
            assert repr(bare[1]) == repr(measured[1])
        assert {"type": "websocket.close"}.items() <= bare[0][-1].items() or bare[1]
        assert [] == recording.series(DURATION)
        assert [] == recording.series("http_server_active_requests")
        assert {} == instrumentation._running.http_server._serving

    async def test_a_websocket_has_its_own_families(self, app, recording):
        """Duration, messages by direction, the close code, and none open at the end."""
        self.needs("websockets")
        for room in range(5):
            sent, error = await asgi_driver.talk(app, f"/ws/{room}", ["hello"])
            assert error is None
            assert "hello" in [message.get("text") for message in sent]
        label = self.label("/ws/{room}")
        assert 5 == recording.count(SOCKET_FAMILIES[0], http_route=label)
        for direction in ("received", "sent"):
            assert 5 == recording.value(SOCKET_FAMILIES[1], http_route=label, direction=direction)
        assert 5 == recording.value(SOCKET_FAMILIES[2], http_route=label, close_code="1000")
        assert 0 == recording.value(SOCKET_FAMILIES[3])
        for name in SOCKET_FAMILIES:
            assert {label} == {labels["http_route"] for labels in recording.series(name)}, name

    async def test_a_client_that_leaves_a_websocket(self, app, recording):
        """The close code is the client's, whatever the application makes of it."""
        self.needs("websockets")
        await asgi_driver.talk(app, "/ws/room", leaves=1001)
        label = self.label("/ws/{room}")
        assert 1 == recording.value(SOCKET_FAMILIES[2], http_route=label, close_code="1001")
        assert 0 == recording.value(SOCKET_FAMILIES[3])

    async def test_a_websocket_that_is_turned_away(self, app, recording):
        """By the router: counted as rejected, with no duration; all paths are one series."""
        self.needs("websockets")
        for number in range(20):
            await asgi_driver.talk(app, f"/nope/{number}")
        label = self.label("<unmatched>")
        labels = {"http_route": label, "close_code": "rejected"}
        assert 20 == recording.value(SOCKET_FAMILIES[2], **labels)
        assert 20 == recording.value(SOCKET_FAMILIES[2])
        assert 0 == recording.count(SOCKET_FAMILIES[0])
        assert 0 == recording.value(SOCKET_FAMILIES[3])
