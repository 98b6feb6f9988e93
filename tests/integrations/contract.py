"""What every integration promises to the application, as tests to inherit.

A subclass, named `Test...`, fills in the attributes and the methods that raise
NotImplementedError. A method may be a coroutine function, a context manager an asynchronous
one: the tests await what is to be awaited.
"""

import asyncio
import inspect
import sys
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from time import perf_counter

import pytest

import perfsdk
from perfsdk import guard
from perfsdk.integrations import INTEGRATIONS
from perfsdk.request import DB, Account, current
from perfsdk.testing import Recording
from perfsdk.wrapping.patches import Patches

OURS = str(Path(perfsdk.__file__).parent)
DEADLINE_SECONDS = 10


class IntegrationContract:
    """The tests, and what a subclass says about its library."""

    library: str
    """The name under which it is imported."""
    metric: str
    """The name of the histogram that counts operations."""
    labels: dict[str, str]
    """The labels of the call that `succeed` makes, without `error_type`."""
    failure_labels: dict[str, str] | None = None
    """Those of the call that `fail` makes, where they differ."""
    error_type: str
    """The class of the exception that passes the wrapper in `fail`."""
    bounded: dict[str, set[str]]
    """For each label, the values that it may take in these tests."""
    component = DB
    """The component of a request that pays for it."""
    result: object
    """What `succeed` gives."""
    existing_clients_are_not_measured = ""
    """The reason, where clients made before `instrument` cannot be measured."""

    def owners(self):
        """Every class and module that the integration changes."""
        raise NotImplementedError

    def client(self):
        """A context manager that gives a new client, ready for `succeed` and `fail`."""
        raise NotImplementedError

    def succeed(self, client):
        """Make one call of the library and give a value made of its result."""
        raise NotImplementedError

    def succeed_inside_with(self, client):
        """The same inside `with` or `async with` of the library's own."""
        raise NotImplementedError

    def fail(self, client):
        """Make one call that raises."""
        raise NotImplementedError

    def vary(self, client, number):
        """Make a call that succeeds, with another key, literal or parameter for each number."""
        raise NotImplementedError

    def watch(self, client):
        """A context manager that gives a list: at its end, what has reached the other side."""
        raise NotImplementedError

    def original(self, error):
        """What the wrapper saw raised, where the library wraps it further out."""
        return error

    @pytest.fixture
    def recording(self, tmp_path):
        """Where the test's values go."""
        with Recording(tmp_path / "recording") as recording:
            yield recording

    @pytest.fixture
    async def module(self):
        """The library, used once: what it loads lazily is there before anything is compared."""
        module = import_module(self.library)
        async with entered(self.client()) as client:
            await settled(self.succeed(client))
            await self._failure(client)
        return module

    @pytest.fixture
    def patch(self, module):
        """Have the integration patch for a recorder; gives what undoes that."""
        integration = import_module(INTEGRATIONS[self.library])
        patches = Patches()

        def patch(recorder):
            integration.patch(module, patches, recorder)
            return patches

        yield patch
        patches.undo()

    async def test_a_success_is_observed_once(self, recording, patch):
        """One call is one observation, with the labels of that call and no error."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = self._count(recording)
            await settled(self.succeed(client))
            assert before + 1 == self._count(recording)
            assert recording.count(self.metric, **self.labels, error_type="") > 0

    async def test_the_result_is_the_library_s_own(self, recording, patch):
        """Measured or not, a call gives the same."""
        async with entered(self.client()) as client:
            assert self.result == await settled(self.succeed(client))
        patch(recording.recorder)
        async with entered(self.client()) as client:
            assert self.result == await settled(self.succeed(client))

    async def test_a_failure_is_observed_once_and_raised_as_it_is(self, recording, patch):
        """The application gets the same exception object that the library raised."""
        async with entered(self.client()) as client:
            bare = self.original(await self._failure(client))
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = self._count(recording)
            with _exceptions_in_our_frames() as seen:
                error = await self._failure(client)
            assert before + 1 == self._count(recording)
        labels = self.failure_labels or self.labels
        assert 1 == recording.count(self.metric, **labels, error_type=self.error_type)
        raised = [exception for exception in seen if type(exception).__name__ == self.error_type]
        assert self.original(error) is raised[0]
        assert type(bare.__context__) is type(self.original(error).__context__)
        assert type(bare.__cause__) is type(self.original(error).__cause__)

    async def test_patching_twice_observes_once(self, recording, patch):
        """A second `patch` changes nothing."""
        patch(recording.recorder)
        changed = self._snapshot()
        patch(recording.recorder)
        assert [] == differences(changed, self._snapshot())
        async with entered(self.client()) as client:
            before = self._count(recording)
            await settled(self.succeed(client))
            assert before + 1 == self._count(recording)

    async def test_undo_restores_the_library_exactly(self, recording, patch):
        """Each class and module holds the identical objects again, and nothing is measured."""
        before = self._snapshot()
        patches = patch(recording.recorder)
        assert [] != differences(before, self._snapshot())
        async with entered(self.client()) as client:
            await settled(self.succeed(client))
            counted = self._count(recording)
            patches.undo()
            assert [] == differences(before, self._snapshot())
            assert self.result == await settled(self.succeed(client))
        async with entered(self.client()) as client:
            assert self.result == await settled(self.succeed(client))
        assert counted == self._count(recording)

    async def test_a_second_patch_after_undo_measures_again(self, recording, patch):
        """Nothing of the first time is in the way."""
        patch(recording.recorder).undo()
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = self._count(recording)
            await settled(self.succeed(client))
            assert before + 1 == self._count(recording)

    @pytest.mark.usefixtures("swallow_errors")
    @pytest.mark.parametrize("what", ["families", "series"])
    async def test_a_recorder_that_raises_is_kept_from_the_application(self, what, patch):
        """Results and exceptions are the library's own; our errors are counted."""
        errors = []
        guard.count_error = errors.append
        patch(BrokenRecorder(what))
        async with entered(self.client()) as client:
            assert self.result == await settled(self.succeed(client))
            assert [] != errors
            error = await self._failure(client)
        assert self.error_type == type(self.original(error)).__name__

    async def test_no_call_is_made_that_the_application_did_not_make(self, recording, patch):
        """The other side sees the same, measured or not."""
        seen = []
        for measured in (False, True):
            if measured:
                patch(recording.recorder)
            async with entered(self.client()) as client:
                async with entered(self.watch(client)) as calls:
                    await settled(self.succeed(client))
                    await self._failure(client)
                seen.append(list(calls))
        assert [] != seen[0]
        assert seen[0] == seen[1]

    async def test_works_inside_with(self, recording, patch):
        """A call inside the library's own context manager is observed once."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            before = recording.count(self.metric, **self.labels)
            assert self.result == await settled(self.succeed_inside_with(client))
            assert before + 1 == recording.count(self.metric, **self.labels)

    async def test_labels_come_from_a_bounded_set(self, recording, patch):
        """Keys, literals and parameters make no series."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            await settled(self.succeed(client))
            await self._failure(client)
            await settled(self.vary(client, 0))
            series = recording.series(self.metric)
            for number in range(1, 30):
                await settled(self.vary(client, number))
        assert series == recording.series(self.metric)
        for labels in series:
            assert labels.keys() == self.bounded.keys()
            for label, value in labels.items():
                assert value in self.bounded[label], label

    async def test_clients_made_before_and_after_are_measured(self, recording, patch):
        """It does not matter which came first, the client or `instrument`."""
        async with entered(self.client()) as existing:
            patch(recording.recorder)
            before = self._count(recording)
            assert self.result == await settled(self.succeed(existing))
            expected = 0 if self.existing_clients_are_not_measured else 1
            assert before + expected == self._count(recording)
            async with entered(self.client()) as later:
                before = self._count(recording)
                await settled(self.succeed(later))
                assert before + 1 == self._count(recording)

    def test_patched_callables_look_the_same(self, recording, patch):
        """Signature, kind and names are those of the original."""
        before = self._snapshot()
        patch(recording.recorder)
        after = self._snapshot()
        changed = differences(before, after)
        assert [] != changed
        for owner, name in changed:
            was, now = getattr(owner, name, None), after[owner][name]
            was = before[owner].get(name, was)
            if not callable(was):
                continue
            assert looks(was) == looks(now), f"{owner}.{name}"

    async def test_time_and_calls_flow_into_the_request(self, recording, patch):
        """The account of a request has one call of the component, and its time."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            account = Account(perf_counter())
            token = current.set(account)
            try:
                await settled(self.succeed(client))
            finally:
                current.reset(token)
            ended = perf_counter()
            breakdown = account.close(ended)
        assert breakdown is not None
        assert 1 == breakdown.calls[self.component]
        assert 0 < breakdown.seconds[self.component] < ended - account.started
        assert ended - account.started == pytest.approx(sum(breakdown.seconds))

    def _count(self, recording):
        return recording.count(self.metric)

    def _snapshot(self):
        return {owner: dict(vars(owner)) for owner in self.owners()}

    async def _failure(self, client):
        try:
            await settled(self.fail(client))
        except Exception as error:
            return error
        pytest.fail("the call succeeded")


class AsyncIntegrationContract(IntegrationContract):
    """The same for a library whose calls are awaited, and so can be cancelled."""

    def hang(self, client):
        """Await a call that ends only when it is cancelled."""
        raise NotImplementedError

    async def test_a_cancelled_call_is_observed_and_stays_cancelled(self, recording, patch):
        """The cancellation propagates; the call is observed with error_type `CancelledError`."""
        patch(recording.recorder)
        async with entered(self.client()) as client:
            account = Account(perf_counter())
            token = current.set(account)
            task = asyncio.ensure_future(self.hang(client))
            current.reset(token)
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not account.events and not task.done():  # noqa: ASYNC110 - a plain list
                    await asyncio.sleep(0.001)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert 1 == recording.count(self.metric, error_type="CancelledError")


class BrokenRecorder:
    """A recorder of which the families, or the series that they give, raise when used."""

    slow_query_seconds = 0.5
    cache_names = {}  # noqa: RUF012 - nobody changes it

    def __init__(self, what):
        self._what = what

    def histogram(self, metric):
        return _Broken() if self._what == "families" else _BrokenSeries()

    counter = gauge = histogram

    def on_sample(self, sample):
        return lambda: None


class _Broken:
    """Raises whatever it is asked."""

    def __getattr__(self, name):
        raise RuntimeError("broken on purpose")

    def __getitem__(self, labels):
        raise RuntimeError("broken on purpose")

    __contains__ = __iter__ = __setitem__ = __call__ = __getitem__


class _BrokenCell(_Broken):
    """A series like any other, until a value is observed."""

    base = 100


class _BrokenSeries:
    """A family that gives series which raise when something is recorded."""

    writer = values = property(lambda _: _Broken())

    def __getitem__(self, labels):
        return _BrokenCell()

    def __contains__(self, labels):
        return True

    def get(self, labels, default=None):
        return _BrokenCell()

    def add(self, labels, amount=1.0):
        raise RuntimeError("broken on purpose")

    observe = set = add


async def settled(value):
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def entered(manager):
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


@contextmanager
def _exceptions_in_our_frames():
    """A list of the exceptions that pass through, or are raised in, frames of perfsdk."""
    seen = []

    def trace(frame, event, argument):
        if event == "exception" and frame.f_code.co_filename.startswith(OURS):
            seen.append(argument[1])
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(before)


def differences(before, after):
    """Where two snapshots hold other objects."""
    missing = object()
    return [
        (owner, name)
        for owner, was in before.items()
        for name in was.keys() | after[owner].keys()
        if was.get(name, missing) is not after[owner].get(name, missing)
    ]


def looks(function):
    try:
        signature = str(inspect.signature(function))
    except ValueError:  # of a function written in C that does not tell
        signature = None
    return {
        "signature": signature,
        "coroutine": inspect.iscoroutinefunction(function),
        "generator": inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function),
        "name": getattr(function, "__name__", None),
        "qualified": getattr(function, "__qualname__", None),
        "module": getattr(function, "__module__", None),
        "documentation": getattr(function, "__doc__", None),
    }
