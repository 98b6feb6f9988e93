"""Cases 1 to 12: what a request is counted under."""

import pytest

from tests.frameworks.contract.framework import DURATION, Framework

SIZES = ("http_server_request_body_size_bytes", "http_server_response_body_size_bytes")


class Labels(Framework):
    """Routes are templates, methods are known ones, and nothing else makes a series."""

    async def test_a_router_included_twice_has_two_templates(self, app, outcomes):
        """The same routes under two prefixes: exactly two series."""
        self.needs("prefixes")
        for reply in await self.ask(app, "GET /v1/things/1", "GET /v2/things/2"):
            assert 200 == reply.status
        await self.expect(outcomes, "GET /v1/things/{id} 200", "GET /v2/things/{id} 200")

    async def test_a_mount_is_part_of_the_template(self, app, outcomes):
        """The prefix of the mount and the template inside it, counted once."""
        self.needs("mounts")
        assert 200 == (await self.drive(app, "GET", "/sub/hello/me")).status
        await self.expect(outcomes, "GET /sub/hello/{name} 200")

    async def test_a_mounted_application_that_is_instrumented_too(self, app, stage, outcomes):
        """Both are measured, the request is counted once."""
        self.needs("mounts", "mounted applications")
        self.instrument(stage.mounted)
        assert 200 == (await self.drive(app, "GET", "/sub/hello/me")).status
        await self.expect(outcomes, "GET /sub/hello/{name} 200")

    async def test_parameters_of_mounts_are_templates(self, app, outcomes):
        """100 tenants are one series."""
        self.needs("mounts", "mounts with parameters")
        for number in range(100):
            assert 200 == (await self.drive(app, "GET", f"/t/{number}/x/{number}")).status
        await self.expect(outcomes, ("GET /t/{tenant}/x/{y} 200", 100))

    async def test_unknown_paths_are_one_series(self, app, outcomes):
        """1,000 of them: all counted, under one value."""
        for number in range(self.many):
            assert 404 == (await self.drive(app, "GET", f"/nope/{number}")).status
        await self.expect(outcomes, ("GET <unmatched> 404", self.many))

    async def test_slash_redirects_are_one_series(self, app, outcomes):
        """The router's own redirects, 100 of them."""
        self.needs("slash redirects")
        statuses = set()
        for number in range(100):
            statuses.add((await self.drive(app, "GET", f"/slash/{number}")).status)
        (status,) = statuses
        assert 300 <= status < 400
        await self.expect(outcomes, (f"GET <redirect> {status}", 100))

    async def test_methods_count_under_the_template(self, app, outcomes):
        """Also those that the route has not: its own method, and the status that was sent."""
        self.needs("routes with methods")
        expected = []
        for method in ("POST", "HEAD", "OPTIONS", "DELETE"):
            status = (await self.drive(app, method, "/plain")).status
            expected.append(f"{method} /plain {status}")
        assert "POST /plain 405" in expected
        await self.expect(outcomes, *expected)

    async def test_made_up_methods_share_one_value(self, app, recording):
        """100 of them add one series to every family, also while they are being served."""
        self.needs("made-up methods")
        for number in range(100):
            await self.drive(app, f"MADE-UP-{number}", "/plain")
        active = "http_server_active_requests"
        for name in (DURATION, *SIZES, active):
            methods = {labels["http_request_method"] for labels in recording.series(name)}
            assert {"_OTHER"} == methods
        assert 100 == recording.count(DURATION, http_request_method="_OTHER")

    @pytest.mark.parametrize("prefix", ["/pfx", "/t/acme"])
    async def test_the_root_path_is_no_part_of_the_label(self, prefix, app, outcomes):
        """Whether or not a proxy takes the prefix from the path."""
        self.needs("root path")
        for how in self.behind_a_proxy(prefix):
            assert 200 == (await self.drive(app, "GET", "/items/7", **how)).status
        count = len(self.behind_a_proxy(prefix))
        await self.expect(outcomes, ("GET /items/{item_id} 200", count))

    def behind_a_proxy(self, prefix):
        """How a request may come through a proxy that serves the application under a prefix."""
        return [{"root_path": prefix}]

    async def test_what_a_client_may_choose_adds_no_series(self, app, outcomes, recording):
        """Hosts, agents, forwarding headers, and what the protocol lets a client say besides."""
        for number in range(100):
            names = ("Host", "X-Forwarded-Host", "User-Agent", "X-Forwarded-For", "Forwarded")
            headers = [(name, f"h{number}.example") for name in names]
            how = self.unusual(number)
            assert 200 == (await self.drive(app, "GET", "/plain", headers=headers, **how)).status
        await self.expect(outcomes, ("GET /plain 200", 100))
        assert 1 == len(recording.series(DURATION))

    def unusual(self, number):
        """Further options of a driver, another one for each number, that must not matter."""
        return {}

    async def test_a_path_is_never_part_of_the_label(self, app, outcomes):
        """A parameter that takes several segments is a template like any other."""
        for path in ("/files/a", "/files/a/b/c", "/files/{p}"):
            assert 200 == (await self.drive(app, "GET", path)).status
        await self.expect(outcomes, ("GET /files/{p:path} 200", 3))

    async def test_static_files_are_the_path_they_are_served_under(self, app, outcomes):
        """A file that is there and some that are not."""
        self.needs("static files")
        assert b"here" == (await self.drive(app, "GET", "/static/here.txt")).body
        for number in range(10):
            assert 404 == (await self.drive(app, "GET", f"/static/{number}.txt")).status
        await self.expect(outcomes, "GET /static 200", ("GET /static 404", 10))

    async def test_a_middleware_that_answers_is_counted(self, app, outcomes):
        """401, 429, 503 before routing: with the status that was sent."""
        self.needs("middleware")
        for status in (401, 429, 503):
            headers = [("x-deny", str(status))]
            reply = await self.drive(app, "GET", "/plain", headers=headers)
            assert status == reply.status
        await self.expect(
            outcomes, "GET <unrouted> 401", "GET <unrouted> 429", "GET <unrouted> 503 503"
        )

    async def test_the_account_of_a_request_is_seen_in_its_endpoint(self, app, stage):
        """Context variables of ours reach what the application calls; each request has its own."""
        await self.ask(app, "GET /plain", "GET /plain")
        first, second = stage.accounts
        assert first is not None
        assert second is not None
        assert first is not second
