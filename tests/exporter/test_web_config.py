"""The web configuration file is honoured as it is written, or refused with one clear line."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk_exporter.web.protection import Protection
from perfsdk_exporter.web.sections import WebConfigError, parse
from perfsdk_exporter.web.tls_settings import _CIPHERS, _CURVES
from perfsdk_exporter.web.web_config import RateLimit, read_web_config
from tests.exporter.certificates import Authority, encrypted_key
from tests.servers import require

EXAMPLES = Path(__file__).parents[2] / "exporter" / "examples"
HASH = "$2b$04$jzQ4y/NjVQkmnbPkEj4u1OYL2Jcbv2Ff1EsZ8LUMMROwHBTLCtQlC"
PAIR = "cert_file: server.crt, key_file: server.key"
CLIENTS = f"{PAIR}, client_ca_file: clients-ca.crt"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A directory with all the files that the configurations of this module name."""
    directory = tmp_path_factory.mktemp("web")
    Authority(directory).issue("server", "127.0.0.1", rsa_key=True)
    clients = Authority(directory, "clients-ca")
    clients.issue("other", "other")
    clients.issue("mismatch")
    encrypted_key(directory / "encrypted.key")
    (directory / "nothing.pem").write_text("nothing")
    begin, _, *body = (directory / "server.crt").read_text().splitlines(keepends=True)
    (directory / "broken.crt").write_text("".join([begin, *body]))
    return directory


@pytest.fixture
def protect(directory):
    """Takes a configuration as the program does at its start."""
    path = directory / "web.yml"

    def take(text):
        path.write_text(text)
        return Protection(path).in_force

    return take


def check(path):
    """What `promtool check web-config` says: its exit code."""
    command = [require("promtool"), "check", "web-config", path]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.yml")))
def test_the_examples(example, directory):
    """The examples are taken, by us and by promtool."""
    path = Path(shutil.copy(EXAMPLES / example, directory))
    assert Protection(path).in_force.context is not None
    assert check(path) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "basic_auth_users:",
        "basic_auth_users: {}",
        "tls_server_config: {}\nhttp_server_config: {}",
        "http_server_config: {http2: false}",
    ],
)
def test_what_asks_for_nothing(text, protect, directory):
    """Plain HTTP for everybody; promtool finds nothing wrong with it either."""
    running = protect(text)
    assert (running.context, running.passwords, running.bucket) == (None, None, None)
    assert check(directory / "web.yml") == 0


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (PAIR, ssl.CERT_NONE),
        (f"{PAIR}, client_auth_type: NoClientCert", ssl.CERT_NONE),
        (f"{PAIR}, client_auth_type: RequestClientCert", ssl.CERT_NONE),
        (f"{CLIENTS}, client_auth_type: VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        (f"{CLIENTS}, client_auth_type: RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_client_certificates(tls, expected, protect, directory):
    """What a client must show is what OpenSSL is told."""
    assert expected is protect(f"tls_server_config: {{{tls}}}").context.verify_mode
    assert check(directory / "web.yml") == 0


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ("", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
        (", min_version: TLS13", (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)),
        (", max_version: TLS12", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)),
        (
            ", cipher_suites: [TLS_AES_128_GCM_SHA256]",
            (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
        ),
    ],
)
def test_versions(versions, expected, protect):
    """TLS 1.2 and 1.3 unless it is said otherwise; no suite of 1.2 means no 1.2."""
    context = protect(f"tls_server_config: {{{PAIR}{versions}}}").context
    assert expected == (context.minimum_version, context.maximum_version)


@pytest.mark.parametrize(("name", "expected"), _CIPHERS.items())
def test_cipher_suites(name, expected, protect):
    """Go's name of a suite selects the suite that IANA calls so, and no other before TLS 1.3."""
    context = protect(f"tls_server_config: {{{PAIR}, cipher_suites: [{name}]}}").context
    ciphers = [c for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    assert [expected] == [cipher["name"] for cipher in ciphers]


def test_cipher_suites_are_called_as_promtool_calls_them(protect, directory):
    """All the names together are known there too, those of TLS 1.3 among them."""
    suites = ", ".join([*_CIPHERS, "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
    tls = f"{{{PAIR}, cipher_suites: [{suites}], prefer_server_cipher_suites: false}}"
    context = protect(f"tls_server_config: {tls}").context
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert check(directory / "web.yml") == 0


@pytest.mark.parametrize("name", _CURVES)
def test_curves(name, protect, directory):
    """Each curve alone is honoured."""
    assert protect(f"tls_server_config: {{{PAIR}, curve_preferences: [{name}]}}").context
    assert check(directory / "web.yml") == 0


def test_certificates_in_the_file_itself(directory, protect):
    """`cert`, `key` and `client_ca` hold what `cert_file` and the others name."""
    lines = ["tls_server_config:", "  client_auth_type: RequireAndVerifyClientCert"]
    for key, file in (("cert", "server.crt"), ("key", "server.key"), ("client_ca", "ca.crt")):
        pem = (directory / file).read_text()
        lines += [f"  {key}: |", *(f"    {line}" for line in pem.splitlines())]
    context = protect("\n".join(lines)).context
    assert len(context.get_ca_certs()) == 1


def test_all_the_rest(protect, directory):
    """Users and headers; names may be numbers or words of YAML."""
    text = f"""
http_server_config:
  http2: true
  headers: {{X-Frame-Options: deny, Content-Security-Policy: default-src 'self'}}
basic_auth_users: {{007: {HASH}, yes: {HASH}, "a b": {HASH}}}
"""
    config = protect(text).config
    expected = {"007": HASH, "yes": HASH, "a b": HASH}
    assert expected == config.users
    expected = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"}
    assert expected == config.headers
    assert check(directory / "web.yml") == 0


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("1s", RateLimit(1.0, 5)),
        ("1m30s", RateLimit(90.0, 5)),
        ("1.5ms", RateLimit(0.0015, 5)),
        ("0", None),
        ("0s", None),
    ],
)
def test_rate_limits(interval, expected, protect):
    """An interval is a duration as Go writes it; 0 is no limit."""
    assert expected == protect(f"rate_limit: {{interval: {interval}, burst: 5}}").config.rate_limit


REFUSED = [
    ("]", "line 1: not YAML: "),
    ("a: 1\na: 2", "a: given twice; keep one"),
    ("- 1", "the file: give keys with values"),
    ("{a: &a [*a]}", "line 1: not YAML: "),
    ("a: 1", "a: unknown key; known are tls_server_config, http_server_config,"),
    ("tls_server_config: 1", "tls_server_config: give keys with values"),
    ("tls_server_config: {cert: x}", "tls_server_config.key_file: is missing"),
    ("tls_server_config: {key_file: x}", "tls_server_config.cert_file: is missing"),
    ("tls_server_config: {min_version: TLS13}", "tls_server_config.cert_file: is missing"),
    ("tls_server_config: {cert_file: x, cert: x}", "tls_server_config.cert: cert_file is given"),
    ("tls_server_config: {cert_file: [x]}", "tls_server_config.cert_file: give a text"),
    ("tls_server_config: {certfile: x}", "tls_server_config.certfile: unknown key; known are cert"),
    ("http_server_config: {http2: maybe}", "http_server_config.http2: give true or false"),
    ("http_server_config: {headers: {Server: x}}", "http_server_config.headers.Server: cannot be"),
    ("http_server_config: {headers: {X-Frame-Options: x}}", "give deny or sameorigin"),
    ('http_server_config: {headers: {X-XSS-Protection: "a\\nb"}}', "give plain text in one line"),
    ("basic_auth_users: [a]", "basic_auth_users: give keys with values"),
    ("basic_auth_users: {a: secret}", "basic_auth_users.a: not a bcrypt hash; make one with"),
    ("basic_auth_users: {a: }", "basic_auth_users.a: not a bcrypt hash"),
    (f"basic_auth_users: {{a: {HASH.replace('$04$', '$03$')}}}", "not a bcrypt hash"),
    (f"basic_auth_users: {{'a:b': {HASH}}}", "has no colon"),
    ("rate_limit: {interval: 1 second, burst: 1}", "rate_limit.interval: '1 second': give a dur"),
    ("rate_limit: {interval: 1s}", "rate_limit.burst: give the number of requests at once"),
    ("rate_limit: {interval: 1s, burst: -1}", "rate_limit.burst: give the number"),
]
REFUSED_TLS = [
    ("cert_file: none.crt, key_file: server.key", "cert_file: {}/none.crt: No such file"),
    ("cert_file: server.crt, key_file: .", "key_file: {}: Is a directory; give a file we may read"),
    ("cert_file: nothing.pem, key_file: server.key", "cert_file: holds no certificate in PEM"),
    ("cert_file: server.crt, key_file: server.crt", "key_file: holds no private key in PEM form"),
    ("cert_file: broken.crt, key_file: server.key", "cert_file and tls_server_config.key_file: "),
    ("cert_file: server.crt, key_file: encrypted.key", "give a key without a passphrase"),
    ("cert_file: other.crt, key_file: mismatch.key", "the key is not that of the certificate"),
    ("cert_file: server.crt, key_file: other.key", "the key is not that of the certificate"),
    (f"{PAIR}, client_auth_type: Always", "client_auth_type: 'Always' is unknown; give one of No"),
    (f"{CLIENTS}, client_auth_type: RequireAnyClientCert", "give RequireAndVerifyClientCert"),
    (f"{CLIENTS}, client_auth_type: RequireClientCert", "give RequireAndVerifyClientCert"),
    (CLIENTS, "client_auth_type: asks for no certificate, but there is a client CA"),
    (f"{CLIENTS}, client_auth_type: RequestClientCert", "asks for no certificate, but"),
    (f"{PAIR}, client_auth_type: RequireAndVerifyClientCert", "client_ca_file: is missing"),
    (
        f"{PAIR}, client_ca_file: nothing.pem, client_auth_type: RequireAndVerifyClientCert",
        "client_ca_file: holds no certificate",
    ),
    (
        f"{PAIR}, client_ca_file: broken.crt, client_auth_type: RequireAndVerifyClientCert",
        "tls_server_config.client_ca_file: ",
    ),
    (f"{PAIR}, client_allowed_sans: [x]", "client_allowed_sans: needs client_auth_type"),
    (f"{PAIR}, client_allowed_sans: x", "client_allowed_sans: give a list of texts"),
    (f"{PAIR}, min_version: TLS10", "min_version: TLS 1.0 and 1.1 are broken; give TLS12"),
    (f"{PAIR}, max_version: TLS11", "max_version: TLS 1.0 and 1.1 are broken"),
    (f"{PAIR}, min_version: SSL3", "min_version: 'SSL3' is unknown; give one of TLS12, TLS13"),
    (f"{PAIR}, min_version: TLS13, max_version: TLS12", "max_version: is below the lowest"),
    (f"{PAIR}, cipher_suites: [RC4]", "cipher_suites: 'RC4' is unknown; give some of TLS_"),
    (f"{PAIR}, curve_preferences: [P256]", "curve_preferences: 'P256' is unknown; give one of"),
    (f"{PAIR}, curve_preferences: [X25519, CurveP256]", "Python can set one curve; give one"),
]


@pytest.mark.parametrize(
    ("text", "part"),
    [*REFUSED, *((f"tls_server_config: {{{tls}}}", part) for tls, part in REFUSED_TLS)],
)
def test_what_is_refused(text, part, protect, directory):
    """One line with the file, the key, what is wrong and what to do; no secret is repeated."""
    with pytest.raises(WebConfigError) as refused:
        protect(text)
    line = str(refused.value)
    assert line.startswith(f"{directory}/web.yml: ")
    assert part.format(directory) in line
    assert "\n" not in line
    assert "secret" not in line


def test_files_that_cannot_be_read(directory):
    """Also these are one line."""
    with pytest.raises(WebConfigError, match=r"none\.yml: No such file or directory; give a file"):
        read_web_config(directory / "none.yml")
    (directory / "latin.yml").write_bytes(b"# \xe9")
    with pytest.raises(WebConfigError, match="not UTF-8; write it as YAML in UTF-8"):
        read_web_config(directory / "latin.yml")


def test_a_deep_document():
    """It is refused, not a crash."""
    with pytest.raises(WebConfigError, match="not YAML"):
        parse("[" * 5000)


@given(st.text())
def test_any_text(text):
    """Reading ends with sections or with one line, whatever the file holds."""
    line = ""
    try:
        parse(text)
    except WebConfigError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1


def test_no_descriptor_is_left(protect):
    """Loading keys through memory leaves no file open."""
    before = os.listdir("/proc/self/fd")
    protect(f"tls_server_config: {{{PAIR}}}")
    assert before == os.listdir("/proc/self/fd")
