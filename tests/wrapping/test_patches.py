"""Attributes are replaced once, remembered, and restored to the identical objects."""

import types

import pytest

from perfsdk.wrapping.patches import Patches


class Base:
    """A library's class."""

    def inherited(self):
        return "inherited"

    def method(self):
        return "base"


class Library(Base):
    """A library's class that inherits from another one."""

    attribute = 1

    def method(self):
        return "method"

    @staticmethod
    def static():
        return "static"

    @classmethod
    def of_class(cls):
        return cls.__name__

    @property
    def value(self):
        return "value"


@pytest.fixture
def patches():
    """Patches that are undone at the end."""
    made = Patches()
    yield made
    made.undo()


def shouting(wrapped):
    """A wrapper that changes what a method returns."""

    def method(*args):
        return wrapped(*args).upper()

    return method


NAMES = ["attribute", "inherited", "method", "of_class", "static", "value"]


def test_undo_restores_the_identical_objects(patches):
    """Descriptors of every kind; what was inherited is inherited again."""
    before = dict(vars(Library))
    base = dict(vars(Base))
    for name in NAMES:
        patches.replace(Library, name, lambda _: "replaced")
    assert ["replaced"] * len(NAMES) == [vars(Library)[name] for name in NAMES]
    patches.undo()
    assert before.keys() == vars(Library).keys()
    assert all(vars(Library)[name] is value for name, value in before.items())
    assert base == dict(vars(Base))


def test_a_replacement_is_made_of_what_was_there(patches):
    """It can call it."""
    patches.replace(Library, "method", shouting)
    assert "METHOD" == Library().method()
    patches.replace(Base, "inherited", shouting)
    assert "INHERITED" == Library().inherited()


def test_a_second_replacement_changes_nothing(patches):
    """Until it was undone."""
    for _ in range(3):
        patches.replace(Library, "method", shouting)
    assert "METHOD" == Library().method()
    patches.undo()
    assert "method" == Library().method()
    patches.replace(Library, "method", shouting)
    assert "METHOD" == Library().method()


def test_two_owners_may_be_patched(patches):
    """The same name on a class and on its parent."""
    patches.replace(Base, "method", lambda _: lambda self: "patched base")
    patches.replace(Library, "method", shouting)
    assert ["patched base", "METHOD"] == [Base().method(), Library().method()]


def test_instances_and_modules_may_be_patched(patches):
    """An instance's own attribute, one of its class, and a module's function."""
    module = types.ModuleType("module")
    module.work = function = lambda: "work"
    instance = Library()
    instance.own = own = object()
    patches.replace(module, "work", shouting)
    patches.replace(instance, "own", lambda _: "replaced")
    patches.replace(instance, "method", shouting)
    assert ["WORK", "replaced", "METHOD"] == [module.work(), instance.own, instance.method()]
    patches.undo()
    assert function is module.work
    assert {"own": own} == vars(instance)


def test_the_last_is_undone_first(patches):
    """Whatever was done, also by others who were told to be undone in turn."""
    order = []
    for number in range(3):
        patches.on_undo(lambda number=number: order.append(number))
    patches.undo()
    patches.undo()
    assert [2, 1, 0] == order


@pytest.mark.usefixtures("swallow_errors")
def test_one_that_cannot_be_undone_is_reported(patches, caplog):
    """The others are undone."""

    def fail():
        raise ValueError

    patches.replace(Library, "method", shouting)
    patches.on_undo(fail)
    patches.replace(Library, "inherited", shouting)
    patches.undo()
    assert ["method", "inherited"] == [Library().method(), Library().inherited()]
    assert 1 == len(caplog.messages)


def test_what_is_not_there_cannot_be_replaced(patches):
    """Nothing is remembered of it."""
    with pytest.raises(AttributeError):
        patches.replace(Library, "nonesuch", shouting)
    Library.nonesuch = Base.method
    try:
        patches.replace(Library, "nonesuch", shouting)
        assert "BASE" == Library().nonesuch()
        patches.undo()
    finally:
        del Library.nonesuch


@pytest.mark.parametrize("owner", [dict, object(), 7])
def test_what_cannot_be_changed_is_refused(owner, patches):
    """Built-in classes and objects without attributes of their own."""
    with pytest.raises((TypeError, AttributeError)):
        patches.replace(owner, "__init__", lambda before: before)
    patches.undo()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_wrapper_that_cannot_be_made_changes_nothing(error, patches):
    """The error is the caller's, and a later attempt works."""

    def fail(_):
        raise error

    before = vars(Library)["method"]
    with pytest.raises(error):
        patches.replace(Library, "method", fail)
    assert before is vars(Library)["method"]
    patches.replace(Library, "method", shouting)
    assert "METHOD" == Library().method()
