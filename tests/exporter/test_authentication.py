"""Names and passwords: who is let in, what is remembered, and what a bad one costs."""

import base64

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk_exporter.web import authentication
from perfsdk_exporter.web.authentication import Credentials, Passwords, read_credentials
from perfsdk_exporter.web.protection import TokenBucket
from perfsdk_exporter.web.web_config import RateLimit

LONG = b"p" * 100


def hashed(password, prefix=b"$2b$"):
    """A cheap bcrypt hash as the file holds it."""
    return bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).replace(b"$2b$", prefix).decode()


@pytest.fixture(scope="module")
def users():
    """Three users, with hashes as different tools write them."""
    return {
        "anna": hashed(b"a:b", b"$2y$"),
        "b": hashed(LONG, b"$2a$"),
        "ümit": hashed("ß".encode()),
    }


@pytest.fixture
def checked(monkeypatch):
    """The hashes that bcrypt was asked about, by the real bcrypt."""
    seen = []
    checkpw = bcrypt.checkpw

    def note(password, against):
        seen.append(against)
        return checkpw(password, against)

    monkeypatch.setattr(authentication.bcrypt, "checkpw", note)
    return seen


def basic(credentials):
    """An Authorization header."""
    return f"Basic {base64.b64encode(credentials).decode()}"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"anna:a:b", True),
        (b"b:" + LONG, True),
        ("ümit:ß".encode(), True),
        (b"anna:a:c", False),
        (b"anna:", False),
        (b"anna:a:b\0", False),
        (b"Anna:a:b", False),
        (b"nobody:a:b", False),
        (b":", False),
        (b"\xff:\xff", False),
    ],
)
def test_who_is_let_in(sent, expected, users):
    """The right password of a known user; the outcome is remembered, both are."""
    passwords = Passwords(users)
    credentials = read_credentials(basic(sent))
    assert passwords.remembered(credentials) is None
    assert expected is passwords.check(credentials)
    assert expected is passwords.remembered(credentials)


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ", "Basic !", "Basic YQ", basic(b"a"), "Bearer YTpi", "YTpi"]
)
def test_what_is_no_basic_authentication(header):
    """Other headers hold no credentials."""
    assert read_credentials(header) is None


@given(st.text())
def test_any_header(text):
    """No header is an error."""
    read_credentials(text)
    read_credentials(f"Basic {text}")


def test_credentials_are_read_as_they_are_written():
    """The scheme in any case, the first colon ends the name, what bcrypt reads is kept."""
    expected = Credentials(b"a", b"b:c")
    assert expected == read_credentials("bAsIc  " + basic(b"a:b:c")[6:])
    assert Credentials(b"a", b"p" * 72) == read_credentials(basic(b"a:" + LONG))


def test_an_unknown_user_costs_what_a_known_one_costs(users, checked):
    """Both are one check by bcrypt, of the same cost; the costliest when there are several."""
    passwords = Passwords(users)
    passwords.check(Credentials(b"anna", b"wrong"))
    passwords.check(Credentials(b"nobody", b"wrong"))
    known, unknown = checked
    assert known[3:7] == unknown[3:7] == b"$04$"
    dear = Passwords({**users, "c": "$2b$05$" + users["b"][7:]})
    dear.check(Credentials(b"nobody", b"wrong"))
    assert checked[-1].startswith(b"$2b$05$")


def test_nobody_knows_the_password_of_an_unknown_user(users, monkeypatch):
    """Even one that fits the stand-in lets nobody in."""
    monkeypatch.setattr(authentication.bcrypt, "checkpw", lambda *_: True)
    assert Passwords(users).check(Credentials(b"nobody", b"x")) is False


def test_bcrypt_is_asked_once(users, checked):
    """The second check of the same takes nothing."""
    passwords = Passwords(users)
    for password in (b"a:b", b"wrong"):
        for _ in range(3):
            passwords.check(Credentials(b"anna", password))
    assert len(checked) == 2


def test_wrong_passwords_push_out_no_right_one(users, monkeypatch):
    """Memory is bounded, and who guesses does not slow down who knows."""
    monkeypatch.setattr(authentication, "_MAX_WRONG", 5)
    passwords = Passwords(users)
    right = Credentials(b"anna", b"a:b")
    passwords.check(right)
    wrong = [Credentials(b"anna", b"%d" % number) for number in range(10)]
    for credentials in wrong:
        passwords.check(credentials)
    assert passwords.remembered(right) is True
    expected = [None] * 5 + [False] * 5
    assert expected == [passwords.remembered(credentials) for credentials in wrong]


def test_memory_holds_no_password(users):
    """What is remembered is hashed with a key that only this object has."""
    first, second = Passwords(users), Passwords(users)
    for passwords in (first, second):
        passwords.check(Credentials(b"anna", b"a:b"))
    assert first._right.isdisjoint(second._right)
    assert not any(b"a:b" in digest for digest in first._right)


def test_the_parts_cannot_be_shifted(users):
    """A name that takes over the start of the password is other credentials."""
    passwords = Passwords(users)
    passwords.check(Credentials(b"anna", b"a:b"))
    assert passwords.remembered(Credentials(b"annaa", b":b")) is None


def test_the_token_bucket():
    """As many at once as the burst, then one each interval, never more than the burst."""
    now = [100.0]
    bucket = TokenBucket(RateLimit(2.0, 3), clock=lambda: now[0])
    assert [True, True, True, False] == [bucket.take() for _ in range(4)]
    now[0] += 2
    assert [True, False] == [bucket.take() for _ in range(2)]
    now[0] += 1000
    assert [True, True, True, False] == [bucket.take() for _ in range(4)]
