"""A changed configuration is taken when it is whole, right, and no weaker than the running one."""

import logging
import os

import pytest

from perfsdk_exporter.web.protection import Protection
from tests.exporter.certificates import Authority, encrypted_key, replace

HASH = "$2b$04$jzQ4y/NjVQkmnbPkEj4u1OYL2Jcbv2Ff1EsZ8LUMMROwHBTLCtQlC"
USERS = f"basic_auth_users: {{anna: {HASH}}}\n"
PAIR = "cert_file: server.crt, key_file: server.key"
CLIENTS = f"{PAIR}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"
NAMES = f"{CLIENTS}, client_allowed_sans: [prometheus]"


@pytest.fixture
def authority(tmp_path):
    """An authority that has issued `server.crt`."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    return authority


@pytest.fixture
def write(tmp_path):
    """Write `web.yml`."""
    return lambda text: replace(tmp_path / "web.yml", text)


@pytest.fixture
def protect(write, tmp_path):
    """Start with a configuration."""

    def start(text):
        write(text)
        return Protection(tmp_path / "web.yml")

    return start


def take(protection):
    """Look twice, as the watch does; whether something new is in force then."""
    protection.reread()
    found = protection.reread()
    if found is not None:
        protection.in_force = found
    return found is not None


def successful(protection):
    """The metric that alerts look at."""
    return protection.family().values[()]


def test_nothing_new(protect):
    """Files that did not change are not read again."""
    protection = protect(USERS)
    before = protection.in_force
    assert not take(protection)
    assert before is protection.in_force


def test_a_change_is_taken_when_it_stays(protect, write):
    """The first look sees a file that may still be written; the second one takes it."""
    protection = protect(USERS)
    write(USERS.replace("anna", "bert"))
    assert protection.reread() is None
    write(USERS.replace("anna", "carl"))
    assert protection.reread() is None
    found = protection.reread()
    assert list(found.config.users) == ["carl"]
    assert protection.reread() is None


@pytest.mark.usefixtures("authority")
def test_what_did_not_change_is_kept(protect, write):
    """New headers forget no password that was checked and refill no bucket."""
    limit = "rate_limit: {interval: 1s, burst: 5}\n"
    protection = protect(USERS + limit)
    before = protection.in_force
    write(f"{USERS}{limit}http_server_config: {{headers: {{X-Frame-Options: deny}}}}")
    assert take(protection)
    after = protection.in_force
    assert after.config.headers == {"X-Frame-Options": "deny"}
    assert (before.passwords, before.bucket) == (after.passwords, after.bucket)
    write(USERS.replace("anna", "bert"))
    assert take(protection)
    assert protection.in_force.passwords is not before.passwords
    assert protection.in_force.bucket is None


@pytest.mark.parametrize("file", ["server.crt", "server.key", "ca.crt"])
def test_every_file_is_watched(file, protect, authority, tmp_path):
    """A certificate, a key or an authority that is written anew makes a new context."""
    protection = protect(f"tls_server_config: {{{CLIENTS}}}")
    before = protection.in_force.context
    path = tmp_path / file
    replace(path, path.read_bytes() + b"\n")
    assert take(protection)
    assert before is not protection.in_force.context


def test_half_of_a_rotation(protect, authority, tmp_path, caplog):
    """A key without its certificate is logged once and not taken; both together are."""
    protection = protect(f"tls_server_config: {{{PAIR}}}")
    before = protection.in_force
    old = (tmp_path / "server.crt").read_bytes()
    authority.issue("server", "127.0.0.1")
    new = (tmp_path / "server.crt").read_bytes()
    replace(tmp_path / "server.crt", old)
    with caplog.at_level(logging.INFO):
        assert not take(protection)
        assert not take(protection)
    (record,) = caplog.records
    assert "the key is not that of the certificate" in record.fields["reason"]
    assert (before, 0.0) == (protection.in_force, successful(protection))
    replace(tmp_path / "server.crt", new)
    assert take(protection)
    assert successful(protection) == 1.0


@pytest.mark.parametrize("text", ["]", "a: 1", "basic_auth_users: {a: b}", None])
def test_a_broken_file(text, protect, write, tmp_path, caplog):
    """The old one stays in force, one line is logged; when it is mended it is taken."""
    protection = protect(USERS)
    if text is None:
        os.unlink(tmp_path / "web.yml")
    else:
        write(text)
    for _ in range(3):
        assert not take(protection)
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", "web configuration not taken")
    assert str(tmp_path / "web.yml") in record.fields["reason"]
    assert list(protection.in_force.config.users) == ["anna"]
    write(USERS.replace("anna", "bert"))
    assert take(protection)
    assert (list(protection.in_force.config.users), successful(protection)) == (["bert"], 1.0)


def test_a_file_that_the_new_configuration_waits_for(protect, write, authority, tmp_path):
    """It is taken when the certificate that it names is there at last."""
    protection = protect(USERS)
    tls = "cert_file: late.crt, key_file: late.key"
    write(f"{USERS}tls_server_config: {{{tls}}}")
    assert not take(protection)
    authority.issue("late", "127.0.0.1")
    assert take(protection)
    assert protection.in_force.context is not None


@pytest.mark.usefixtures("authority")
@pytest.mark.parametrize(
    ("running", "new", "lost"),
    [
        (USERS, "", "basic_auth_users"),
        (USERS, "basic_auth_users: {}", "basic_auth_users"),
        (f"tls_server_config: {{{PAIR}}}", "", "tls_server_config"),
        (f"tls_server_config: {{{PAIR}}}", USERS, "tls_server_config"),
        (f"tls_server_config: {{{CLIENTS}}}", f"tls_server_config: {{{PAIR}}}", "client_auth"),
        (
            f"tls_server_config: {{{CLIENTS}}}",
            "tls_server_config: {"
            + CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClient")
            + "CertIfGiven}",
            "client_auth_type",
        ),
        (f"tls_server_config: {{{NAMES}}}", f"tls_server_config: {{{CLIENTS}}}", "allowed_sans"),
    ],
)
def test_a_weaker_file(running, new, lost, protect, write, caplog):
    """A file that is cut off may be a right one that protects nothing: it is not taken."""
    protection = protect(running)
    before = protection.in_force
    write(new)
    assert not take(protection)
    assert before is protection.in_force
    (record,) = caplog.records
    assert lost in record.fields["reason"]
    assert "restart to serve without" in record.fields["reason"]


@pytest.mark.usefixtures("authority")
def test_a_stronger_file(protect, write):
    """Users, TLS and client certificates may be added while it runs."""
    protection = protect("")
    for text in (USERS, f"{USERS}tls_server_config: {{{PAIR}}}"):
        write(text)
        assert take(protection)
    write(f"{USERS}tls_server_config: {{{NAMES}}}")
    assert take(protection)
    assert protection.in_force.config.tls.allowed_sans == {"prometheus"}


def test_a_passphrase_is_asked_for_by_nobody(protect, write, authority, tmp_path):
    """An encrypted key is a line in the log, not a program that waits at its terminal."""
    protection = protect(f"tls_server_config: {{{PAIR}}}")
    encrypted_key(tmp_path / "server.key")
    assert not take(protection)
