"""Checks names and passwords against bcrypt hashes; neither is told by how long it takes."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from typing import NamedTuple

import bcrypt

from perfsdk_exporter.web.web_config import bcrypt_cost

_MAX_WRONG = 1000
"""Wrong passwords remembered; the oldest goes first."""

_BCRYPT_READS_BYTES = 72
"""What follows in a password is not part of its hash, whoever made it."""

_NOBODY = b"$2b$%02d$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""A well-formed hash for a cost, of no password that anybody knows."""


class Credentials(NamedTuple):
    """A name and a password as the client sent them."""

    user: bytes
    password: bytes


def read_credentials(authorization: str) -> Credentials | None:
    """The credentials of an Authorization header; None when it is no basic authentication."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(b":")
    return Credentials(user, password[:_BCRYPT_READS_BYTES]) if colon else None


class Passwords:
    """The users of a configuration.

    `check` takes as long as bcrypt does, 50 to 300 ms and more, for an unknown user as for a
    known one; run it in one thread. Its outcomes are remembered under a hash with a secret key,
    so that memory holds no password, and looking one up tells nothing by its time.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._hashes = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._nobody = _NOBODY % max(map(bcrypt_cost, users.values()))
        self._secret = secrets.token_bytes(32)
        # At most one a user, so what others try never pushes it out.
        self._right: set[bytes] = set()
        self._wrong: dict[bytes, None] = {}

    def remembered(self, credentials: Credentials) -> bool | None:
        """The outcome of an earlier check; None when there was none. Takes no time."""
        digest = self._digest(credentials)
        if digest in self._right:
            return True
        return False if digest in self._wrong else None

    def check(self, credentials: Credentials) -> bool:
        """Whether the password is that of the user."""
        # Those who waited for a check of the same need no other.
        known = self.remembered(credentials)
        if known is not None:
            return known
        hashed = self._hashes.get(credentials.user)
        right = bcrypt.checkpw(credentials.password, hashed or self._nobody) and hashed is not None
        digest = self._digest(credentials)
        if right:
            self._right.add(digest)
        else:
            if len(self._wrong) >= _MAX_WRONG:
                del self._wrong[next(iter(self._wrong))]
            self._wrong[digest] = None
        return right

    def _digest(self, credentials: Credentials) -> bytes:
        # The length keeps apart what only the join makes the same.
        text = b"%d:%b%b" % (len(credentials.user), *credentials)
        return hashlib.blake2b(text, key=self._secret, digest_size=32).digest()
