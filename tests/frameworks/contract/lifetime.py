"""Cases 12, 22 and 25: instrumenting and undoing it, and what is put around the router."""

import gc
import weakref

from perfsdk import uninstrument
from perfsdk.request import current
from tests.frameworks.contract.framework import DURATION, Framework, until


class Lifetime(Framework):
    """Each request is counted once, however often and whenever an application is changed."""

    copying = None
    """A middleware of the protocol that hands on a copy of what describes the request."""

    async def test_instrumenting_twice_counts_once(self, app, outcomes):
        """The second call gives what the first one gave."""
        assert app is self.instrument(app)
        await self.ask(app, "GET /plain")
        assert app is self.instrument(app)
        await self.ask(app, "GET /plain")
        await self.expect(outcomes, ("GET /plain 200", 2))

    async def test_a_middleware_that_is_added_later(self, app, outcomes, stage):
        """The request is counted once, under its template."""
        self.needs("added middleware", "raw driver")
        self.add_middleware(app, self.copying)
        replies = await self.ask(app, "GET /plain", "GET /items/7", "GET /nope")
        assert [200, 200, 404] == [reply.status for reply in replies]
        await self.expect(
            outcomes, "GET /plain 200", "GET /items/{item_id} 200", "GET <unmatched> 404"
        )
        assert stage.accounts[0] is not None

    async def test_middleware_that_copies_the_request(self, measured, stage, outcomes):
        """Several of them, there from the beginning: labels and account are the same."""
        self.needs("middleware", "raw driver")
        app = self.instrument(self.with_middleware(stage, self.copying))
        requests = ["GET /plain", "GET /items/7", "GET /nope"]
        expected = ["GET /plain 200", "GET /items/{item_id} 200", "GET <unmatched> 404"]
        if self.has("mounts"):
            requests.append("GET /sub/hello/me")
            expected.append("GET /sub/hello/{name} 200")
        await self.ask(app, *requests)
        await self.expect(outcomes, *expected)
        assert stage.accounts[0] is not None

    async def test_many_applications_in_one_process(self, serve, outcomes):
        """100 of them share the series and know nothing of each other."""
        self.needs("instances")
        for number in range(100):
            (reply,) = await self.ask(serve(), "GET /plain")
            assert 200 == reply.status, number
        await self.expect(outcomes, ("GET /plain 200", 100))

    async def test_uninstrument_restores_the_application(self, stage, measured, outcomes):
        """It is what it was, answers, and is measured no more."""
        app = self.make_app(stage)
        before = dict(vars(app))
        served = self.instrument(app)
        assert app is uninstrument(served)
        after = vars(app)
        assert [] == [name for name in before if before[name] is not after.get(name)]
        assert before.keys() == after.keys()
        for each in (app, served):
            assert 200 == (await self.drive(each, "GET", "/plain")).status
        assert [None, None] == stage.accounts
        assert {} == outcomes()

    async def test_uninstrument_after_requests(self, app, stage, outcomes):
        """Also when it has served already; then it can be measured again."""
        await self.ask(app, "GET /plain")
        original = uninstrument(app)
        await self.ask(original, "GET /plain")
        assert stage.accounts[1] is None
        again = self.instrument(original)
        await self.ask(again, "GET /plain")
        await self.expect(outcomes, ("GET /plain 200", 2))

    async def test_an_application_is_freed(self, serve):
        """Nothing of ours keeps one that is no longer used, measured or not any more."""
        self.needs("instances")
        kept = []
        for undo in (False, True):
            app = serve()
            await self.ask(app, "GET /items/7")
            kept.append(weakref.ref(app))
            if undo:
                uninstrument(app)
            del app
        await self.forget_servers()

        def freed():
            gc.collect()  # a thread may keep its last task until it is given another one
            return [None, None] == [reference() for reference in kept]

        await until(freed, "the applications freed")

    async def forget_servers(self):
        """Let go of what the driver keeps of applications."""

    async def test_nothing_of_a_request_is_kept(self, app, recording):
        """When it has ended, its account is freed, without the garbage collector."""
        requests = ("GET /items/1", "GET /nope", "GET /unavailable", "GET /large")
        await self.ask(app, *requests)
        gc.collect()
        gc.disable()
        try:
            before = _accounts()
            for _ in range(20):
                await self.ask(app, *requests)
            after = _accounts()
        finally:
            gc.enable()
        assert after - before <= 1
        assert current.get() is None
        assert 84 == recording.count(DURATION)


def _accounts():
    """How many objects of our classes for requests there are."""
    names = {"Account", "Exchange", "WsgiExchange"}
    return sum(type(one).__name__ in names for one in gc.get_objects())
